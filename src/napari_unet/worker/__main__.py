"""``python -m napari_unet.worker``."""

from __future__ import annotations

import sys

from napari_unet.worker.serve import main

if __name__ == "__main__":
    given = sys.argv[1:]
    main(light="--light" in given, polite="--impolite" not in given)
