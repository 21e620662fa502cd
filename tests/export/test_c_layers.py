"""Layers as C: every cell, its options and its weights' precisions give what the layer gives."""

import dataclasses

import pytest
import torch
from compiled_c import needs_compiler, outputs
from exact_functions import EXACT
from random_cells import stored

from carousel import cells, export
from carousel.cells import CELLS
from carousel.cells.papers import PAPERS
from carousel.equations import cell
from carousel.equations.functions import FUNCTIONS
from carousel.errors import InputError
from carousel.export.c99 import weights
from carousel.layers import Recurrent

pytestmark = needs_compiler


def difference(layer, folder, precision="float32", steps=200, like=None, name="model"):
    """The largest difference of the outputs, of their largest number."""
    x, inputs = torch.randn(steps, layer.input_size), layer.cell.trace.inputs
    units = {i.name: [] if i.is_number else [layer.cell.length(i.size, *layer.sizes())] for i in inputs}
    further = {i: torch.rand(steps, *n) for i, n in units.items()}
    with torch.no_grad():
        wanted = (like or layer).double()(x.double(), **{i: value.double() for i, value in further.items()})[0]
    text = export.c(layer, precision)
    found = torch.tensor(outputs(text, folder, x, layer.output_size, name, further.values()), dtype=torch.float64)
    return float((found - wanted).abs().max() / (wanted.abs().max() + 1e-3))


def made(cell, **options):
    torch.manual_seed(3)
    return Recurrent(cell, 5, 7 * cell.heads if cell.has_hidden else 5, **options)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_over_two_hundred_steps(name, tmp_path):
    layer = made(CELLS[name])
    with torch.no_grad():
        for p in layer.parameters() if name == "cec" else ():  # its memory has no gate, and grows
            p *= 0.1
    assert difference(layer, tmp_path) < 1e-5


@pytest.mark.parametrize("name", PAPERS)
def test_cells_of_papers(name, tmp_path):
    torch.manual_seed(3)
    size = 7 if PAPERS[name].trace.input_like else 5
    own = dict.fromkeys(PAPERS[name].sized, 3)
    assert difference(Recurrent(PAPERS[name], size, 7, input_sizes=own), tmp_path, steps=50) < 1e-4


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


@pytest.mark.parametrize("precision", weights.PRECISIONS)
@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "lstm", "gru", "gru-3-heads", "lstm-v4-2-heads"])
def test_weights_of_fewer_bits_are_the_rounded_ones(precision, name, tmp_path):
    layer, rounded = (made(cells.get(name), num_layers=2) for _ in range(2))
    with torch.no_grad():
        for p in rounded.W.values():
            scale = p.abs().amax(-1, keepdim=True) / 127
            p.copy_({"float32": p, "bfloat16": p.bfloat16(), "int8": (p / scale).round() * scale}[precision])
    assert difference(layer, tmp_path, precision, like=rounded) < 1e-5


@pytest.mark.parametrize("first", range(0, 150, 25))
def test_cells_that_a_program_wrote(first, tmp_path):
    for k, case in enumerate(stored()[first : first + 25]):
        torch.manual_seed(k)
        layer = Recurrent(case.cell, *case.sizes[:2], proj_size=case.sizes[2] if case.cell.has_projection else 0)
        # A threshold may be crossed by the last places of single precision, so these are few steps.
        assert difference(layer, tmp_path, steps=3, name=f"model{k}") < 1e-4, case


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
