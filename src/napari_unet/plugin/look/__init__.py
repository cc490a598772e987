"""Predictions made only where one looks."""
