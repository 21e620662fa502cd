"""``carousel bench``: measurements that the reader can repeat."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

from carousel.bench import grids as bench_grids
from carousel.bench import kernels as bench_kernels
from carousel.bench import lm as bench_lm
from carousel.bench import recording as bench_recording
from carousel.bench import rl as bench_rl
from carousel.bench import startup as bench_startup
from carousel.cli import bench_gpu, bench_size, bench_stream, commands, options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.kernels.triton import WAYS
from carousel.language.feeding import Stream
from carousel.language.model import ModelConfig
from carousel.language.softmax import KINDS
from carousel.text.encoded import EncodedText
from carousel.text.lines import check_file, lines
from carousel.text.vocabulary import Vocabulary
from carousel.training.config import TrainConfig
from carousel.training.device import found

app = commands.Commands(no_args_is_help=True, help="Measure speed side by side in one run: medians and ratios.")
EXAMPLE = "Example: carousel bench kernels --cells lstm,lstm-v3 --sizes 20,200,35"

Seconds = Annotated[float, typer.Option(min=0.05, help="About how long each way is measured.")]


def _threads(threads: int) -> int:
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


@app.command("kernels", epilog=EXAMPLE)
def kernels(
    cells: Annotated[str, typer.Option(help="Cells, separated by commas.")] = "lstm,lstm-v3,lstm-v4,gru,rnn",
    sizes: Annotated[
        list[str] | None, typer.Option(help="rows,units,steps; may be given several times.", show_default=False)
    ] = None,
    packed: Annotated[bool, typer.Option("--packed", help="Rows of different lengths, 20 to all steps.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile as well: minutes of compiling.")] = False,
    jax: Annotated[bool, typer.Option("--jax", help="JAX's lax.scan as well (package jax; all processors).")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="ONNX Runtime as well, forward (package onnxruntime).")] = False,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Products in bfloat16 (autocast) as well.")] = False,
    device: Annotated[str, typer.Option(help="cpu, or cuda: a GPU, with sizes, types and rivals of its own.")] = "cpu",
    ways: Annotated[str, typer.Option(help=f"On a GPU, ways to force beside our own choice: {','.join(WAYS)}.")] = "",
    types: Annotated[str, typer.Option(help="On a GPU, types separated by commas.")] = "bfloat16,float32",
    compile_only: Annotated[bool, typer.Option("--compile-only", help="Compile for a GPU; it need not be here.")] = False,
    seconds: Seconds = 1.0,
    threads: options.Threads = 0,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Time our layers beside torch.nn's, the eager loop, and the matrix products alone (100 %)."""
    figures.check(figure)
    if device == "cuda" or compile_only:
        how = {"compiled": compiled, "jax": jax, "compile_only": compile_only, "json": json}
        bench_gpu.kernels(cells, _sizes(sizes), types, ways, seconds, **how)
        return
    if device != "cpu":
        raise InputError(f"--device must be cpu or cuda, not {device!r}")
    used = _threads(threads)
    names = commands.cells(cells, alone=False)
    shapes = _sizes(sizes) or bench_kernels.SIZES
    if jax and not bench_kernels.jax_scan.available():
        raise InputError("--jax needs the package jax: pip install carousel-rnn[bench]")
    if onnx and not bench_kernels.onnx_runtime.available():
        raise InputError("--onnx needs the packages onnx and onnxruntime: pip install carousel-rnn[bench]")
    rows: list[dict[str, Any]] = []
    cases = [bench_kernels.Case(n, *s, packed=packed) for s in shapes for n in names]
    with screen.counting("measuring") as tick:
        for k, case in enumerate(cases):
            tick(k, len(cases))
            found = bench_kernels.measure(case, compiled=compiled, jax=jax, onnx=onnx, bfloat16=bfloat16, seconds=seconds)
            rows += [{**r, "threads": used} for r in found]
    if figure is not None:
        figures.save(bench_kernels.draw(rows), figure)
    if json:
        screen.print_json(rows)
        return
    table = [_row(r) for r in rows]
    title = f"{used} thread{'s' * (used > 1)}, float32; on the right, how many times as long the others take"
    screen.print_rows(title, table, ("cell", "run"))
    if figure is not None:
        print(f"\nfigure {figure}")


def _sizes(given: list[str] | None) -> list[tuple[int, int, int]]:
    return [_three("--sizes", "rows,units,steps", text, "20,200,35") for text in given or []]


def _three(option: str, parts: str, text: str, example: str = "32,32,64") -> tuple[int, int, int]:
    found = options.numbers(text)
    if len(found) != 3:
        raise InputError(f"{option} takes {parts}, such as {example}, not {text!r}")
    a, b, c = found
    return a, b, c


def _row(r: dict[str, Any]) -> dict[str, str]:
    ours = r["seconds"]["carousel"]
    shown = {
        "cell": r["cell"] + (" packed" if r["packed"] else ""),
        "B·H·T": f"{r['batch']}·{r['hidden']}·{r['steps']}",
        "run": r["what"],
        "ms": f"{1000 * ours:.2f}",
        "GFLOP/s": f"{r['flops'] / ours / 1e9:.0f}",
        "of products": f"{100 * r['floor_seconds'] / ours:.0f} %",
    }
    for name, seconds in r["seconds"].items():
        if name != "carousel":
            short = "torch.nn" if name.startswith("torch.nn") else name.removesuffix(" bfloat16")
            shown[short + " bfloat16" * name.endswith("bfloat16")] = f"{seconds / ours:.2f}"
    return shown


@app.command("recording", epilog="Example: carousel bench recording --cells lstm,gru --sizes 20,200,35")
def recording(
    cells: Annotated[str, typer.Option(help="Cells, separated by commas.")] = "lstm,lstm-v3",
    sizes: Annotated[
        list[str] | None, typer.Option(help="rows,units,steps; may be given several times.", show_default=False)
    ] = None,
    seconds: Seconds = 1.0,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Time the recording of every step's memory and a clamped gate, beside the plain run and the eager loop."""
    used = _threads(threads)
    shapes = _sizes(sizes) or bench_recording.SIZES
    cases = [bench_kernels.Case(n, *s) for s in shapes for n in commands.cells(cells, alone=False)]
    rows: list[dict[str, Any]] = []
    with screen.counting("measuring") as tick:
        for k, case in enumerate(cases):
            tick(k, len(cases))
            rows += [{**r, "threads": used} for r in bench_recording.measure(case, seconds=seconds)]
    if json:
        screen.print_json(rows)
        return
    table = []
    for r in rows:
        plain, shape = r["seconds"]["plain"], f"{r['batch']}·{r['hidden']}·{r['steps']}"
        ratios = {name: f"{x / plain:.2f}" for name, x in r["seconds"].items() if name != "plain"}
        table.append({"cell": r["cell"], "B·H·T": shape, "run": r["what"], "plain, ms": f"{1000 * plain:.2f}", **ratios})
    title = f"{used} thread{'s' * (used > 1)}, float32; on the right, how many times as long as the plain run"
    screen.print_rows(title, table, ("cell", "run"))


@app.command("grids", epilog="Example: carousel bench grids --grid 16,8,32 --trees 20,16,64")
def grids(
    grid: Annotated[str, typer.Option(help="side,images,units: an MDLSTM over images from one corner.")] = "32,32,64",
    trees: Annotated[str, typer.Option(help="nodes,trees,units: a Tree-LSTM over binary trees.")] = "50,64,150",
    sets: Annotated[str, typer.Option(help="nodes,trees,units: a child-sum Tree-LSTM over trees.")] = "50,64,150",
    seconds: Seconds = 1.0,
    threads: options.Threads = 1,
    json: options.Json = False,
) -> None:
    """Time a grid and trees beside the same loop in PyTorch's operations, and beside frames of nodes, as DGL has them.

    With one thread the time is the processor's.
    """
    used = _threads(threads)
    made = (
        ("--grid", "side,images,units", grid, bench_grids.grid),
        ("--trees", "nodes,trees,units", trees, bench_grids.trees),
        ("--sets", "nodes,trees,units", sets, bench_grids.sets),
    )
    cases = [make(*_three(option, parts, text)) for option, parts, text, make in made]
    rows: list[dict[str, Any]] = []
    with screen.counting("measuring") as tick:
        for k, case in enumerate(cases):
            tick(k, len(cases))
            rows += [{**r, "threads": used} for r in bench_grids.measure(case, seconds)]
    if json:
        screen.print_json(rows)
        return
    table = []
    for r in rows:
        ours = r["seconds"]["carousel"]
        others = {name: f"{x / ours:.2f}" for name, x in r["seconds"].items() if name != "carousel"}
        share = f"{100 * r['floor_seconds'] / ours:.0f} %"
        shown = {"case": r["case"], "run": r["run"], "ms": f"{1000 * ours:.1f}", "GFLOP/s": f"{r['gflops']:.0f}"}
        table.append({**shown, "of products": share, **others})
    title = f"{used} thread{'s' * (used > 1)}, float32; on the right, how many times as long the others take"
    screen.print_rows(title, table, ("case", "run"))


@app.command("lm", epilog="Example: carousel bench lm train.txt --layers 2 --hidden 200")
def lm(
    file: Annotated[Path, typer.Argument(help="A text file, UTF-8.", show_default=False)],
    cell: Annotated[str, typer.Option(help="A cell of carousel cells.")] = "lstm",
    layers: Annotated[int, options.option(ModelConfig, "layers")] = 2,
    hidden: Annotated[int, options.option(ModelConfig, "hidden", "Units of a layer.")] = ModelConfig().width,
    tied: Annotated[bool, options.option(ModelConfig, "tied")] = ModelConfig.tied,
    batch_size: Annotated[int, options.option(TrainConfig, "batch_size")] = TrainConfig.batch_size,
    length: Annotated[int, options.option(TrainConfig, "length")] = TrainConfig.length,
    softmax: Annotated[str, typer.Option(help="Output layers, separated by commas.")] = "full,adaptive,sampled",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 (autocast) or both, with a comma.")] = "float32",
    device: Annotated[str, options.option(TrainConfig, "device")] = TrainConfig.device,
    seconds: Seconds = 5.0,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Count words per second in training, beside the same model written with torch.nn.LSTM."""
    used = _threads(threads)
    kinds = options.several("--softmax", softmax, KINDS)
    precisions = options.several("--precision", precision, ("float32", "bfloat16"))
    card = found(device)
    check_file(file)
    with TemporaryDirectory() as folder, screen.counting("measuring") as tick:
        tick(0, None)
        vocabulary = Vocabulary.train("word", lines([file]), None)
        corpus = EncodedText.encode(lines([file]), vocabulary, Path(folder), "train")
        if len(corpus) < batch_size * length:
            raise InputError(f"{file} has {len(corpus)} words, fewer than one batch of {batch_size} rows × {length} steps")
        config = ModelConfig(commands.cell(cell).name, hidden=hidden, layers=layers, tied=tied, dropout=0.0)
        batches = Stream(corpus, vocabulary.end, batch_size, length)
        rows = bench_lm.measure(batches, vocabulary.size, config, kinds, precisions, seconds, card)
    rows = [{**r, "device": str(card), "threads": used, "vocabulary": vocabulary.size} for r in rows]
    if json:
        screen.print_json(rows)
        return
    shown = [
        {
            "model": r["model"],
            "ms a step": f"{r['milliseconds']:.1f}",
            "words per second": f"{r['words_per_second']:,.0f}",
            "ratio": f"{r['ratio']:.2f}" if math.isfinite(r["ratio"]) else "",
        }
        for r in rows
    ]
    where = f"{used} thread{'s' * (used > 1)}" if card.type == "cpu" else str(card)
    title = f"{layers} × {hidden} {cell}, {vocabulary.size:,} words, {batch_size} rows × {length} steps, {where}"
    screen.print_rows(title, shown, ("model",))


@app.command("startup", epilog="Example: carousel bench startup --repeats 5")
def startup(
    repeats: Annotated[int, typer.Option(min=1, help="How often each is timed, all in turn.")] = 5,
    json: options.Json = False,
) -> None:
    """Measure how long commands take to start, beside import torch alone: medians, by the clock and of the processor."""
    with screen.counting("starting") as tick:
        rows = bench_startup.measure(repeats, tick=tick)
    if json:
        screen.print_json(rows)
        return
    table = [
        {
            "started": r["name"],
            "seconds": f"{r['seconds']:.2f}",
            "ratio": f"{r['ratio']:.2f}",
            "of the processor": f"{r['cpu']:.2f}",
            "ratio of that": f"{r['cpu_ratio']:.2f}",
        }
        for r in rows
    ]
    title = f"Medians of {repeats}; ratios are to import torch"
    screen.print_rows(title, table, ("started",))


@app.command("rl", epilog="Example: carousel bench rl --cells lstm,gru --steps 30000 --figure rl.png")
def rl(
    cells: Annotated[
        str, typer.Option(help="Cells, separated by commas; sb3-contrib's own LSTM is beside them.")
    ] = "lstm,lstm-v3",
    steps: Annotated[int, typer.Option(min=1, help="Frames of a run.")] = 30_000,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 3,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """RecurrentPPO on CartPole without velocities (extra rl): frames a second of one processor, beside sb3-contrib's LSTM."""
    if not bench_rl.available():
        raise InputError("bench rl needs the package sb3-contrib: pip install carousel-rnn[rl]")
    figures.check(figure)
    names = commands.cells(cells)
    with screen.counting("learning") as tick:
        rows = bench_rl.measure(names, steps, seeds, tick)
    if figure is not None:
        figures.save(bench_rl.draw(rows), figure)
    if json:
        screen.print_json(rows)
        return
    by_seed = {r["seed"]: r for r in rows if r["way"] == bench_rl.THEIRS}
    table = [
        {
            "policy": r["way"],
            "seed": str(r["seed"]),
            "frames/s": f"{r['overall']:,.0f}",
            "in updates": f"{r['update']:,.0f}",
            "ratio": f"{r['overall'] / by_seed[r['seed']]['overall']:.2f}",
            "in updates, ratio": f"{r['update'] / by_seed[r['seed']]['update']:.2f}",
            "steps an episode": f"{r['curve'][-1][1]:.0f}" if r["curve"] else "",
        }
        for r in rows
    ]
    title = f"{rows[0]['frames']:,} frames, one thread, by the processor's time; at the end the mean of the last 20 episodes"
    screen.print_rows(title, table, ("policy",))
    if figure is not None:
        print(f"\nfigure {figure}")


app.command("stream", epilog="Example: carousel bench stream --units 200 --figure stream.png")(bench_stream.command)
app.command("size", epilog="Example: carousel bench size --cell lstm --units 64")(bench_size.command)
