"""What ``test_interpreter.py`` runs of steps that are launched one by one: recorded and replayed they are the same.

The recorder stands in for a card's: recording does nothing but note, each replay does the work in the same memory.
"""

import warnings

import pytest
import torch

from carousel import kernels
from carousel.kernels.triton import calls, graphs
from carousel.kernels.triton.graphs import Graphs
from carousel.layers import Recurrent

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of lanes beyond the last row or unit


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    """Works that were recorded, and how often each was replayed."""
    found = []

    def record(work):
        found.append(0)
        mine = len(found) - 1

        def replay():
            found[mine] += 1
            work()

        return replay

    monkeypatch.setenv("CAROUSEL_TRITON_WAY", "stepwise")
    monkeypatch.setattr(calls, "graphs", Graphs(record))
    return found


def run(layer, x, back_end="triton", **options):
    """A run forwards, and what the gradients of all are backwards."""
    with kernels.use(back_end):
        output, hx = layer(x, **options)
    given = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))

    def backwards():
        loss = (output * given).sum() + sum(s.square().sum() for s in (hx if isinstance(hx, tuple) else (hx,)))
        with kernels.use(back_end):
            return torch.autograd.grad(loss, [x, *layer.parameters()])

    return output.detach().clone(), backwards


def inputs(count, shape=(3, 2, 4)):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(count)]


@pytest.mark.parametrize("name", ["lstm-v4", "gru-layer-norm", "min-gru"])
@pytest.mark.parametrize("reset", [False, True])
def test_replayed_runs_are_the_references(name, reset, recorded):
    torch.manual_seed(0)
    layer, options = Recurrent(name, 4, 6), {}
    for k, x in enumerate(inputs(4)):
        if reset:
            options["resets"] = torch.rand(3, 2, generator=torch.Generator().manual_seed(k)) < 0.4
        (found, back), (expected, wanted) = (run(layer, x, back_end, **options) for back_end in ("triton", "reference"))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(back(), wanted(), rtol=1e-4, atol=1e-5)
    assert recorded == [2, 2]  # forwards and backwards: as it comes, then into the memory of its own, then replayed


def test_what_a_run_has_saved_outlives_the_next_run_of_its_shape():
    torch.manual_seed(0)
    layer = Recurrent("lstm-v3", 4, 6)
    xs = inputs(5)
    for x in xs[:3]:
        run(layer, x)[1]()
    first, second = (run(layer, x) for x in xs[3:])
    expected = [run(layer, x, "reference") for x in xs[3:]]
    for (found, back), (output, wanted) in zip((first, second), expected, strict=True):
        torch.testing.assert_close(found, output, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(back(), wanted(), rtol=1e-4, atol=1e-5)


def test_runs_that_differ_have_recordings_of_their_own(recorded):
    layer, larger, x, wide = Recurrent("gru", 4, 6), Recurrent("gru", 4, 8), *inputs(1), *inputs(1, (3, 5, 4))
    packed = torch.nn.utils.rnn.pack_sequence([wide[:, 0], wide[:2, 1]])
    resets = {"resets": torch.ones(3, 2) > 0}
    runs = ((layer, x, {}), (larger, x, {}), (layer, wide, {}), (layer, packed, {}), (layer, x, resets))
    for own, given, options in runs:
        with torch.no_grad(), kernels.use("reference"):
            expected, _ = own(given, **options)
        for _ in range(3):
            with torch.no_grad(), kernels.use("triton"):
                found, _ = own(given, **options)
            torch.testing.assert_close(found.data, expected.data, rtol=1e-5, atol=1e-6)
    assert recorded == [1] * 5


def test_so_many_shapes_are_kept_at_most(recorded, monkeypatch):
    monkeypatch.setattr(graphs, "MOST", 2)
    monkeypatch.setattr(graphs, "ONCE", 1)
    layer = Recurrent("rnn", 4, 6)
    for length in (1, 2, 3, 1, 2, 2):
        for x in inputs(2 if length < 3 else 3, (length, 1, 4)):
            with kernels.use("triton"), torch.no_grad():
                layer(x)
    assert recorded == [0, 0, 1, 0, 2]  # the first had gone when it came again
    assert len(calls.graphs.found) == 2 and not calls.graphs.once


def test_nothing_is_recorded_where_it_is_not_wanted(recorded, monkeypatch):
    assert not Graphs().wanted(torch.device("cpu"))
    monkeypatch.setenv("CAROUSEL_TRITON_GRAPH", "0")
    layer = Recurrent("rnn", 4, 6)
    for x in inputs(3):
        run(layer, x)[1]()
    assert recorded == []


@pytest.mark.parametrize("name", ["lstm-v4", "gru-layer-norm"])
def test_where_a_recording_fails_steps_are_launched_one_by_one_from_then_on(name, monkeypatch):
    tried = []

    def record(work):
        tried.append(work)
        work()  # begun, and whatever it has written so far
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    monkeypatch.setattr(calls, "graphs", Graphs(record))
    torch.manual_seed(0)
    layer, said = Recurrent(name, 4, 6), []
    for x in (*inputs(4), *inputs(4, (5, 1, 4))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found, back = run(layer, x)
            gradients = back()
        said += [str(w.message) for w in caught if w.category is UserWarning]
        expected, wanted = run(layer, x, "reference")
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gradients, wanted(), rtol=1e-4, atol=1e-5)
    assert said == [
        "a loop's steps could not be recorded as a CUDA graph (operation not permitted when stream is capturing); "
        "they are launched one by one"
    ]
    assert len(tried) == 1 and not calls.graphs.found


def test_where_there_is_no_memory_for_a_recording_the_run_is_still_right(monkeypatch):
    def full(given, made):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(graphs, "_Graph", full)
    layer = Recurrent("gru", 4, 6)
    with pytest.warns(UserWarning, match=r"recorded as a CUDA graph \(CUDA out of memory\.\)"):
        for x in inputs(3):
            found, _ = run(layer, x)
            torch.testing.assert_close(found, run(layer, x, "reference")[0], rtol=1e-5, atol=1e-6)


def test_recordings_made_before_one_failed_go_on(recorded, monkeypatch):
    layer = Recurrent("rnn", 4, 6)
    with torch.no_grad():
        for x in inputs(3):
            run(layer, x)[0]
        monkeypatch.setattr(calls.graphs, "record", lambda work: torch.zeros(1).view(2))
        with pytest.warns(UserWarning, match="one by one"):
            for x in (*inputs(3, (2, 1, 4)), *inputs(2)):
                found, _ = run(layer, x)
                torch.testing.assert_close(found, run(layer, x, "reference")[0], rtol=1e-5, atol=1e-6)
    assert recorded == [3]
