"""What a measurement on a GPU asks for, as far as it can be seen without one."""

import sys
from types import ModuleType

import pytest
import torch

from carousel.bench import gpu
from carousel.bench.flash_rnn import FlashRNN


def test_the_sizes_of_heads_have_them_where_a_cell_can():
    found = gpu.cases(["lstm", "lstm-v2", "slstm-4-heads"], gpu.SIZES[-2:], ["bfloat16"])
    assert [(c.cell, c.hidden) for c in found] == [
        *(("lstm", 1024), ("lstm-v2", 1024), ("slstm-4-heads", 1024)),
        *(("lstm", 768), ("lstm-v2-12-heads", 768), ("slstm-4-heads", 768)),  # one weight for a concatenation has none
    ]


def test_what_cannot_be_measured_is_told_but_not_of_ours():
    def refused():
        raise ValueError("too large\nfor the card")

    works, failed = gpu.tried({"carousel": lambda: lambda: 1, "other": lambda: refused, "third": refused})
    assert list(works) == ["carousel"] and failed == dict.fromkeys(["other", "third"], "ValueError: too large")
    with pytest.raises(ValueError, match="too large"):
        gpu.tried({"carousel": refused})


def test_flashrnn_is_given_what_its_documentation_says(monkeypatch):
    """In its place stands the Elman network over (rows, steps, gates, heads, units of a head), as its README describes it."""

    def flashrnn(given, recurrent, bias, function, dtype):
        assert (function, dtype) == ("elman", "float64")
        state, states = given.new_zeros(given.shape[0], *given.shape[3:]), []
        for step in given.unbind(1):
            state = torch.tanh(step[:, 0] + torch.einsum("hij,bhj->bhi", recurrent[0], state) + bias[0])
            states.append(state)
        return torch.stack(states, 1)[None], state

    package, module = ModuleType("flashrnn"), ModuleType("flashrnn.flashrnn")
    module.flashrnn = flashrnn
    monkeypatch.setitem(sys.modules, "flashrnn", package)
    monkeypatch.setitem(sys.modules, "flashrnn.flashrnn", module)
    layer = FlashRNN("rnn", 6, 2, torch.float64, torch.device("cpu"))
    whole = torch.nn.RNN(6, 6, dtype=torch.float64)
    with torch.no_grad():
        whole.weight_ih_l0.copy_(layer.input)
        whole.weight_hh_l0.copy_(torch.block_diag(*layer.recurrent[0]))
        whole.bias_ih_l0.copy_(layer.bias.flatten())
        whole.bias_hh_l0.zero_()
    x = torch.randn(5, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], whole(x)[0])
