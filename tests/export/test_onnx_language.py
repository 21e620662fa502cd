"""Language models as ONNX models: the logits are the model's, all at once and token by token; the vocabulary comes along."""

import onnx_models
import pytest
import torch
from onnx_models import kinds
from tokenizers import Tokenizer

from carousel.errors import InputError
from carousel.export.onnx18.language import of_language
from carousel.export.onnx18.weights import PRECISIONS
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import Vocabulary

LINES = ["the cat sat on the mat", "the mat", "Škoda žluťoučký kůň", "the end of the cat"]


def made(kind="word", lines=tuple(LINES), sentences=False, **config):
    torch.manual_seed(1)
    vocabulary = Vocabulary.train(kind, lines, 300 if kind == "bpe" else None)
    options = {"hidden": 12, "embedding": 12, "layers": 2, "dropout": 0.2, **config}
    model = LanguageModel(vocabulary.size, ModelConfig(**options)).eval()
    model.fresh_at = vocabulary.end if sentences else None
    return model, vocabulary


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens.T)[0].transpose(0, 1)


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "loops"),
    [
        ({}, ["LSTM"] * 2),
        ({"cell": "lstm-v4", "projection": 5, "learned_initial": True}, ["Scan"] * 2),
        ({"cell": "gru", "tied": True}, ["GRU"] * 2),
        ({"hidden": [12, 9, 14], "layers": 3}, ["LSTM"] * 3),
        ({"hidden": [12, 9], "sentences": True, "learned_initial": True}, ["Scan"] * 2),
        ({"skip": "residual", "sentences": True}, ["Scan"] * 2),
        ({"sentences": True}, ["Scan"] * 2),
        ({"sentences": True, "learned_initial": True, "cell": "clockwork"}, ["Scan"] * 2),
        ({"softmax": "adaptive", "lines": [f"w{k}" for k in range(60)], "layers": 1}, ["LSTM"]),
        ({"softmax": "sampled", "kind": "bpe", "layers": 1}, ["LSTM"]),
        ({"softmax": "mixture", "mixtures": 3, "layers": 1}, ["LSTM"]),
        ({"softmax": "mixture", "mixtures": 2, "layers": 1, "tied": True}, ["LSTM"]),
    ],
    ids=str,
)
def test_logits_and_states(options, loops):
    model, vocabulary = made(**options)
    for start in model.recurrent.initial.values():
        torch.nn.init.normal_(start)
    if hasattr(model.output, "rank"):
        model.output.learn_frequencies(torch.randperm(vocabulary.size))
    exported = of_language(model, vocabulary)
    assert kinds(exported) == loops
    runs, tokens = onnx_models.session(exported), torch.randint(vocabulary.size, (3, 9))
    tokens[:, ::4] = vocabulary.end
    wanted = logits(model, tokens)
    found, *states = onnx_models.outputs(runs, {"tokens": tokens})
    near(found, wanted)
    names = runs.get_modelmeta().custom_metadata_map["states"].split()
    begun, *states = onnx_models.outputs(runs, {"tokens": tokens[:, :4]})
    pieces = [begun]
    for step in range(4, 9):  # a token at a time, as a server takes them
        before = dict(zip(names, states, strict=True))
        piece, *states = onnx_models.outputs(runs, {"tokens": tokens[:, step : step + 1], **before})
        pieces.append(piece)
    near(torch.cat(pieces, 1), wanted)


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_the_vocabulary_is_in_the_metadata(kind):
    model, vocabulary = made(kind, hidden=4, embedding=4, layers=1)
    told = onnx_models.session(of_language(model, vocabulary)).get_modelmeta().custom_metadata_map
    assert (told["kind"], told["end"], told["cell"]) == (kind, str(vocabulary.end), "lstm-v2")
    assert told.get("unknown") == (None if kind == "bpe" else str(vocabulary.unknown))
    assert [*Tokenizer.from_str(told["vocabulary"]).encode("the cat").ids, int(told["end"])] == vocabulary.encode("the cat")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_fewer_bits_change_little(precision, tied):
    model, vocabulary = made("char", hidden=64, embedding=64, tied=tied)
    exported = of_language(model, vocabulary, precision)
    assert exported.ByteSize() < (0.4 if precision == "int8" else 0.65) * of_language(model, vocabulary).ByteSize()
    tokens = torch.randint(vocabulary.size, (2, 7))
    found = onnx_models.outputs(onnx_models.session(exported), {"tokens": tokens})[0]
    wanted = logits(model, tokens)
    assert 0 < float((found - wanted).abs().max()) < 0.02


def test_a_model_that_sees_what_it_should_foretell_is_refused():
    model, vocabulary = made(hidden=4, embedding=4)
    model.recurrent.bidirectional = True
    with pytest.raises(InputError, match="reads from both ends"):
        of_language(model, vocabulary)
