"""A run is trained on the device that was asked for, or refused in one line, and draws the same there when it goes on."""

import types

import pytest
import torch
from small_runs import train

from carousel.errors import InputError
from carousel.training import device


def test_the_processor_is_always_there():
    assert device.found("cpu") == device.found("cpu:0") == torch.device("cpu") == device.found("cpu", 3)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "meta", "gpu", "cuda:x", ""])
def test_a_device_that_is_not_there_is_refused_in_one_line(name):
    with pytest.raises(InputError, match=r"^`device` .* there is cpu$"):
        device.found(name)


def test_a_run_of_a_device_that_is_not_there_is_refused_before_anything_is_trained(make_run):
    folder, config = make_run(device="meta")
    with pytest.raises(InputError, match="`device` meta is not on this machine"):
        train(folder, config)
    assert not (folder / "checkpoint.safetensors").exists()


@pytest.fixture
def two_cards(monkeypatch):
    """PyTorch's answers on a machine with two cards, whose generators are numbers here."""
    states = {0: torch.tensor([7]), 1: torch.tensor([8])}
    card = types.SimpleNamespace(
        get_rng_state=lambda d: states[d.index], set_rng_state=lambda state, d: states.__setitem__(d.index, state)
    )
    for name, answer in (
        ("current_accelerator", lambda check_available=False: torch.device("cuda")),
        ("device_count", lambda: 2),
    ):
        monkeypatch.setattr(torch.accelerator, name, answer)
    monkeypatch.setattr(torch, "get_device_module", lambda d: card)
    return states


def test_each_process_of_a_machine_has_a_card_of_its_own(two_cards):
    assert [device.found("cuda", k) for k in (0, 1)] == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert device.found("cuda:1", 0) == torch.device("cuda:1")
    with pytest.raises(InputError, match="there is cpu and cuda, 2 of them"):
        device.found("cuda", 2)
    with pytest.raises(InputError, match="not on this machine"):
        device.found("mps")


def test_the_cards_generator_goes_on_where_it_stood(two_cards):
    card = torch.device("cuda:1")
    saved = device.random_states(card)
    torch.rand(1)
    two_cards[1] = torch.tensor([9])
    device.set_random_states(card, saved.__getitem__)
    assert two_cards == {0: torch.tensor([7]), 1: torch.tensor([8])} and torch.equal(torch.get_rng_state(), saved["random"])
    assert device.random_states(torch.device("cpu")).keys() == {"random"}
