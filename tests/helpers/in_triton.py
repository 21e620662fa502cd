"""The same problem for any back end, type and device: kernels for the GPU against the reference in float64."""

import torch

from carousel.equations.trace import symbol
from carousel.kernels import BACKENDS, Call, Noise

INPUT, UNITS, PROJECTED = 5, 19, 7
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 4e-2, torch.float16: 6e-3}


def solve(
    back_end, c, dtype, batch_sizes, *, reverse=False, resets=False, device="cpu", units=UNITS, record=(), clamp=(), seed=1
):
    """Outputs, states and gradients of everything, of the same problem in any dtype, on any device."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        values = 0.5 * torch.randn(*shape, generator=generator, dtype=torch.float64)
        return values.bfloat16().to(device, dtype).requires_grad_()  # the same numbers for all

    rows, total = batch_sizes[0], sum(batch_sizes)
    units, narrow = (-(-n // c.heads) * c.heads for n in (units, PROJECTED))
    projected, own = narrow if c.has_projection else 0, [4] * len(c.sized)
    vectors = [s for s in c.trace.states if s.size is not None]
    clock = {s.name: torch.full((rows, 1), 2.0, device=device) for s in c.trace.states if s.size is None}
    size = units if c.trace.input_like else INPUT
    leaves = {"e": draw(total, size)}
    parameters = {s.name: draw(*s.shape) for s in c.parameter_specs(size, units, projected, *own)}
    before = {s.name: draw(rows, c.length(s.size, size, units, projected, *own)) for s in vectors}
    initial = {s.name: draw(rows, c.length(s.size, size, units, projected, *own)) for s in vectors} if resets else {}
    inputs = {x.name: draw(total, c.length(x.size, size, units, projected, *own)) for x in c.trace.inputs}
    options = {"reverse": reverse, "inputs": inputs, "record": record}
    if clamp:  # about a third of each step's units
        held = {n: c.length(c.trace.sizes.get(symbol(n)), size, units, projected, *own) for n in clamp}
        where = {n: torch.rand(len(batch_sizes), wide, generator=generator).to(device) < 0.3 for n, wide in held.items()}
        values = {n: 0.5 * torch.randn(x.shape, generator=generator).bfloat16().to(device, dtype) for n, x in where.items()}
        options["clamp"] = {n: (values[n], where[n]) for n in clamp}
    if c.trace.draws:
        options["noise"] = Noise(torch.tensor(2**40 + 3), dict.fromkeys(c.rates, 0.3), first=11)
    rated = [p for p in c.trace.parameters if p.kind == "rate"]
    wide = {p.name: (c.length(p.rows, size, units, projected, *own),) for p in rated}
    rates = {n: torch.full(shape, 0.3, dtype=dtype, device=device) for n, shape in wide.items()}
    parameters |= rates
    if resets:
        options["resets"] = torch.rand(total, generator=generator).to(device) < 0.4
        options["initial"] = initial | {k: torch.zeros_like(x) for k, x in clock.items()}
    output, after, seen = BACKENDS[back_end].run(Call(c, leaves["e"], batch_sizes, before | clock, parameters, **options))
    given = torch.Generator().manual_seed(2)
    loss = 0
    for x in (output, *(after[s.name] for s in vectors), *seen.values()):
        loss = loss + (x.double() * torch.randn(x.shape, generator=given, dtype=torch.float64).to(device)).sum()
    leaves |= {n: x for n, x in parameters.items() if n not in rates} | {f"input {k}": x for k, x in inputs.items()}
    leaves |= {f"{k} before": x for k, x in before.items()} | {f"{k} initial": x for k, x in initial.items()}
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = {"output": output, **{f"{k} after": x for k, x in after.items()}}
    found |= {f"{k} recorded": x for k, x in seen.items()}
    found |= {
        f"gradient of {k}": torch.zeros_like(x) if g is None else g for (k, x), g in zip(leaves.items(), gradients, strict=True)
    }
    return {k: x.detach().double().cpu() for k, x in found.items()}


def agree(c, dtype, batch_sizes, device="cpu", **options):
    expected = solve("reference", c, torch.float64, batch_sizes, **options)
    found = solve("triton", c, dtype, batch_sizes, device=device, **options)
    for name, x in expected.items():
        error = (found[name] - x).norm() / (x.norm() + 1e-6)
        assert error < TOLERANCE[dtype], f"{c.name}: {name} is {error:.1e} off"
