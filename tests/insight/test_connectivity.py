"""Every word's log-odds depend on every earlier word as small changes say, for every quantity, with clamps in force."""

import math

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.insight.connectivity import INPUT, connectivity
from carousel.insight.gradient_decay import of_text
from carousel.insight.gradients import gradient_flow
from carousel.insight.watch import watch
from carousel.layers import Clamp

TEXT = "the old men saw the boy who lost the hat ."


@pytest.fixture
def double(model):
    """The model in double precision, for differences."""
    return model.double()


def odds(model, vocabulary, word, clamps):
    """Log-odds of a word, in nats."""
    p = 2 ** -watch(model, vocabulary, TEXT, clamps=clamps).surprisal[word]
    return math.log(p / (1 - p))


@pytest.mark.parametrize(
    "held", [[], [Clamp("f", 0.3, (1, 2), 3), Clamp("i", torch.sqrt, begin=5, layer=1)]], ids=["free", "held"]
)
def test_a_size_is_the_slope_of_small_changes(double, vocabulary, held):
    found = connectivity(double, vocabulary, TEXT, names=["h", "m", "f", INPUT], ends=[9, 4], clamps=held)
    width = 1e-4
    for name, layer, row, k in (("h", 0, 0, 3), ("h", 1, 1, 2), ("m", 1, 0, 8), ("f", 0, 0, 5), ("f", 1, 1, 3)):
        word, slopes = found.ends[row], []
        for unit in range(7):
            at = [
                odds(double, vocabulary, word, [*held, Clamp(name, lambda v, d=d: v + d, (unit,), k, k + 1, layer)])
                for d in (width, -width)
            ]
            slopes.append((at[0] - at[1]) / (2 * width))
        # surprisal is of single precision
        assert found.sizes[name][layer, row, k] == pytest.approx(np.linalg.norm(slopes), rel=2e-2, abs=3e-3)
    assert found.sizes[INPUT].shape == (1, 2, len(found.words)) and found.sizes["h"].shape == (2, 2, len(found.words))
    for row, word in enumerate(found.ends):
        assert np.isnan(found.sizes["h"][:, row, word:]).all() and not np.isnan(found.sizes["h"][:, row, :word]).any()


def test_of_the_message_it_is_the_flow_of_gradients(model, vocabulary):
    """The message is the last that a step computes, so nothing else of the step follows from it."""
    found = connectivity(model, vocabulary, TEXT, names=["m"])
    x = torch.tensor(watch(model, vocabulary, TEXT).ids).unsqueeze(1)
    flow = gradient_flow(model, (x[:-1], x[1:]), ends=range(len(x) - 1), parameters=False)
    certain = 1 - 2 ** -np.array(watch(model, vocabulary, TEXT).surprisal[1:])
    expected = flow.sizes["m"][:, :, 1, 0] / certain[:, None]  # ends, steps
    np.testing.assert_allclose(found.sizes["m"][1, :, :-1], expected, rtol=1e-3, atol=1e-6)


def test_the_error_of_any_word_flows_back_and_stops_at_held_valves(model, vocabulary):
    whole, cut = of_text(model, vocabulary, TEXT, word=7), of_text(model, vocabulary, "the old men saw the boy who")
    assert (whole["predicted"], whole["words"][-1], len(whole["words"])) == ("who", "boy", 7)
    assert whole == cut
    shut = [Clamp(n, 0.0, begin=4, end=5) for n in "ifm"]  # through peepholes i sees the memory before
    size = of_text(model, vocabulary, TEXT, word=7, clamps=shut)["size"]
    assert not np.array(size["h"])[:, :4].any() and np.array(size["h"])[:, 5:6].any()
    map_ = connectivity(model, vocabulary, TEXT, ends=[7], clamps=shut).sizes
    assert not map_["h"][:, 0, :4].any() and map_["h"][:, 0, 4:7].all()


def test_words_and_names_that_are_not_there_are_refused(model, vocabulary):
    for how, said in (
        ({"ends": [12]}, "no word 12 to follow"),
        ({"names": ["q"]}, "nothing called 'q'"),
        ({"clamps": {"q": 0.0}}, "'q'"),
    ):
        with pytest.raises(InputError, match=said):
            connectivity(model, vocabulary, TEXT, **how)
    with pytest.raises(InputError, match="no word 12"):
        of_text(model, vocabulary, TEXT, word=12)
