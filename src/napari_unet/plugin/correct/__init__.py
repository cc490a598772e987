"""The Correct widget and its parts."""
