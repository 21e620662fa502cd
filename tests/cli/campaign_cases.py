"""The commands of the campaign: right ones, with options and values that nobody would give."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Case:
    """One command in its folder."""

    arguments: list[str]
    uses: list[str] = field(default_factory=list)
    stdin: bytes = b""
    spoilt: list[str] = field(default_factory=list)


WHATEVER = (
    "0 1 -1 2 3 1e-3 0.5 nan inf -inf 1e400 99999999999999999999 2147483648 1e9 rnn gru lstm-v4 word char bpe none "
    ", a,b é f=0 [b] a_pipe text.txt run missing/there x.png x.svg"
)


def whatever(choose: random.Random) -> str:
    """A value for any option; never a path that leads out of the case's folder, since commands write where they are told."""
    return choose.choice([*WHATEVER.split(" "), "", " ", "\n", "x\ny", "x" * 300, "\udcff"])


NUMBERS = ("layers", "hidden", "embedding", "projection", "batch-size", "length", "warmup", "patience", "seed", "threads")
OPTIONS = {
    "train": (
        *NUMBERS,
        *(
            "vocab",
            "vocab-size",
            "feed",
            "dropout",
            "dropout-input",
            "dropout-output",
            "softmax",
            "init",
            "forget-bias",
            "clip",
        ),
        *("optimizer", "lr", "momentum", "weight-decay", "schedule", "decay", "precision", "log-every", "save-every", "cell"),
        *("valid", "test", "out", "watch-gradients", "clip", "recipe", "average", "average-decay", "average-after"),
        *("weight-dropout", "dropout-words", "ar", "tar", "smoothing", "vary-length", "decay-after"),
    ),
    "score adapted": (
        *("dynamic", "dynamic-lr", "dynamic-decay", "dynamic-epsilon", "dynamic-segment", "dynamic-batches"),
        *("cache", "cache-theta", "cache-weight", "mean"),
    ),
    "compare": (
        *("parameters", "cells", "recipes", "seeds", "beside", "out", "valid", "test"),
        *(*NUMBERS, "vocab", "feed", "softmax", "lr", "dropout"),
    ),
    "translate train": (
        *("attention", "vocab", "vocab-size", "longest", "layers", "decoder-layers", "hidden", "embedding", "dropout", "cell"),
        *("dropout-words", "smoothing", "init", "batch-size", "batch-tokens", "optimizer", "lr", "clip", "seed", "out"),
    ),
    "transcribe train": (
        *("reads", "subsample", "between", "corners", "input-noise", "layers", "hidden", "dropout", "cell", "strings"),
        *("content", "valid", "test", "init", "batch-size", "optimizer", "lr", "clip", "seed", "out"),
    ),
    "transcribe read": ("beam", "best", "lm", "alpha", "beta"),
    "transcribe score": ("beam", "lm", "alpha", "beta", "threads"),
    "transcribe show": ("number", "figure", "beam", "lm"),
    "label train": (
        *(
            "trees",
            "tag-column",
            "least-count",
            "no-spelling",
            "sequence",
            "label",
            "features",
            "whole",
            "pooling",
            "crf",
            "bidirectional",
        ),
        *("layers", "hidden", "embedding", "dropout", "cell", "length", "batch-size", "lr", "monitor", "valid", "test", "out"),
    ),
    "label score": ("figure", "threads"),
    "label show": ("figure", "name", "unit"),
    "forecast train": (
        *(
            "horizon",
            "season",
            "columns",
            "time",
            "by",
            "covariates",
            "ahead",
            "inputs",
            "difference",
            "missing",
            "test",
            "valid",
        ),
        *(
            "output",
            "levels",
            "direct",
            "components",
            "windows",
            "length",
            "layers",
            "hidden",
            "cell",
            "lr",
            "optimizer",
            "out",
        ),
    ),
    "forecast score": ("stride", "alone"),
    "forecast predict": ("known", "levels", "out"),
    "forecast show": ("known", "figure", "history", "test"),
    "check": ("directions", "entries", "parameters", "tolerance", "seed"),
    "generate": ("prompt", "count", "temperature", "top-k", "top-p", "seed", "clamp"),
    "valves": ("names", "layer", "clamp", "figure", "npz"),
    "pairs": ("replace", "layer", "clamp", "figure"),
    "probe": ("property", "state", "layer", "units", "held-out", "seed", "figure"),
    "gradients": ("cells", "steps", "figure", "batch-size", "layers", "hidden"),
    "cells": ("draw", "input", "hidden", "projection"),
    "translate run": ("beam", "best", "alpha", "rows", "longest"),
    "translate score": ("labels", "out", "beam", "alpha", "rows", "longest", "threads"),
    "walkthrough": ("replace", "labels", "sentences", "layer", "units", "figure"),
    "agreement score": ("clamp", "at", "for", "figure"),
    "agreement corpus": ("train", "valid", "test", "seed"),
    "claims": ("seeds", "steps", "out", "threads", "figure"),
    "tasks report": ("out", "figure"),
    "tasks run": ("T", "N", "q", "p", "cell", "recipe", "seeds", "first-seed", "hidden", "without", "out"),
    "bench kernels": ("cells", "sizes", "threads", "figure"),
    "serve": ("host", "port"),
}
OF_TREES = ["--trees", "labelled", "--cell", "tree-lstm"]
FORECAST = ["--horizon", "3", "--season", "6", "--length", "12", "--windows", "8"]
SMALL = ["--hidden", "6", "--batch-size", "4", "--threads", "1", "--epochs", "1"]


def commands(choose: random.Random, about: tuple[str, ...] = ()) -> Case:
    """A command that would be right, and the files that it reads; ``about``: beginnings of the names of those that may come."""
    run = choose.choice(["run", "run", "other", "other", "half", "half", "translator"])
    translator = choose.choice(["translator", "half-translator", "translator", "half-translator", "run"])
    text = choose.choice([*["text.txt"] * 6, "agree/test.txt", "missing.txt", "."])
    two = ["a.txt", "b.txt"]
    transcriber = choose.choice(["transcriber", "half-transcriber", "transcriber", "half-transcriber", "run"])
    arrays = choose.choice([*["strings/test.npz"] * 5, "strings/test.txt", "text.txt", "missing.npz", "."])
    labeller = choose.choice(["labeller", "half-labeller", "whole-labeller", "tree-labeller", "half-tree-labeller", "run"])
    tagged = choose.choice([*["tagged.txt"] * 4, *["kinds.csv"] * 3, *["trees.txt"] * 3, "text.txt", "missing.txt", "."])
    tree = choose.choice(["(? n (? t))", "(? a (? f) (? t))", "(1", "", "(? t) (? t)", "t"])
    forecaster = choose.choice(["forecaster", "half-forecaster", "forecaster", "half-forecaster", "run"])
    series = choose.choice([*["series.csv"] * 5, "kinds.csv", "text.txt", "missing.csv", "."])
    table = {"kinds.csv": ["--sequence", "name", "--label", "kind"], "trees.txt": OF_TREES}.get(tagged, [])
    any_run = choose.choice([run, translator, transcriber, labeller, forecaster])
    made = {
        "train": Case(["train", text, *SMALL, "--length", "6"], [text]),
        "train resume": Case(["train", "--resume", run], [run, "text.txt"]),
        "generate": Case(["generate", run, "-n", "5", "--prompt", "the cat"], [run]),
        "score": Case(["score", run, text], [run, text]),
        "score adapted": Case(["score", run, "run", text, "--dynamic", "--cache", "9", "--dynamic-batches", "2"], [run, text]),
        "recipes": Case(["recipes", choose.choice(["awd", "nope", "text.txt", "x.toml"])], []),
        "compare": Case(["compare", text, *SMALL, "--length", "6", "--cells", "rnn", "-o", "compared"], ["compared", text]),
        "valves": Case(["valves", run, "the cat sat"], [run]),
        "pairs": Case(["pairs", run, "the cat sat", "--replace", "cat=dog"], [run]),
        "probe": Case(["probe", run, "agree/test.jsonl"], [run, "agree"]),
        "gradients": Case(["gradients", run, "--steps", "6", "--batch-size", "2"], [run]),
        "cells": Case(["cells", choose.choice(["gru", "lstm-v4", "nope", ""])], []),
        "translate train": Case(["translate", "train", *two, *SMALL, "--vocab", "char"], two),
        "translate train resume": Case(["translate", "train", "--resume", translator], [translator, *two]),
        "translate run": Case(["translate", translator, "--beam", "2"], [translator], hostile(choose, b"af\nbg\n")),
        "translate score": Case(
            ["translate", "score", translator, "a.txt", "b.txt", "--beam", "1"], [translator, "a.txt", "b.txt"]
        ),
        "transcribe train": Case(["transcribe", "train", arrays, *SMALL], [arrays]),
        "transcribe train resume": Case(["transcribe", "train", "--resume", transcriber], [transcriber, "strings"]),
        "transcribe read": Case(["transcribe", "read", transcriber, arrays], [transcriber, arrays]),
        "transcribe score": Case(["transcribe", "score", transcriber, arrays], [transcriber, arrays]),
        "transcribe show": Case(["transcribe", "show", transcriber, arrays, "--figure", "t.png"], [transcriber, arrays]),
        "label train": Case(["label", "train", tagged, *SMALL, *table], [tagged]),
        "label train resume": Case(["label", "train", "--resume", labeller], [labeller, "tagged.txt", "trees.txt"]),
        "label score": Case(["label", "score", labeller, tagged, "--figure", "l.png"], [labeller, tagged]),
        "label predict": Case(["label", "predict", labeller, tagged], [labeller, tagged]),
        "label show": Case(["label", "show", labeller, tree, "--figure", "l.png"], [labeller]),
        "forecast train": Case(["forecast", "train", series, *SMALL, *FORECAST], [series]),
        "forecast train resume": Case(["forecast", "train", "--resume", forecaster], [forecaster, "series.csv"]),
        "forecast score": Case(["forecast", "score", forecaster, "--alone"], [forecaster, "series.csv"]),
        "forecast predict": Case(["forecast", "predict", forecaster, series], [forecaster, series]),
        "forecast show": Case(["forecast", "show", forecaster, "--figure", "f.png"], [forecaster, "series.csv"]),
        "check": Case(["check", any_run, "--entries", "1", "--directions", "1"], [any_run, "text.txt"]),
        "walkthrough": Case(["walkthrough", translator, "af", "bg", "--figure", "w.png"], [translator, "czech"]),
        "agreement score": Case(["agreement", "score", run, "agree/test.jsonl"], [run, "agree"]),
        "agreement corpus": Case(["agreement", "corpus", "made", "--train", "4", "--valid", "3", "--test", "3"], []),
        "claims": Case(["claims", "peepholes", "--seeds", "2", "--steps", "2", "-o", "claimed"], ["claimed"]),
        "claims projection": Case(["claims", "projection", text, "--seeds", "1", "--steps", "1"], [text]),
        "tasks report": Case(["tasks", "report", "-o", "results"], ["results"]),
        "tasks run": Case(
            ["tasks", "run", "order", "--seeds", "1", "--cap", "6", "--processes", "1", "-o", "results"], ["results"]
        ),
        "bench kernels": Case(["bench", "kernels", "--cells", "rnn", "--sizes", "1,2,3", "--seconds", "0.05"], []),
        "serve": Case(["serve", choose.choice(["missing", run])], [run]),
    }
    rare = ("claims projection", "bench kernels", "tasks run", "serve")  # they take seconds
    names = [name for name in made if name.startswith(about or ("",))]
    name = choose.choices(names, [0.08 if n in rare else 1.0 for n in names])[0]
    case = made[name]
    known = OPTIONS.get(name, ())
    for _ in range(choose.choice([0, 0, 1, 1, 2]) if known else 0):
        case.arguments += [f"--{choose.choice(known)}", whatever(choose)]
    if choose.random() < 0.2:
        case.arguments.append("--json")
    if choose.random() < 0.1:
        case.arguments[choose.randrange(len(case.arguments))] = whatever(choose)
    if choose.random() < 0.05:
        del case.arguments[choose.randrange(len(case.arguments))]
    return case


def hostile(choose: random.Random, content: bytes) -> bytes:
    """Bytes that are nearly, or not at all, what they were."""
    if not content:
        return content
    at = choose.randrange(len(content))
    return choose.choice(
        [
            content,
            content[:at],
            content[:at] + bytes([content[at] ^ 1 << choose.randrange(8)]) + content[at + 1 :],
            content[:at] + b"\0" + content[at:],
            content[:at] + b"\xff\xfe" + content[at:],
            content + content,
            b"",
            b"x" * 3000,
            choose.randbytes(200),
            b"[" * 100_000,
            b"{}",
            b"[]",
            b"null",
            content.replace(b"1", b"-1"),
            content.replace(b"1", b"1" * 40),
            content.replace(b"0", b"NaN"),
            content.replace(b'"', b"'"),
            content.replace(b": ", b": null, "),
        ]
    )
