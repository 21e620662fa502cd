"""Layers as C: every cell, its options and its weights' precisions give what the layer gives."""

import dataclasses
from functools import cache

import pytest
import torch
from compiled_c import library, needs_compiler, outputs, run, together
from exact_functions import EXACT
from random_cells import stored

from carousel import cells, export, kernels
from carousel.cells import CELLS
from carousel.cells.papers import PAPERS
from carousel.equations import cell
from carousel.equations.functions import FUNCTIONS
from carousel.errors import InputError
from carousel.layers import Recurrent
from carousel.layers.precision import PRECISIONS, rounded_layer

pytestmark = needs_compiler


def prepared(layer, steps=200):
    """An input, and the further inputs by name."""
    inputs = layer.cell.trace.inputs
    units = {i.name: [] if i.is_number else [layer.cell.length(i.size, *layer.sizes())] for i in inputs}
    return torch.randn(steps, layer.input_size), {i: torch.rand(steps, *n) for i, n in units.items()}


def expected(layer, x, further, dtype=torch.float64):
    """What the reference gives."""
    with torch.no_grad(), kernels.use("reference"):
        return layer.to(dtype)(x.to(dtype), **{i: value.to(dtype) for i, value in further.items()})[0].double()


def apart(found, wanted):
    """The largest difference, of the largest number."""
    return float((torch.tensor(found, dtype=torch.float64) - wanted).abs().max() / (wanted.abs().max() + 1e-3))


def difference(layer, folder, precision="float32", steps=200, like=None, name="model"):
    """The largest difference of the outputs from the reference's, of their largest number."""
    x, further = prepared(layer, steps)
    wanted = expected(like or layer, x, further)
    return apart(outputs(export.c(layer, precision), folder, x, layer.output_size, name, further.values()), wanted)


def made(cell, **options):
    torch.manual_seed(3)
    return Recurrent(cell, 5, 7 * cell.heads if cell.has_hidden else 5, **options)


def known(name):
    """A layer of a cell that ``carousel cells`` lists, and of a cell of a paper."""
    if name in PAPERS:
        size = 7 if PAPERS[name].trace.input_like else 5
        torch.manual_seed(3)
        return Recurrent(PAPERS[name], size, 7, input_sizes=dict.fromkeys(PAPERS[name].sized, 3)).eval()
    layer = made(CELLS[name])
    with torch.no_grad():
        for p in layer.parameters() if name == "cec" else ():  # its memory has no gate, and grows
            p *= 0.1
    return layer


NAMES = [*CELLS, *PAPERS]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """All known cells in one file, with ``math.h`` and without."""

    @cache
    def one(libm):
        texts = [export.c(known(name), libm=libm) for name in NAMES]
        return library(together(texts), tmp_path_factory.mktemp("cells"), f"cells{libm}")

    return one


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_over_two_hundred_steps_with_the_library_and_without(name, compiled):
    layer = known(name)
    x, further = prepared(layer)
    wanted = expected(layer, x, further)
    for libm in (True, False):
        found = run(compiled(libm), x, layer.output_size, further.values(), NAMES.index(name))
        # Where seven units are normalised, rounding counts more: PyTorch's single precision is as far away.
        assert apart(found, wanted) < 1e-5 or apart(found, wanted) < 2 * apart(
            expected(layer, x, further, torch.float32), wanted
        )


@pytest.mark.parametrize("name", ["lstm-zoneout", "gru-recurrent-dropout", "lstm-layer-norm-zoneout", "lstm-variational"])
def test_noise_is_left_out(name, tmp_path):
    torch.manual_seed(3)
    layer = Recurrent(name, 5, 7, 2, rates=dict.fromkeys(PAPERS[name].rates, 0.3)).eval()
    assert difference(layer, tmp_path, steps=50) < 1e-4


@pytest.mark.parametrize("name", EXACT)
def test_functions(name, tmp_path):
    function = next(f for f in FUNCTIONS.values() if f.name == name)

    @cell
    def one(e, h):
        x = abs(e) if EXACT[name].least == 0 else 4 * e
        h = function(x, -1, 2) if name == "clip" else function(x)
        return h

    assert difference(Recurrent(one, 5, 5), tmp_path) < 1e-6


@pytest.mark.parametrize("options", [{"num_layers": 3}, {"learned_initial": True}, {"bias": False}, {"proj_size": 3}], ids=str)
def test_options_of_a_layer(options, tmp_path):
    layer = made(CELLS["lstm-v4"], **options)
    for start in layer.initial.values():
        torch.nn.init.normal_(start)
    assert difference(layer, tmp_path) < 1e-5


STACKS = [{"hidden_size": (7, 9, 3)}, {"hidden_size": 6, "num_layers": 3, "skip": "residual"}]


@pytest.mark.parametrize("name", ["lstm", "lstm-v4", "gru", "clockwork"])
@pytest.mark.parametrize("options", STACKS, ids=str)
def test_layers_of_several_sizes_and_residual_connections(name, options, tmp_path):
    torch.manual_seed(3)
    layer = Recurrent(name, 5, **options, learned_initial=True)
    for start in layer.initial.values():
        torch.nn.init.normal_(start)
    assert difference(layer, tmp_path) < 1e-5


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "lstm", "gru", "gru-3-heads", "lstm-v4-2-heads"])
def test_weights_of_fewer_bits_are_the_rounded_ones(precision, name, tmp_path):
    layer, rounded = (made(cells.get(name), num_layers=2) for _ in range(2))
    with torch.no_grad():
        for p in rounded.W.values():
            scale = p.abs().amax(-1, keepdim=True) / 127
            p.copy_({"float32": p, "bfloat16": p.bfloat16(), "int8": (p / scale).round() * scale}[precision])
    # Under whole numbers, what they multiply is rounded to 16 bits.
    assert difference(layer, tmp_path, precision, like=rounded) < (1e-4 if precision == "int8" else 1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_of_small_processors_and_rows_of_many_numbers(precision, tmp_path):
    """Where there is no room for many sums, and where whole numbers are added up piece by piece."""
    torch.manual_seed(4)
    for inputs in (5, 1027):
        layer, x = Recurrent("rnn", inputs, 3), torch.randn(4, inputs) / inputs**0.5
        functions = library(export.c(layer, precision), tmp_path, f"model{inputs}", "-DMODEL_SMALL")
        found = run(functions, x, 3)
        assert apart(found, expected(rounded_layer(layer, precision), x, {})) < 1e-4


def test_what_is_no_number_is_none_in_eight_bits(tmp_path):
    functions = library(export.c(Recurrent("rnn", 3, 4), "int8"), tmp_path)
    for wrong in (torch.nan, torch.inf):
        assert torch.tensor(run(functions, torch.tensor([[1.0, wrong, 0.0]]), 4)).isnan().all()
    assert not torch.tensor(run(functions, torch.zeros(1, 3), 4)).isnan().any()


@pytest.mark.parametrize("first", range(0, len(stored()), 50))
def test_cells_that_a_program_wrote(first, tmp_path):
    """Some multiply what rounding adds at every step: there as much may be missing as in PyTorch's single precision."""
    layers = []
    for k, case in enumerate(stored()[first : first + 50]):
        torch.manual_seed(k)
        proj, own = case.sizes[2] if case.cell.has_projection else 0, dict.fromkeys(case.cell.sized, 4)
        layers.append(Recurrent(case.cell, *case.sizes[:2], proj_size=proj, input_sizes=own).eval())
    functions = library(together([export.c(layer, libm=k % 2 == 0) for k, layer in enumerate(layers)]), tmp_path)
    for k, layer in enumerate(layers):
        x, further = prepared(layer, 15)
        found = run(functions, x, layer.output_size, further.values(), k)
        single, wanted = (expected(layer, x, further, dtype) for dtype in (torch.float32, torch.float64))
        assert apart(found, wanted) < max(1e-5, 10 * apart(single.tolist(), wanted)), stored()[first + k]


def test_layers_that_have_no_step_or_no_numbers_are_refused():
    with pytest.raises(InputError, match="both ends"):
        export.c(Recurrent("lstm", 2, 3, bidirectional=True))
    layer = Recurrent("lstm", 2, 3)
    with pytest.raises(InputError, match="`precision` must be float32 or bfloat16 or int8, not 'int4'"):
        export.c(layer, "int4")
    torch.nn.init.constant_(layer.W["f_l0"], torch.nan)
    with pytest.raises(InputError, match="l0_W_f holds numbers that are not finite"):
        export.c(layer)


def test_a_stage_of_another_kind_is_refused_rather_than_left_out():
    """Whoever gives stages more than products, reductions and equations must print it here, too."""
    from carousel.equations.stages import Stage

    assert {f.name for f in dataclasses.fields(Stage)} == {"accumulators", "reductions", "equations"}
