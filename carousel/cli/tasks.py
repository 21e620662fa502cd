"""``carousel tasks``: the experiments of 1997, and later ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from carousel.bench import kernels as bench_kernels
from carousel.cli import commands, options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.runs.trials import Trials
from carousel.tasks import recipes, report, runs
from carousel.tasks.rows import ROWS

EXAMPLE = "Example: carousel tasks run adding --T 1000 --cell lstm-v1 --seeds 10"
FOLDER = Path("runs/tasks")
QUICK, QUICK_CAP = "adding", 4500
SIZES = ((64, 8, 1000), (1, 8, 1000), (1, 4, 100))  # rows, units, steps
app = commands.Commands(
    invoke_without_command=True, help="The six experiments of 1997, in fewer sequences: list, run, report.", epilog=EXAMPLE
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")]


@app.callback()
def listing(context: typer.Context, json: options.Json = False) -> None:
    """List, run and report the six experiments of 1997, in fewer sequences. Without a command, the list."""
    if context.invoked_subcommand is not None:
        return
    shown = []
    for row in ROWS:
        paper = ", ".join(f"{p.after:,}" + (f" ({goal})" if len(row.goals) > 1 else "") for goal, p in row.goals.items())
        settings = " ".join(f"--{n} {v}" for n, v in row.setting.items())
        shown.append(
            {"no.": row.experiment, "task": row.task, "settings": settings, "sequences, 1997": paper, "what": row.about}
        )
    if json:
        screen.print_json([{**s, "cap": row.cap, "seeds": row.trials} for s, row in zip(shown, ROWS, strict=True)])
        return
    headings = {h: "right" if h == "sequences, 1997" else "left" for h in shown[0]}
    screen.out.print(screen.table("Tasks: carousel tasks run TASK", headings, shown))


@app.command("run", epilog=EXAMPLE)
def run(
    context: typer.Context,
    task: Annotated[
        str | None, typer.Argument(help="A task or its number, or all; see carousel tasks.", show_default=False)
    ] = None,
    t: Annotated[int | None, typer.Option("--T", min=1, help="Steps (3, 4, 2011).", show_default=False)] = None,
    n: Annotated[int | None, typer.Option("--N", min=1, help="Values that matter (3).", show_default=False)] = None,
    q: Annotated[int | None, typer.Option("--q", min=1, help="Lag (2c).", show_default=False)] = None,
    p: Annotated[int | None, typer.Option("--p", min=1, help="Distractors (2c).", show_default=False)] = None,
    cell: Annotated[str, typer.Option(help="Cells of carousel cells, separated by commas.")] = "lstm-v1",
    recipe: Annotated[
        str,
        typer.Option(
            help="today; faithful: the network and the descent of 1997; truncated: its gradient as well; "
            "hessian-free, adamw: for the problems of 2011."
        ),
    ] = "today",
    seeds: Annotated[int | None, typer.Option(min=1, help="Trials; as many as the paper's.", show_default=False)] = None,
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    cap: Annotated[
        int | None, typer.Option(min=1, help="Sequences after which a trial has failed; the row's.", show_default=False)
    ] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Units; as in carousel's report.", show_default=False)] = None,
    without: Annotated[
        str, typer.Option(help=f"Details of today's recipe to be left out, one at a time: {', '.join(recipes.DETAILS)}.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Adding with T = 100: LSTM v2 and the RNN, a seed each.")] = False,
    processes: Annotated[int, typer.Option(min=0, help="Trials side by side; 0: as many as processors.")] = 0,
    out: Out = FOLDER,
    json: options.Json = False,
) -> None:
    """Train until the paper's stopping criterion holds, or the cap is reached; then test on the paper's number of sequences.

    Results are kept one file a trial: interrupted, the same command goes on where it stopped.
    """
    if recipe not in recipes.RECIPES:
        raise InputError(f"--recipe must be one of {', '.join(recipes.RECIPES)}, not {recipe!r}")
    decided: dict[str, tuple[str, ...]] = {"--quick": ("task", "t", "cell", "recipe") if quick else ()}
    decided |= {f"--recipe {recipe}": ("cell", "hidden") if recipe in recipes.OF_1997 else ()}
    for option, parameters in decided.items():
        for name in (n for n in parameters if options.is_given(context, n)):
            raise InputError(f"{option} has its own {name}; leave that out")
    if quick:
        task, t, cell, seeds, recipe, cap = QUICK, 100, "lstm-v2,rnn", seeds or 1, "today", cap or QUICK_CAP
    if task is None:
        raise InputError("give a task, or all; carousel tasks lists them")
    setting = {name: value for name, value in (("T", t), ("N", n), ("q", q), ("p", p)) if value is not None}
    rows = runs.find(task, setting)
    names = commands.cells(cell)
    left_out = [d.strip() for d in without.split(",") if d.strip()]
    for detail in left_out:
        if detail not in recipes.DETAILS:
            raise InputError(f"--without takes {', '.join(recipes.DETAILS)}, not {detail!r}")
    if left_out and recipe != "today":
        raise InputError("--without leaves out details of today's recipe: leave --recipe out")
    jobs = []
    for row in rows:
        if recipe == "today":
            whole, most = [recipes.today(row, name, hidden) for name in names], cap
            made = [recipes.without(r, detail) for r in whole for detail in left_out] or whole
        elif recipe in recipes.BY_LIKELIHOOD:
            made, most = [recipes.by_likelihood(row, recipe, name, hidden) for name in names], cap
        else:
            made, most = [recipes.faithful(row, truncated=recipe == "truncated")], cap or recipes.faithful_cap(row)
        last = first_seed + (seeds or row.trials)
        jobs += [runs.Job(row.key, m, seed, most) for m in made for seed in range(first_seed, last)]
    with _progress(len(jobs)) as (tell, finished):
        found = []
        for result in runs.run(jobs, out, processes or os.cpu_count() or 1, tell):
            found.append(result)
            finished(result)
    places = {job.name: place for place, job in enumerate(jobs)}  # trials end in any order
    found.sort(key=lambda result: places[runs.name_of(result)])
    if json:
        screen.print_json(found)
        return
    show(found)


@app.command("report", epilog="Example: carousel tasks report --figure tasks.png")
def report_(out: Out = FOLDER, figure: options.Figure = None, json: options.Json = False) -> None:
    """Print the paper's tables with our columns beside, of all results in the folder."""
    figures.check(figure)
    trials = Trials(out)
    if figure is not None:
        figures.save(trials.figure(), figure)
    if json:
        screen.print_json(trials.table())
        return
    show(trials.results)
    if figure is not None:
        print(f"\nfigure {figure}")


@app.command("bench", epilog="Example: carousel tasks bench --jax")
def bench(
    cells_: Annotated[str, typer.Option("--cells", help="Cells, separated by commas.")] = "lstm-v1,lstm-v2",
    jax: Annotated[bool, typer.Option("--jax", help="JAX's lax.scan as well (package jax; all processors).")] = False,
    seconds: Annotated[float, typer.Option(min=0.05, help="About how long each way is measured.")] = 1.0,
    threads: options.Threads = 1,
    json: options.Json = False,
) -> None:
    """Time a unit and step, in nanoseconds, at the sizes of these tasks, beside torch.nn.LSTM and the eager loop."""
    if jax and not bench_kernels.jax_scan.available():
        raise InputError("--jax needs the package jax: pip install carousel-rnn[bench]")
    if threads:
        torch.set_num_threads(threads)
    rows = []
    for size in SIZES:
        for cell in commands.cells(cells_, alone=False):
            for found in bench_kernels.measure(bench_kernels.Case(cell, *size), jax=jax, seconds=seconds):
                steps = size[0] * size[1] * size[2]
                each = {name: 1e9 * s / steps for name, s in found["seconds"].items()}
                rows.append({"cell": cell, "B·H·T": "·".join(map(str, size)), "run": found["what"], "nanoseconds": each})
    if json:
        screen.print_json(rows)
        return
    table = [
        {"cell": r["cell"], "B·H·T": r["B·H·T"], "run": r["run"], **{n: f"{x:.1f}" for n, x in r["nanoseconds"].items()}}
        for r in rows
    ]
    title = f"Nanoseconds a unit and step, {threads or torch.get_num_threads()} thread(s), float32"
    screen.print_rows(title, table, ("cell", "run"))


def show(results: list[dict[str, Any]]) -> None:
    """Print the table of some results."""
    shown, before = [], None
    for line in report.lines(results):
        name = f"{line['row']}: {line['goal']}"
        after = f"{line['mean']:,.0f}" if line["mean"] is not None else f"not in {line['cap']:,}"
        spread = f"{line['least']:,} – {line['most']:,}" if line.get("least") is not None else ""
        wrong = f"{line['wrong']:.3g}" if line.get("wrong") is not None else ""
        shown.append(
            {
                "row": "" if name == before else name,
                "network": line["net"],
                "weights": f"{line['weights']:,}" if line["weights"] else "",
                "trials": str(line.get("trials", "")),
                "success": f"{line['success']:.0f} %",
                "sequences": after,
                "least – most": spread,
                "fewer": f"{line['fewer']:.1f} ×" if line.get("fewer") else "",
                "wrong": wrong + (f" (≤ {line['worst']})" if line.get("worst") else ""),
                "of": f"{line['of']:,}" if line.get("of") else "",
                "s": f"{line['seconds']:.0f}" if "seconds" in line else "",
                "CPU s": f"{line['cpu_seconds']:.1f}" if "cpu_seconds" in line else "",
            }
        )
        before = name
    headings = {h: "left" if h in ("row", "network") else "right" for h in shown[0]}
    screen.out.print(screen.table("Sequences presented until the paper's criterion held", headings, shown))


@contextmanager
def _progress(jobs: int) -> Iterator[Any]:
    """Show a bar for all trials, and how far the running ones are; without a terminal a line for each that ends."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,}/{task.total:,}"),
        TimeElapsedColumn(),
        console=screen.err,
        transient=True,
        disable=not screen.err.is_terminal,
    )
    with progress:
        whole = progress.add_task("trials", total=jobs)
        running: dict[str, Any] = {}

        def tell(name: str, presented: int, most: int) -> None:
            if name not in running:
                running[name] = progress.add_task(name, total=most)
            progress.update(running[name], completed=presented)

        def finished(result: dict[str, Any]) -> None:
            name = runs.name_of(result)
            if name in running:
                progress.remove_task(running.pop(name))
            progress.advance(whole)
            said = f"after {result['presented']:,}" if result["success"] else f"failed, {result['presented']:,} sequences"
            screen.err.print(f"{name}: {said}, {result['seconds']:.0f} s")

        yield tell, finished
