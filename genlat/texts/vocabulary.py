"""Words of captions as numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

PADDING, UNKNOWN = 0, 1
_FIRST = 2
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def words(text: str) -> list[str]:
  """The words of a text in small letters, without punctuation."""
  return _WORD.findall(text.lower())


def sentences(text: str) -> list[str]:
  """The captions of one example: the lines of its text that are not empty."""
  return [line for line in text.splitlines() if line.strip()]


@dataclass(frozen=True)
class Vocabulary:
  """The words that an encoder knows.

  Attributes:
    known: in order; the first has number 2.
    length: words of the longest caption of the training data.
  """

  known: tuple[str, ...]
  length: int

  @classmethod
  def of(cls, captions: Iterable[str]) -> "Vocabulary":
    """Every word of some captions, sorted, and the length of the longest."""
    found: set[str] = set()
    longest = 1
    for caption in captions:
      split = words(caption)
      found.update(split)
      longest = max(longest, len(split))
    return cls(tuple(sorted(found)), longest)

  def __len__(self) -> int:
    """How many numbers there are, with those of no word."""
    return len(self.known) + _FIRST

  def unknown(self, captions: list[str]) -> list[str]:
    """Words of captions that are not known, sorted."""
    return sorted({w for c in captions for w in words(c)} - set(self.known))

  def encode(self, captions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of words, int32 `[N, L]`, and of how many, int32 `[N]`.

    Words that are not known are all one number; a caption without a word is
    one of them. L is `length`, doubled until the longest caption fits: few
    shapes, and nothing is cut.
    """
    number = {word: i + _FIRST for i, word in enumerate(self.known)}
    split = [words(caption) for caption in captions]
    size = self.length
    while size < max(map(len, split), default=0):
      size *= 2
    tokens = np.full((len(captions), size), PADDING, np.int32)
    lengths = np.ones(len(captions), np.int32)
    for row, own in enumerate(split):
      found = [number.get(word, UNKNOWN) for word in own] or [UNKNOWN]
      tokens[row, : len(found)] = found
      lengths[row] = len(found)
    return tokens, lengths
