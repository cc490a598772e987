"""Runs long work in a process of its own, for the widgets.

``python -m napari_unet.worker`` reads requests from standard input and writes the
events of `napari_unet.events` to standard output, one JSON object a line each::

    {"do": "train", "image": PATH, "labels": PATH, "axes": "ZYX", "run": FOLDER, ...}
    {"do": "preview", "image": PATH, "labels": PATH, "axes": "ZYX", ...}
    {"do": "predict", "model": PATH, "image": PATH, "results": {"labels": PATH}, ...}
    {"do": "look", "model": PATH, "image": PATH, "tiles": [...], "folder": PATH, ...}
    {"do": "unsure", "uncertainty": [PATH, ...], "axes": "ZYX", "n": 10, ...}
    {"do": "stop"}

A request is answered by events, then by `Ready`. The end of standard input, which comes
also when the process at its other end dies, stops the job at hand and ends the process.
With ``--light`` the process starts without torch, for work that does without it, and
with ``--impolite`` at the usual priority.

Each kind of job is a function of the request and of what tells whether to stop, and
yields events; `napari_unet.worker.serve` lists them.
"""
