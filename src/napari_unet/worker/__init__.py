"""Runs long work in a process of its own, for the widgets.

``python -m napari_unet.worker`` reads requests from standard input and writes the
events of `napari_unet.events` to standard output, one JSON object a line each::

    {"do": "train", "image": PATH, "labels": PATH, "axes": "ZYX", "run": FOLDER, ...}
    {"do": "preview", "image": PATH, "labels": PATH, "axes": "ZYX", ...}
    {"do": "probe", "image": PATH, "labels": PATH, "axes": "ZYX", ...}
    {"do": "predict", "model": PATH, "image": PATH, "results": {"labels": PATH}, ...}
    {"do": "look", "model": PATH, "image": PATH, "tiles": [...], "folder": PATH, ...}
    {"do": "unsure", "uncertainty": [PATH, ...], "axes": "ZYX", "n": 10, ...}
    {"do": "evaluate", "prediction": {...}, "truth": {...}, "results": {...}, ...}
    {"do": "objects", "image": PATH, "inside": 255, "result": PATH, ...}
    {"do": "measure", "image": PATH, "images": [{"image": PATH, ...}], ...}

A request is answered by events, then by `Ready`. To the job at work can be said::

    {"do": "stop"}
    {"do": "pause"}
    {"do": "resume"}
    {"do": "view", "view": {"bounds": [[0, 1], [0, 512], [0, 512]], ...}}
    {"do": "labels", "sections": [4], "path": PATH, "pair": 0}

The end of standard input, which comes also when the process at its other end dies,
stops the job at hand and ends the process. With ``--light`` it starts without torch,
for work that does without it, and with ``--impolite`` at the usual priority.

Each kind of job is a function of the request and of the `Control` that steers it, and
yields events; `napari_unet.worker.serve` lists them. Called, a `Control` tells whether
to stop, which is all that most jobs ask it.
"""
