"""Metrics of a trained model: arithmetic, protocols and the cards of both."""
