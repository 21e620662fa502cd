"""Looking into layers of several sizes, and into residual ones: what is told is what each layer alone computes."""

import json

import numpy as np
import pytest
import torch

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.connectivity import connectivity
from carousel.insight.gradients import gradient_flow
from carousel.insight.memories import memories
from carousel.insight.pairs import compare
from carousel.insight.patching import patching
from carousel.insight.readings import of_texts
from carousel.insight.search.indexing import encoded, indexed
from carousel.insight.text_figures import pair, valves
from carousel.insight.watch import watch
from carousel.language.model import LanguageModel, ModelConfig
from carousel.layers import Clamp, Recurrent
from carousel.page.facts import facts

A, B = "the old men saw the boy who lost his hat .", "the old men saw the girl who lost her hat ."
SIZES = {"unequal": {"hidden": [7, 5, 3]}, "residual": {"hidden": 6, "layers": 3, "skip": "residual"}}


def made(vocabulary, options):
    torch.manual_seed(2)
    model = LanguageModel(vocabulary.size, ModelConfig("lstm-v3", embedding=6, **options))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.6)
    return model.eval()


@pytest.fixture(params=SIZES, ids=list(SIZES))
def model(request, vocabulary):
    return made(vocabulary, SIZES[request.param])


def by_layer(model, ids):
    """What each layer has recorded, run as a layer of its own."""
    x, found = model.embedding(torch.tensor(ids).unsqueeze(1)), []
    for k in range(3):
        size, hidden, *_ = model.recurrent.sizes(k)
        alone = Recurrent("lstm-v3", size, hidden)
        alone.load_state_dict(
            {n.replace(f"_l{k}", "_l0"): p for n, p in model.recurrent.state_dict().items() if n.endswith(f"_l{k}")}
        )
        y, _, seen = alone(x, record=["f", "h"])
        x = y + x if k and model.recurrent.skip == "residual" else y
        found.append({name: values[0, :, 0].detach().numpy() for name, values in seen.items()})
    return found


def test_a_watched_text_has_each_layers_values(model, vocabulary):
    found = watch(model, vocabulary, A)
    for k, wanted in enumerate(by_layer(model, found.ids)):
        for name in ("f", "h"):
            np.testing.assert_allclose(found.values[name][k], wanted[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found.as_dict()["values"][name][k], wanted[name], atol=1e-4)
    valves(found, layer=0), valves(found, layer=2)
    assert sum(x.size for x in found.arrays().values()) == sum(x.size for each in found.values.values() for x in each)


def test_a_pair_differs_by_layer_and_its_carriers_are_the_greatest(model, vocabulary):
    found, a, b = compare(model, vocabulary, A, B), watch(model, vocabulary, A), watch(model, vocabulary, B)
    sizes = [np.sqrt(((x - y) ** 2).mean(1)) for x, y in zip(a.values["h"], b.values["h"], strict=True)]
    np.testing.assert_allclose(found.size("h"), sizes, rtol=1e-5)
    greatest = {(k, u): abs(x - y)[:, u].max() for k, (x, y) in enumerate(zip(a.values["h"], b.values["h"], strict=True))
                for u in range(x.shape[1])}  # fmt: skip
    wanted = sorted(greatest, key=greatest.get, reverse=True)[:4]
    assert [(c.layer, c.unit) for c in found.carriers("h", 4)] == wanted
    json.dumps(found.as_dict("h"))
    pair(found, layer=0), pair(found, layer=2)


def test_all_units_of_a_layer_are_patched(model, vocabulary):
    for layer in range(3):
        found = patching(of_texts(model, vocabulary, A, B), "h", layer)
        assert found.groups[-1] == tuple(range(model.recurrent.units(layer)["h"]))
        row = found.quantities.index(("h", layer))
        np.testing.assert_allclose(found.by_group[-1], found.by_quantity[row], rtol=1e-4, atol=1e-5)
        json.dumps(found.as_dict())


def test_words_depend_on_words_as_gradients_flow(model, vocabulary):
    found = connectivity(model, vocabulary, A, names=["m"])
    ids = watch(model, vocabulary, A)
    x = torch.tensor(ids.ids).unsqueeze(1)
    flow = gradient_flow(model, (x[:-1], x[1:]), ends=range(len(x) - 1), parameters=False)
    certain = 1 - 2 ** -np.array(ids.surprisal[1:])
    np.testing.assert_allclose(
        found.sizes["m"][2, :, :-1], flow.sizes["m"][:, :, 2, 0] / certain[:, None], rtol=1e-3, atol=1e-6
    )


def test_memories_and_indexed_states_are_the_layers(model, vocabulary, tmp_path):
    text, place = encoded(A, vocabulary, tmp_path)
    for layer in range(3):
        wanted = watch(model, vocabulary, A).values["h"][layer][1:]
        (found,) = memories(model, vocabulary, [Sentence(tuple(A.split()), {})], "h", layer)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)
        states = indexed(model, vocabulary, text, place, name="h", layer=layer)
        np.testing.assert_allclose(states.states.values(np.arange(len(wanted))), wanted, atol=2e-3)


def test_a_clamp_names_units_that_a_layer_has(vocabulary):
    model = made(vocabulary, SIZES["unequal"])
    watch(model, vocabulary, A, clamps=[Clamp("f", 0.0, (6,), layer=0)])
    with pytest.raises(InputError, match="f has no unit 6 to clamp"):
        watch(model, vocabulary, A, clamps=[Clamp("f", 0.0, (6,), layer=1)])


def test_the_page_refuses_layers_of_several_sizes_in_a_line(vocabulary):
    with pytest.raises(InputError, match="the page needs layers of one size, and these differ"):
        facts(made(vocabulary, SIZES["unequal"]), vocabulary, run="r", example=A)
    assert facts(made(vocabulary, SIZES["residual"]), vocabulary, run="r", example=A)["layers"] == 3
