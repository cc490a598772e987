"""``python -m napari_unet.worker``."""

from __future__ import annotations

import sys

from napari_unet.worker.serve import main

if __name__ == "__main__":
    main(light="--light" in sys.argv[1:])
