"""Files and arrays to stacks, mask values to classes, samples, and writing."""

from napari_unet.data.masks.find import IGNORE, Classes, check_pair, find_classes
from napari_unet.data.matching import FilePair, pair_files, pair_folders
from napari_unet.data.open import as_stack, open_stack
from napari_unet.data.stack import Stack
from napari_unet.data.synthetic import synthetic_em
from napari_unet.data.write.stack import write_stack

__all__ = [
    "IGNORE",
    "Classes",
    "FilePair",
    "Stack",
    "as_stack",
    "check_pair",
    "find_classes",
    "open_stack",
    "pair_files",
    "pair_folders",
    "synthetic_em",
    "write_stack",
]
