"""A worker without a network: the same protocol, quick, and it can misbehave.

What it does with a job depends on the name of the image: "noisy", "dies", "fails",
"exits" or "deaf". Otherwise it makes a step every 20 ms until it is stopped.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

stop = threading.Event()
jobs: queue.Queue = queue.Queue()


def say(event: str, **values: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def listen() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "stop":
            stop.set()
        else:
            stop.clear()
            jobs.put(request)
    stop.set()
    jobs.put(None)


def work(request: dict) -> None:
    name = request.get("name", "")
    if name == "noisy":
        print('a library speaks\n{"not": "an event"}')
        print("and on stderr", file=sys.stderr)
    if name == "fails":
        say("Failed", message="Too few pixels.", kind="MaskError", details="")
        return
    if name == "exits":
        print("cannot go on", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    run = Path(request["run"])
    (run / "config.json").write_text('{"options": {}}')
    for step in range(1, 10_000):
        say(
            "StepDone",
            step=step,
            loss=1 / step,
            learning_rate=0.1,
            progress=step / 10_000,
            elapsed=step,
            remaining=10_000 - step,
        )
        if name == "dies" and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "deaf":
            time.sleep(1000)
        if stop.wait(0.02):
            break
    say(
        "TrainingFinished",
        model=str(run / "model.safetensors"),
        step=step,
        best_step=step,
        score=0.5,
        reason="stopped",
        message="Stopped.",
    )


threading.Thread(target=listen, daemon=True).start()
say("Ready")
while (request := jobs.get()) is not None:
    work(request)
    say("Ready")
sys.stdout.flush()
os._exit(0)
