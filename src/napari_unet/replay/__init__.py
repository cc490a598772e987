"""The shell line, and the script, that do again what was done in a window.

They name files, and only the options that are not the usual ones.
"""
