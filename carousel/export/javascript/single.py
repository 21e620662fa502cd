"""A cell of one unit as JavaScript: its steps and, by the same printer, its steps backwards."""

from __future__ import annotations

from pathlib import Path

import carousel
from carousel.equations.single import Single
from carousel.export.c99.file import helpers
from carousel.export.javascript.layers import JsPrinter

HERE = Path(__file__).parent
ABOUT = """// forward(w, e): every quantity of every step of a sequence e, from states that are zero; w are the weights.
// backward(w, a, given): of what forward found and the error that each step's output is given: the gradient of the weights,
// and the error that has come back to each state after each step, and to each number of the input."""


def one_unit(cell: Single) -> str:
    """Return a cell of one unit as a module of JavaScript in double precision, with its gradient.

    The module exports ``weights`` (names), ``states`` and ``names`` of quantities, ``forward`` and ``backward``.

    Args:
        cell: of one unit.
    """
    body = _Writer(cell).module()
    equations = "\n".join(f"//   {line}" for line in cell.loop.about.splitlines())
    head = f"// {cell.loop.name}, one unit. Made by carousel {carousel.__version__}.\n//\n{equations}\n//\n{ABOUT}\n"
    return f"{head}\n{helpers(body, HERE / 'helpers.js')}\n{body}"


class _Writer:
    def __init__(self, cell: Single):
        self.cell, self.loop, self.derivative = cell, cell.loop, cell.derivative
        self.at = {symbol: f"w[{k}]" for k, symbol in enumerate(cell.symbols)}
        self.printer = JsPrinter(lambda symbol: self.at.get(symbol, str(symbol)))
        self.states = [s for s in self.loop.states if s.size is not None]
        self.equations = [e for stage in self.loop.stages for e in stage.equations]

    def module(self) -> str:
        kept = [*(str(s.before) for s in self.states), str(self.loop.input), *(str(s) for s, _ in self.equations)]
        if self.loop.clock is not None:
            kept.append(str(self.loop.clock))
        names = {str(s)[:-2]: str(s) for s, _ in self.equations if str(s).endswith("_t")}
        return "\n".join(
            [
                f"export const weights = {_list(self.cell.weights)};",
                f"export const states = {_list(s.name for s in self.states)};",
                f"export const names = {_record(names)};\n",
                *self.forward(kept),
                "",
                *self.backward(),
                "",
            ]
        )

    def forward(self, kept: list[str]) -> list[str]:
        """Return the function of all steps."""
        last = [f"  let {', '.join(f'{s.after}_last = 0' for s in self.states)};"]
        begin = [f"    const {self.loop.input} = (a.{self.loop.input}[k] = e[k]);"]
        begin += [f"    const {s.before} = (a.{s.before}[k] = {s.after}_last);" for s in self.states]
        if self.loop.clock is not None:
            begin.append(f"    const {self.loop.clock} = (a.{self.loop.clock}[k] = k);")
        steps = [f"    const {s} = (a.{s}[k] = {self.printer.doprint(expr)});" for s, expr in self.equations]
        arrays = [f"    {name}: new Float64Array(e.length)," for name in dict.fromkeys(kept)]
        return [
            "export function forward(w, e) {",
            "  const a = {",
            *arrays,
            "  };",
            *last,
            "  for (let k = 0; k < e.length; k += 1) {",
            *begin,
            *steps,
            *(f"    {s.after}_last = {s.after};" for s in self.states),
            "  }",
            "  return a;",
            "}",
        ]

    def backward(self) -> list[str]:
        """Return the function of all steps backwards."""
        made, loop = self.derivative, self.loop
        equations = [e for stage in made.stages for e in stage.equations]
        learned = [(self.at[s], made.vectors[s]) for s in self.cell.symbols if made.vectors.get(s, 0) != 0]
        inputs = [
            (str(loop.input), bar)
            for symbols, bars in zip(loop.hoisted, made.hoisted, strict=True)
            for bar in bars
            if symbols == (loop.input,)
        ]
        results = [*(bar for _, bar in learned), *(bar for _, bar in inputs), *made.carried.values()]
        own = {s for s, _ in equations} | {made.given, *made.arriving.values(), *self.at}
        read = {s for expr in (*(e for _, e in equations), *results) for s in getattr(expr, "free_symbols", ())} - own
        print_ = self.printer.doprint
        arriving = {s.before: str(made.arriving[s.before]) for s in self.states}
        first = self.states[0]
        lines = [
            "export function backward(w, a, given) {",
            f"  const n = a.{loop.input}.length;",
            "  const gradient = new Float64Array(weights.length);",
            f"  const errors = {{ {', '.join(f'{s.name}: new Float64Array(n)' for s in self.states)} }};",
            "  const input = new Float64Array(n);",
            f"  let {', '.join(f'{name} = 0' for name in arriving.values())};",
            "  for (let k = n - 1; k >= 0; k -= 1) {",
            f"    const {made.given} = given[k];",
        ]
        lines += [f"    const {s} = a.{s}[k];" for s in sorted(map(str, read))]
        for s in self.states:
            added = f" + {made.given}" if s is first else ""
            lines.append(f"    errors.{s.name}[k] = {arriving[s.before]}{added};")
        lines += [f"    const {s} = {print_(expr)};" for s, expr in equations]
        lines += [f"    gradient{at[1:]} += {print_(bar)};" for at, bar in learned]
        lines += [f"    input[k] = {print_(bar)};" for _, bar in inputs]
        after = [f"{print_(made.carried[s.before])}" for s in self.states]
        lines.append(f"    [{', '.join(arriving.values())}] = [{', '.join(after)}];")
        return [*lines, "  }", "  return { gradient, errors, input };", "}"]


def _list(texts: object) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"  # type: ignore[attr-defined]


def _record(values: dict[str, str]) -> str:
    return "{ " + ", ".join(f'"{name}": "{value}"' for name, value in values.items()) + " }"
