"""What was done in a widget, as a shell line or a script."""
