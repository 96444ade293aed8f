"""Captions: their words, a vector for each, and sources that hold both."""
