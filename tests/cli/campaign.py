"""Random commands: hostile files, options and run folders, each command in a process that is forked from a prepared one.

    python -m tests.cli.campaign --count 10000 --seed 1         # ends with what was found, status 1 where anything was
    python -m tests.cli.campaign --seed 1 --only 4711 --keep /tmp/case      # one case again, its folder kept

What must be so, whatever is given: the status is 0, 1, 2 or 130; nothing is a traceback; a refusal (2) is one line and leaves
every folder with the files that it had; nobody leaves a lock or a half-written file; JSON that is asked for is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cli.campaign_cases import FORECAST, OF_TREES, Case, commands, hostile

STATUSES = {0, 1, 2, 130}
ENOUGH, TOO_LONG = 6.0, 40.0  # seconds until a command is interrupted, and until it is said to hang
MEMORY = 16 << 30  # of addresses: what asks for more is told so
WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "sat", "on", "the", "cat"]


@dataclass
class Outcome:
    """How it ended."""

    status: int
    out: str
    err: str
    seconds: float
    faults: list[str]


def fork(work: Callable[[], int], folder: Path, stdin: bytes, enough: float) -> tuple[int, str, str, float]:
    """Run in a process of its own, in ``folder``, with its streams in files; interrupted after ``enough`` seconds."""
    streams = [folder.parent / name for name in ("stdin", "stdout", "stderr")]
    streams[0].write_bytes(stdin)
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(work, folder, streams)
    told, status = False, None
    while status is None:
        done, raw = os.waitpid(pid, os.WNOHANG)
        seconds = time.monotonic() - begun
        if done:
            status = os.waitstatus_to_exitcode(raw)
        elif seconds > TOO_LONG:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            status = -999
        elif seconds > enough and not told:
            os.kill(pid, signal.SIGINT)
            told = True
        else:
            time.sleep(0.01)
    out, err = (path.read_bytes().decode(errors="backslashreplace") for path in streams[1:])
    return status, out, err, time.monotonic() - begun


def _child(work: Callable[[], int], folder: Path, streams: list[Path]) -> None:
    status = 97
    try:
        import resource

        for number, path in enumerate(streams):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY), number)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(k, mode, closefd=False) for k, mode in enumerate("rww"))
        os.chdir(folder)
        os.environ["TMPDIR"] = str(folder.parent / "temporary")
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def command(arguments: list[str]) -> int:
    """The command as the shell calls it."""
    from rich.console import Console

    from carousel.cli import main, screen

    screen.out = Console(**screen.PLAIN, width=200, file=sys.stdout)
    screen.err = Console(**screen.PLAIN, file=sys.stderr)
    sys.argv = ["carousel", *arguments]
    main()
    return 0


# --- what there is ------------------------------------------------------------------------------------------------------


def furnish(base: Path) -> None:
    """Texts and whole run folders; every case spoils a copy of some of them."""
    (base / "text.txt").write_text((" ".join(WORDS) + "\na dog and a cat\non the mat sat a dog\n") * 20)
    pairs = [x + y for x in "abcde" for y in "fghij"] * 2
    (base / "a.txt").write_text("".join(f"{x}\n" for x in pairs))
    (base / "b.txt").write_text("".join(f"{x.upper()}\n" for x in pairs))
    (base / "tagged.txt").write_text("the D\ncat N\n\na D\ndog N\nsat V\n\n" * 12)
    (base / "trees.txt").write_text("(1 a (1 t) (0 f))\n(0 n (1 t))\n(1 t)\n" * 12)
    rows = [f"s{k},{'ab'[k % 2]},{k % 2 + t / 9:.3f},{k / 7:.3f}" for k in range(16) for t in range(4)]
    (base / "kinds.csv").write_text("\n".join(["name,kind,x,y", *rows]) + "\n")
    (base / "series.csv").write_text("x,y\n" + "".join(f"{k % 6 + k * k % 7 / 9:.3f},{k % 5}\n" for k in range(120)))
    small = ["--hidden", "6", "--batch-size", "4", "--threads", "1", "--epochs", "1"]
    for arguments in (
        ["train", "text.txt", *small, "--length", "6", "-o", "run"],
        [
            "train",
            "text.txt",
            *small,
            "--length",
            "6",
            "--cell",
            "gru",
            "--vocab",
            "char",
            "--feed",
            "sentences",
            "-o",
            "other",
        ],
        ["translate", "train", "a.txt", "b.txt", *small, "--vocab", "char", "-o", "translator"],
        ["transcribe", "corpus", "strings", "--train", "12", "--valid", "4", "--test", "4"],
        ["transcribe", "train", "strings/train.npz", *small, "-o", "transcriber"],
        ["label", "train", "tagged.txt", *small, "--monitor", "1", "-o", "labeller"],
        ["label", "train", "kinds.csv", *small, "--sequence", "name", "--label", "kind", "--whole", "-o", "whole-labeller"],
        ["label", "train", "trees.txt", *small, *OF_TREES, "-o", "tree-labeller"],
        ["forecast", "train", "series.csv", *small, *FORECAST, "-o", "forecaster"],
        ["compare", "text.txt", *small, "--length", "6", "--cells", "rnn", "-o", "compared"],
        ["agreement", "corpus", "agree", "--train", "40", "--valid", "10", "--test", "20"],
        ["translate", "corpus", "czech", "--train", "40", "--valid", "10", "--test", "12"],
        ["claims", "peepholes", "--seeds", "2", "--steps", "2", "-o", "claimed"],
        ["tasks", "run", "order", "--seeds", "1", "--cap", "6", "--processes", "1", "-o", "results"],
    ):
        status, _, err, _ = fork(lambda a=arguments: command(a), base, b"", 200)
        assert status == 0, (arguments, err)
    _unfinished(base)


def _unfinished(base: Path) -> None:
    """Runs that stand in the middle, as a kill leaves them."""
    for name in ("run", "translator", "transcriber", "labeller", "tree-labeller", "forecaster"):
        made = "half" if name == "run" else f"half-{name}"
        shutil.copytree(base / name, base / made)
        (base / made / "result.json").unlink()
        config = json.loads((base / made / "config.json").read_text())
        config["training"]["epochs"] = 2
        (base / made / "config.json").write_text(json.dumps(config))


HOWS = ("missing", *["changed"] * 3, *["another value"] * 4, "another", "folder", "pipe", "loop", "empty folder around")
VALUES = (None, True, -1, 0, 1, 2, 3, 7, 0.5, 1e308, math.inf, math.nan, 1 << 31, 1 << 63, 10**30, "", "x", "gru", "rnn", "bpe")


def other_value(choose: random.Random, text: str) -> str:
    """JSON, or one of its lines, with one value of its own replaced, left out or added."""
    lines = text.splitlines() if text.count("\n{") > 0 else [text]
    at = choose.randrange(len(lines)) if lines else 0
    try:
        top = json.loads(lines[at])
    except (ValueError, IndexError, RecursionError):
        return text
    inner = top
    while isinstance(inner, dict | list) and inner:
        key = choose.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        deeper = inner[key]
        if isinstance(deeper, dict | list) and deeper and choose.random() < 0.8:
            inner = deeper
            continue
        value = choose.choice([*VALUES, [], {}, ["x"], {"x": 1}, [deeper], deeper, [deeper] * 3])
        if choose.random() < 0.15:
            del inner[key]
        elif choose.random() < 0.1 and isinstance(inner, dict):
            inner[f"{key}s"] = value
        else:
            inner[key] = -deeper if isinstance(deeper, int | float) and choose.random() < 0.2 else value
        break
    lines[at] = json.dumps(top)
    return "\n".join(lines) + "\n"


def spoil(choose: random.Random, folder: Path) -> str:
    """One file of the folder is missing, cut, changed, another, or no file; says which."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if not files:
        return ""
    how = choose.choice(HOWS)
    path = choose.choice([p for p in files if how != "another value" or p.suffix in (".json", ".jsonl")] or files)
    content = path.read_bytes()
    others = [p.read_bytes() for p in files if p.suffix == path.suffix or choose.random() < 0.1]
    path.unlink()
    if how == "changed":
        path.write_bytes(hostile(choose, content))
    elif how == "another value":
        path.write_text(other_value(choose, content.decode(errors="replace")))
    elif how == "another":
        path.write_bytes(choose.choice(others) if others else b"")
    elif how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "empty folder around" and path.parent != folder:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
    return f"{path.relative_to(folder)}: {how}"


def odd_name(choose: random.Random, folder: Path, case: Case) -> None:
    """A text under a name that could do something to a line, or to Python."""
    name = choose.choice(
        ["a\nb.txt", "\x1b[31mred.txt", "é\u2028.txt", os.fsdecode(b"\xff.txt"), "[bold].txt", "-x.txt", "n" * 250]
    )
    if (folder / "text.txt").is_file() and "text.txt" in case.arguments:
        (folder / "text.txt").rename(folder / name)
        case.arguments[case.arguments.index("text.txt")] = f"./{name}"


# --- what is to be so ----------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> set[str]:
    """Everything in a folder, by name."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def faults(case: Case, status: int, out: str, err: str, before: set[str], after: set[str], left: list[str]) -> Iterator[str]:
    """What is not as it must be."""
    if status == -999:
        yield "hangs"
        return
    if status not in STATUSES:
        yield f"status {status}"
    if "Traceback" in err:
        yield f"traceback: {err.strip().splitlines()[-1][:160]}"
    lines = err.splitlines()
    if status == 2 and (len(lines) != 1 or not lines[0].startswith("carousel: ")):
        yield f"{len(lines)} lines for a refusal"
    if status in (1, 130) and not lines:
        yield "a failure without a word"
    if status == 2 and after - before:
        yield f"left behind: {sorted(after - before)[:4]}"
    if left:
        yield f"temporary files are left: {left[:3]}"
    litter = [name for name in after - before if Path(name).name == ".lock" or name.endswith(".tmp")]
    if litter:
        yield f"litter: {litter}"
    if status == 0 and "--json" in case.arguments and "--help" not in case.arguments and case.arguments[0] != "serve":
        try:
            for line in out.rstrip("\n").split("\n"):  # a name may hold other ends of lines
                json.loads(line)
        except ValueError:
            yield "what is on standard output is no JSON"


def attempt(base: Path, here: Path, seed: int, number: int, about: tuple[str, ...]) -> tuple[Case, Outcome]:
    """Make the case of that number, run it, and look."""
    choose = random.Random(f"{seed} {number}")
    case = commands(choose, about)
    folder = here / "folder"
    shutil.rmtree(here, ignore_errors=True)
    (here / "temporary").mkdir(parents=True)
    folder.mkdir()
    for name in dict.fromkeys(u.split("/")[0] for u in case.uses):
        if (base / name).is_dir() and name != ".":
            shutil.copytree(base / name, folder / name, symlinks=True)
        elif (base / name).is_file():
            shutil.copy(base / name, folder / name)
    for config in folder.glob("*/config.json"):  # paths in it are absolute
        config.write_text(config.read_text().replace(str(base), str(folder)))
    for _ in range(choose.choice([0, 1, 1, 1, 2])):
        case.spoilt.append(spoil(choose, folder))
    if choose.random() < 0.05:
        odd_name(choose, folder, case)
    os.mkfifo(folder / "a_pipe")
    before = files_of(folder) | files_of(base)  # what was missing may be made again
    status, out, err, seconds = fork(lambda: command(case.arguments), folder, case.stdin, ENOUGH)
    after, left = files_of(folder), sorted(files_of(here / "temporary"))
    return case, Outcome(status, out, err, seconds, list(faults(case, status, out, err, before, after, left)))


def prepare() -> None:
    """Import everything once, with nothing running beside: a process that is forked has it already."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    import importlib
    import pkgutil

    import carousel

    for module in pkgutil.walk_packages(carousel.__path__, "carousel."):
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # what another package is for that is not there
                importlib.import_module(module.name)
    # Imported by functions that need them; the first optimizer takes torch._dynamo, which makes a temporary folder.
    late = "matplotlib.backends.backend_agg matplotlib.figure sacrebleu sklearn.linear_model torch._dynamo uvicorn"
    for name in late.split():
        importlib.import_module(name)
    import numpy as np
    import torch

    np.ones((4, 4)) @ np.ones((4, 4))
    torch.set_num_threads(1)


def main() -> int:
    """The campaign; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--about", nargs="*", default=[], help="only commands whose names begin so")
    parser.add_argument("--keep", type=Path, help="work there, and leave it")
    given = parser.parse_args()
    prepare()
    here = given.keep or Path(tempfile.mkdtemp(prefix="campaign-"))
    here.mkdir(parents=True, exist_ok=True)
    statuses: Counter[int] = Counter()
    found: list[str] = []
    slow = 0
    try:
        if not (here / "base" / "half-forecaster").exists():
            shutil.rmtree(here / "base", ignore_errors=True)
            (here / "base").mkdir()
            furnish(here / "base")
        numbers = range(given.first, given.first + given.count) if given.only is None else [given.only]
        for k, number in enumerate(numbers, 1):
            case, outcome = attempt(here / "base", here / "case", given.seed, number, tuple(given.about))
            statuses[outcome.status] += 1
            slow += outcome.seconds > ENOUGH
            if outcome.faults or given.only is not None or outcome.seconds > ENOUGH:
                row = {"case": number, "arguments": case.arguments, "spoilt": case.spoilt, "status": outcome.status}
                row |= {"faults": outcome.faults, "seconds": round(outcome.seconds, 1), "err": outcome.err[-1500:]}
                print(json.dumps(row), flush=True)
            found += outcome.faults
            if k % 100 == 0:
                print(f"{k} cases, {dict(statuses)}, {len(found)} faults, {slow} interrupted", flush=True)
    finally:
        if given.keep is None:
            shutil.rmtree(here, ignore_errors=True)
    print(f"{sum(statuses.values())} cases, statuses {dict(sorted(statuses.items()))}, {len(found)} faults, {slow} interrupted")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
