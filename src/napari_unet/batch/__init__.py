"""Many images, one model: runs that survive whatever happens to them.

`napari_unet.batch.run.run_batch` is the whole way: list the inputs, ask the manifest
what is done, let a process of its own do the rest, and report. Called, as in
``napari_unet.batch(model, inputs, out)``, the package goes that way to its end.
"""

import sys
from types import ModuleType

from napari_unet.batch.call import batch


class _Batch(ModuleType):
    """A package that can be called: its name is that of what it does."""

    __call__ = staticmethod(batch)


sys.modules[__name__].__class__ = _Batch
