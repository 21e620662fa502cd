"""The same cell in JAX: its loop, from the same equations, under ``lax.scan``."""

from __future__ import annotations

import importlib.util
from typing import Any

from torch import Tensor

from carousel.bench.timing import Work
from carousel.equations.loop import blocks
from carousel.kernels.inputs import loop_of
from carousel.kernels.pointwise import printed
from carousel.layers import Recurrent


def available() -> bool:
    """Return whether JAX is installed."""
    return importlib.util.find_spec("jax") is not None


def work(layer: Recurrent, data: Tensor, *, training: bool) -> Work:
    """Return one run of a layer over (T, B, input_size), for timing: of its outputs, or the gradients of input and weights.

    It serves cells of which only plain products of the input leave the loop.
    """
    import jax
    import jax.numpy as jnp

    cell = layer.cell.quiet
    loop, trace = loop_of(cell), cell.trace
    stages = [(stage, printed(tuple(stage.equations), "jax", {"jax": jax, "jnp": jnp})) for stage in loop.stages]
    symbols = {p.name: p.symbol for p in trace.parameters}

    def array(x: Tensor) -> Any:
        return jnp.asarray(x.detach().numpy()) if x.device.type == "cpu" else jnp.from_dlpack(x.detach().contiguous())

    weights = {n: array(w) for n, w in (layer.parameters_of(0) | layer.rates_of(cell)).items()}
    sizes = (layer.input_size, layer.hidden_size, layer.proj_size)
    lengths = {size.root: layer.cell.length(size, *sizes) for p in trace.parameters for size in (p.rows, *p.columns)}

    def stacked(products: Any, given: Any) -> Any:
        if (heads := products[0].weight.heads) > 1:
            each = jnp.stack([given[p.weight.symbol] for p in products])
            return lambda x: jnp.einsum("bac,gaoc->bgao", x.reshape(len(x), heads, -1), each).reshape(len(x), -1)
        weight = jnp.concatenate([given[p.weight.symbol][:, blocks(p.weight, p.part, lengths)] for p in products]).T
        return lambda x: x @ weight

    def run(named: Any, x: Any) -> Any:
        given, hoisted = {symbols[n]: w for n, w in named.items()}, []
        for outer in loop.outer:
            begin = jnp.concatenate([sum((given[b] for b in bs), 0.0) for bs in outer.biases])
            hoisted.append(stacked(outer.products, given)(x) + begin)
        inner = {g.symbols: [stacked([p[k] for p in g.products], given) for k in range(len(g.operands))] for g in loop.groups}

        def step(states: Any, now: Any) -> Any:
            values = {v: given[v] for v in loop.vectors} | {s: float(lengths[n.root]) for s, n in loop.counts.items()}
            values |= dict(zip([s.before for s in loop.states], states, strict=True))
            for outer, all_ in zip(loop.outer, now, strict=True):
                values.update(zip(outer.symbols, jnp.split(all_, len(outer.symbols), axis=1), strict=True))
            for stage, compute in stages:
                for r in stage.reductions:
                    over = jnp.sum if r.kind == "sum" else lambda x, **how: jax.lax.stop_gradient(jnp.max(x, **how))
                    operand, shape = values[r.operand], values[r.operand].shape
                    operand = operand if r.heads is None else operand.reshape(*shape[:-1], r.heads, -1)
                    found = over(operand, axis=-1, keepdims=True)
                    values[r.symbol] = found if r.heads is None else jnp.broadcast_to(found, operand.shape).reshape(shape)
                for group in stage.groups:
                    total = sum(times(values[x]) for x, times in zip(group.operands, inner[group.symbols], strict=True))
                    values.update(zip(group.symbols, jnp.split(total, len(group.symbols), axis=1), strict=True))
                values |= compute(values)
            after = tuple(values[s.after] for s in loop.states)
            return after, after[0]

        before = tuple(jnp.zeros((x.shape[1], layer.cell.length(s.size, *sizes)), x.dtype) for s in loop.states)
        return jax.lax.scan(step, before, tuple(hoisted))[1]

    x = array(data)
    given = jnp.ones((*data.shape[:2], layer.output_size), x.dtype)
    quick = jax.jit(jax.grad(lambda w, x: (run(w, x) * given).sum(), argnums=(0, 1)) if training else run)
    return lambda: jax.block_until_ready(quick(weights, x))
