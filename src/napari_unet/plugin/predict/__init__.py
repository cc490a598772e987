"""The Predict widget and its parts."""
