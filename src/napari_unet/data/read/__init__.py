"""Files as lazy stacks: TIFF, OME-Zarr, folders of sections."""
