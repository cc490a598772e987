"""The Objects widget and its parts."""
