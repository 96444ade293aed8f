#!/usr/bin/env bash
# Every check of the project: format, lint, types, tests. All of them run; the
# exit status is that of the first that failed.
#
#   tools/check.sh [--static] [pytest arguments]
#
# --static leaves the tests out. VENV names the environment, default .venv.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${VENV:-.venv}/bin/python

# The wheel of pyright holds pyright itself and takes node from another wheel:
# with these it neither asks for a newer version nor downloads anything.
unset PYRIGHT_PYTHON_FORCE_VERSION PYRIGHT_PYTHON_PYLANCE_VERSION
export PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT=1

if ! [ -x "$python" ]; then
  echo "tools/check.sh: no $python; make the environment with make test" >&2
  exit 1
fi

status=0
failed=()

section() { # name, command: runs it, times it, remembers the first failure
  local name=$1 code start=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  "$@"
  code=$?
  if [ "$code" -ne 0 ]; then
    failed+=("$name")
    [ "$status" -ne 0 ] || status=$code
    printf '=== %s: FAILED (status %d, %d s)\n' \
      "$name" "$code" $((SECONDS - start))
  else
    printf '=== %s: passed (%d s)\n' "$name" $((SECONDS - start))
  fi
}

check_types=("$python" -m pyright --pythonpath "$python")

told_types() { # what the checker in the background said, and its status
  local code
  wait "$checker"
  code=$?
  cat "$told"
  return "$code"
}

section format "$python" -m ruff format --check .
section lint "$python" -m ruff check .
if [ "${1:-}" = --static ]; then
  section types "${check_types[@]}"
else
  # Types are checked while the tests start, and told after them.
  told=$(mktemp)
  "${check_types[@]}" >"$told" 2>&1 &
  checker=$!
  trap 'kill "$checker" 2>/dev/null; rm -f "$told"' EXIT
  # A compilation uses one core: files of tests run side by side.
  section tests "$python" -m pytest -n auto --maxprocesses 8 --dist loadfile "$@"
  section types told_types
fi

if [ "$status" -ne 0 ]; then
  printf '\n=== FAILED: %s (%d s)\n' "${failed[*]}" "$SECONDS"
else
  printf '\n=== all checks passed (%d s)\n' "$SECONDS"
fi
exit "$status"
