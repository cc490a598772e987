"""The Evaluate widget and its parts."""
