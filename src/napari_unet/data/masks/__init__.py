"""Mask values to classes or values to regress, and back."""
