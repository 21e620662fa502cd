"""A command that trains nothing: it writes the metrics of a run whose loss is (lr - 0.3)², and takes its time if asked to."""

import json
import os
import sys
import time
from pathlib import Path

words = sys.argv[1:]
options = dict(w.removeprefix("--").split("=") for w in words if w.startswith("--") and "=" in w)
resumed = "--resume" in words
place = Path(words[words.index("--resume" if resumed else "--out") + 1])
if "refuse" in words:
    print("carousel: no such text", file=sys.stderr)
    sys.exit(2)
place.mkdir(parents=True, exist_ok=True)
(place / "group").write_text(str(os.getpgid(0)))
settings = place / "settings.json"
if not resumed:
    settings.write_text(json.dumps(options))
lr = float(json.loads(settings.read_text())["lr"])
if "diverge" in words and lr > 0.5:
    print("carousel: the loss is not finite", file=sys.stderr)
    sys.exit(1)
try:
    for epoch in range(1, 4):
        (place / "checkpoint.safetensors").write_bytes(b"")
        time.sleep(600 if "wait" in words and epoch == 2 and not resumed else 0)
        row = {
            "event": "valid",
            "step": epoch,
            "epoch": epoch,
            "loss": (lr - 0.3) ** 2 + 1 / epoch,
            "accuracy": lr,
            "seconds": epoch,
        }
        with (place / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        time.sleep(0.15 if "slow" in words else 0)
except KeyboardInterrupt:
    sys.exit(130)
