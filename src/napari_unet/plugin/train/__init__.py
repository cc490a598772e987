"""The Train widget and its parts."""
