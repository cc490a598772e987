"""Many images, one model: runs that survive whatever happens to them.

`napari_unet.batch.run.run_batch` is the whole way: list the inputs, ask the manifest
what is done, let a process of its own do the rest, and report.
"""
