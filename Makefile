# make demo | test | test-all | check | lock | clean. Each makes .venv on demand.
# PYTHON=… names the interpreter, VENV=… the environment, ARGS=… goes to pytest.

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.genlat-ready
DEMO := runs/demo
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Huge pages for XLA's buffers: a seventh of a training step on CPU.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# Exit status 0 for a Python that genlat runs on (shims that lead nowhere fail),
# and for an environment that was made to its end.
RUNS := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
MADE := -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))'
KNOWN := python3.11 python3.12 python3.13 python3
PYTHON ?= $(firstword $(foreach p,$(KNOWN),$(shell \
  $(p) $(RUNS) >/dev/null 2>&1 && echo $(p))))

.PHONY: demo test test-all check lock clean

demo: $(READY)
	@rm -rf $(DEMO)
	$(BIN)/python main.py --config=configs/glf_digits.py --workdir=$(DEMO)
	$(BIN)/python main.py --mode=evaluate --workdir=$(DEMO)
	$(BIN)/python main.py --mode=sample --workdir=$(DEMO) --n=64 --seed=0 \
	  --out=$(DEMO)/samples.png
	@echo
	@echo "The pictures of the demo (samples.png holds 64 new digits):"
	@find $(DEMO) -name '*.png' | sort | sed 's/^/  /'

test: $(READY)
	@VENV=$(VENV) tools/check.sh $(ARGS)

test-all: $(READY)
	@GENLAT_OPTIMISED=1 VENV=$(VENV) tools/check.sh -m 'slow or not slow' $(ARGS)

check: $(READY)
	@VENV=$(VENV) tools/check.sh --static

# Resolved anew, never from the old lock, for every Python and platform.
lock: $(READY)
	@$(BIN)/pip install --quiet uv
	@rm -f requirements.new
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --no-annotate --extra dev \
	  --output-file requirements.new pyproject.toml
	@mv requirements.new requirements.lock
	@echo "requirements.lock: $$(grep -c == requirements.lock) pins"

clean:
	rm -rf build *.egg-info .pytest_cache .ruff_cache .jax_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(BIN)/python $(MADE) 2>/dev/null || $(PYTHON) $(RUNS) 2>/dev/null || { \
	  echo 'genlat needs Python >= 3.11: got "$(PYTHON)", tried $(KNOWN);' \
	    'name one with make PYTHON=/path/to/python' >&2; exit 1; }
	@$(BIN)/python $(MADE) 2>/dev/null || $(PYTHON) -m venv $(VENV)
	@echo "installing requirements.lock into $(VENV) (about a minute) ..."
	@$(BIN)/pip install --quiet -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@
