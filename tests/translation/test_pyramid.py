"""A pyramid's upper layers read several steps as one; PyTorch's layers, reshapes and a sentence alone say what comes out."""

import pytest
import torch
from small_runs import ends_the_same, train
from torch import nn
from torch.nn.functional import cross_entropy

from carousel import Clamp
from carousel.errors import InputError
from carousel.insight.translating import followed, watch_translation
from carousel.language.feeding import IGNORED
from carousel.layers import Recurrent, to_torch
from carousel.text.vocabulary import Vocabulary
from carousel.training.run_folder import read_metrics
from carousel.translation.beam import search
from carousel.translation.folder import load_translator
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.pyramid import Pyramid
from carousel.translation.task import TranslationTask
from carousel.translation.translate import Interpreter, longest_translation

PYRAMIDS = [
    {"layers": 2, "subsample": "1,2", "bidirectional": True, "attention": "general"},
    {"layers": 3, "subsample": "2,1,3", "attention": "additive", "decoder_layers": 2},
    {"layers": 2, "subsample": "3", "bidirectional": True, "cell": "gru"},
    {"layers": 2, "subsample": "1,4", "cell": "clockwork", "decoder_layers": 2},
]
named = pytest.mark.parametrize("options", PYRAMIDS, ids=lambda o: " ".join(map(str, o.values())))
LENGTHS = [7, 1, 4, 2]
TEXT = "i am a boy who likes to learn"


def sentences(words=9):
    torch.manual_seed(3)
    return torch.randint(0, words, (max(LENGTHS), len(LENGTHS))), torch.tensor(LENGTHS)


def in_pytorch(model, e):
    """Read one sentence's embeddings (S, size) with torch.nn.LSTM: outputs (S′, size), and message and memory at the end."""
    ends = ([], [])
    for layer, steps in zip(model.encoder.layers, model.config.steps(), strict=True):
        e = torch.cat([e, e.new_zeros(-len(e) % steps, e.shape[1])]).reshape(-1, steps * e.shape[1])
        e, states = to_torch(layer)(e)
        for found, state in zip(ends, states, strict=True):
            found.append(state)
    return e, tuple(map(torch.cat, ends))


@pytest.mark.parametrize("attention", ["none", "general"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_is_a_translator_of_plain_pytorch(make, attention, bidirectional):
    """Loss and gradients of each pair alone, padded by hand, with torch.nn's LSTM layers and Luong's attention."""
    options = {"layers": 3, "subsample": "1,2,2", "bidirectional": bidirectional, "attention": attention}
    model = make(cell="lstm", **options).double()
    source, lengths = sentences()
    x, y = (torch.randint(0, 8, (5, len(LENGTHS))) for _ in range(2))
    ends = [5, 2, 1, 4]
    for row, n in enumerate(ends):
        y[n:, row] = IGNORED
    found, _ = model(source, lengths, x, y)
    found.backward()
    gradients = [p.grad.clone() for p in (model.source_embedding.weight, model.embedding.weight)]
    model.zero_grad()
    decoder = to_torch(model.decoder)
    total = torch.zeros((), dtype=torch.float64)
    for row, (n, t) in enumerate(zip(LENGTHS, ends, strict=True)):
        seen, states = in_pytorch(model, model.source_embedding(source[:n, row]))
        assert len(seen) == -(-n // 4)
        begin = tuple(maps[0](s.reshape(1, -1)) for s, maps in zip(states, model.bridge.maps, strict=True))
        h, _ = decoder(model.embedding(x[:t, row]), begin)
        if attention == "general":
            weights = (h @ (seen @ model.attention.key.weight.T).T).softmax(-1)
            h = torch.tanh(model.readout(torch.cat([h, weights @ seen], -1)))
        logits = h @ model.output.weight.T + model.output.bias
        total = total + cross_entropy(logits, y[:t, row], reduction="sum")
    torch.testing.assert_close(found, total)
    total.backward()
    for gradient, p in zip(gradients, (model.source_embedding.weight, model.embedding.weight), strict=True):
        torch.testing.assert_close(gradient, p.grad)


@named
def test_a_sentence_is_translated_alone_as_in_a_batch(make, options):
    model = make(**options).double()
    source, lengths = sentences()
    other = source.clone()
    for row, n in enumerate(LENGTHS):
        other[n:, row] = (other[n:, row] + 1) % 9  # what is beyond a sentence's end is never read
    together, padded = (
        search(model, s, lengths, 0, longest=[12] * 4, width=3, best=3, attention=True) for s in (source, other)
    )
    for row, n in enumerate(LENGTHS):
        (alone,) = search(model, source[:n, [row]], lengths[[row]], 0, longest=[12], width=3, best=3, attention=True)
        for a, b, c in zip(alone, together[row], padded[row], strict=True):
            assert a.ids == b.ids == c.ids
            assert a.log_probability == pytest.approx(b.log_probability) == pytest.approx(c.log_probability)
            if a.attention is not None:
                torch.testing.assert_close(b.attention[:, : a.attention.shape[1]], a.attention)
                assert not b.attention[:, a.attention.shape[1] :].any()


def test_steps_of_one_token_are_the_encoder_without_pyramid(make):
    plain, made = make(layers=2), make(layers=2, subsample="1,1")
    assert isinstance(made.encoder, Recurrent)
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in made.named_parameters()]


def test_attention_stands_at_the_last_token_of_each_step():
    source, target = (Vocabulary.train("word", [text]) for text in (TEXT, "jsem kluk , který se rád učí"))
    torch.manual_seed(1)
    config = TranslatorConfig(embedding=6, hidden=7, layers=2, subsample="1,4", attention="general")
    model = Translator(source.size, target.size, config).eval()
    ((best,),) = Interpreter(model, source, target, beam=1, attention=True).together([TEXT])
    ids = torch.tensor(source.encode(TEXT)).unsqueeze(1)
    longest, unknown = [longest_translation(9)], target.unknown
    (seen,) = search(model, ids, torch.tensor([9]), target.end, longest=longest, forbidden=unknown, attention=True)[0]
    assert len(best.source) == len(ids) == 9 and seen.attention.shape[1] == 3
    for row, weights in zip(best.attention, seen.attention.tolist(), strict=True):
        assert row == pytest.approx([0, 0, 0, weights[0], 0, 0, 0, weights[1], weights[2]])
    watched = watch_translation(model, source, target, TEXT)
    assert watched.attention[: len(best.attention)].tolist() == [pytest.approx(row, abs=1e-6) for row in best.attention]


@named
def test_a_watched_layer_stands_where_its_steps_end(options):
    source, target = (Vocabulary.train("word", [text]) for text in (TEXT, "jsem kluk , který se rád učí"))
    torch.manual_seed(1)
    model = Translator(source.size, target.size, TranslatorConfig(embedding=6, hidden=7, **options)).eval()
    found, name = watch_translation(model, source, target, TEXT), model.encoder.cell.states[0]
    outputs = []
    for layer in model.encoder.layers:
        layer.register_forward_hook(lambda _, __, given: outputs.append(given[0].data))
    model.read(torch.tensor(source.encode(TEXT)).unsqueeze(1), torch.tensor([9]))
    for layer, (factor, seen) in enumerate(zip(model.factors, outputs, strict=True)):
        rows = found.values[name][layer * model.encoder.directions :][: model.encoder.directions, :9]
        there = [k for k in range(9) if (k + 1) % factor == 0 or k == 8]
        assert [k for k in range(9) if not rows.mask[0, k].all()] == there
        torch.testing.assert_close(torch.cat([*torch.tensor(rows.data[:, there])], -1), seen.detach())


@pytest.mark.parametrize("rows", [None, (0, 3)])
@pytest.mark.parametrize(("begin", "end"), [(0, None), (2, 3), (3, 5), (1, 2), (6, 9), (4, 4), (8, 9)])
def test_a_clamp_holds_in_each_step_that_reads_one_of_its_tokens(make, rows, begin, end):
    encoder = make(layers=2, subsample="1,2", bidirectional=True).encoder
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(7, 4, 6), torch.tensor(LENGTHS), enforce_sorted=False)
    _, _, found = encoder(packed, record=["f"], clamp=[Clamp("f", 0.25, (1, 3), begin, end, rows=rows)])
    for row, values in enumerate(found["f"]):
        factor = encoder.factors[row // 2]
        for k, n in enumerate(LENGTHS):
            held = (values[:, k, [1, 3]] == 0.25).all(-1)
            of_step = [range(j * factor, min((j + 1) * factor, n)) for j in range(len(values))]
            inside = [any(begin <= t and (end is None or t < end) for t in tokens) for tokens in of_step]
            assert held.tolist() == [(rows is None or k in rows) and x for x in inside]


def test_only_one_value_is_held_in_a_step_of_several_tokens(make):
    encoder = make(layers=2, subsample="1,2").encoder
    packed = nn.utils.rnn.pack_sequence([torch.randn(6, 6)])
    (_, (m, _)) = encoder(packed, clamp=[Clamp("h", torch.zeros(6, 7), layer=0)])
    assert not m[0].any()
    with pytest.raises(InputError, match=r"h cannot be clamped at values for each token in layer 1, where 2 tokens are one"):
        encoder(packed, clamp=[Clamp("h", torch.zeros(6, 7))])
    with pytest.raises(ValueError, match="no layer 2"):
        encoder(packed, clamp=[Clamp("h", 0.0, layer=2)])


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_between_its_layers_is_the_configuration_s(make, variational):
    encoder = make(layers=2, subsample="1,2", dropout=0.5, variational_dropout=variational, cell="rnn").train().encoder
    given = []
    encoder.layers[1].register_forward_pre_hook(lambda _, packed: given.append(packed[0].data))
    encoder(nn.utils.rnn.pack_sequence([torch.randn(40, 6)]))
    dropped = given[0] == 0
    assert 0 < dropped.float().mean() < 1
    assert bool((dropped == dropped[0]).all()) is variational


@pytest.mark.parametrize("stop_at", [1, 8])
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(make_run, stop_at):
    model = {"attention": "general", "layers": 2, "subsample": "1,2", "bidirectional": True, "variational_dropout": True}
    assert ends_the_same(make_run, stop_at, model=model)


def test_it_learns_and_is_monitored(make_run, files):
    given = files[0].read_text().splitlines()
    for path in files:
        path.write_text(path.read_text() * 25)
    model = {"embedding": 16, "hidden": 32, "attention": "general", "dropout": 0.0, "layers": 2, "subsample": "1,2"}
    folder, config = make_run(model=model | {"bidirectional": True}, batch_size=16, epochs=8, lr=0.02, monitor=100)
    train(folder, config)
    loaded, source, target, kept = load_translator(folder)
    assert isinstance(loaded.encoder, Pyramid) and kept.model.subsample == "1,2"
    found = [best[0].text for best in Interpreter(loaded, source, target, beam=3).together(given)]
    assert sum(a == b[::-1] for a, b in zip(found, given, strict=True)) > 50
    rows = [r for r in read_metrics(folder, TranslationTask.metric) if r["event"] == "monitor"]
    assert "encoder.hierarchy.layers.1.f" in rows[-1]["values"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"subsample": "1,2"}, "`subsample` must be steps such as 1,2, at most 1, one a layer, not '1,2'"),
        ({"layers": 2, "subsample": "1,x"}, "must be steps such as 1,2"),
        ({"layers": 2, "subsample": "1,0"}, "must be steps such as 1,2"),
        ({"layers": 2, "subsample": "1x2"}, "must be steps such as 1,2"),
        ({"layers": 2, "subsample": "1,2", "cell": "mlp"}, "cell mlp keeps its input in a state"),
    ],
)
def test_what_cannot_be_is_refused(options, part):
    with pytest.raises(InputError, match=part):
        Translator(5, 5, TranslatorConfig(**({"embedding": 6, "hidden": 6} | options)))


def test_a_memory_is_followed_only_from_token_to_token(make):
    with pytest.raises(InputError, match="only where each is a step; train without `subsample`"):
        followed(make(layers=2, decoder_layers=2, subsample="1,2"))
