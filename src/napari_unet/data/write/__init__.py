"""Stacks to files: TIFF sections and tiles, OME-Zarr; complete or not at all."""
