"""Steps that are recorded and replayed are those that are taken one by one. The recorder stands in for a card's."""

import pytest
import torch
from small_runs import losses, tensors, train

from carousel.errors import InputError
from carousel.training import graphed, trainer
from carousel.training.descent import Descent
from carousel.training.graphed import BEFORE, MOST, Graphed
from carousel.training.optimizers import optimizer


def standing_in(recorded):
    """As a card's graph: recording does nothing but note, each replay does the work in the same memory."""

    def record(work):
        recorded.append(work)
        return work

    return record


class Problem:
    """A recurrence with dropout, whose state goes on from batch to batch."""

    def __init__(self, graphs):
        torch.manual_seed(1)
        self.model = torch.nn.GRU(3, 4, dropout=0.5, num_layers=2)
        adamw = optimizer("adamw", self.model.parameters(), 1.0)
        self.descent = Descent(self.model.parameters(), adamw, clip=0.1, rates=lambda taken: [2**-7 * (1 + taken)])
        self.recorded = []
        self.graphed = Graphed(self.descent, self.loss, standing_in(self.recorded)) if graphs else None

    def loss(self, x, hx):
        output, hx = self.model(x, hx)
        return output.square().sum(), hx.detach()

    def losses(self, lengths, fresh=()):
        torch.manual_seed(3)
        found, state, generator = [], None, torch.Generator().manual_seed(2)
        for k, length in enumerate(lengths):
            arguments = torch.randn(length, 2, 3, generator=generator), None if k in fresh else state
            if self.graphed:
                step, state = self.graphed.step(arguments, length * 2)
            else:
                loss, state = self.loss(*arguments)
                step = self.descent.step(loss, length * 2)
            found.append(step)
        return [(step.loss, step.norm, step.clipped) for step in found]  # read at the end, when others have been replayed

    def weights(self):
        return [p.detach().clone() for p in self.model.parameters()]


@pytest.mark.parametrize("lengths", [[5] * 12, [5, 5, 7] * 5, [5] * 8 + [2] + [5] * 4])
def test_replayed_steps_are_those_taken_one_by_one(lengths):
    plain, replayed = Problem(False), Problem(True)
    assert replayed.losses(lengths, fresh=[9]) == plain.losses(lengths, fresh=[9])
    assert all(map(torch.equal, replayed.weights(), plain.weights()))
    assert replayed.recorded and plain.descent.taken == replayed.descent.taken == len(lengths)
    group = replayed.descent.optimizer.param_groups[0]
    assert group["lr"] == 2**-7 * len(lengths) and group["capturable"] is False  # as a checkpoint wants them


def test_a_shape_is_recorded_when_it_has_come_several_times_and_so_many_at_most():
    one = Problem(True)
    one.losses([4] * (BEFORE + 1))  # the first has no state, which is another shape
    assert len(one.recorded) == 0
    one.losses([4, 4])
    assert len(one.recorded) == 1
    for length in range(5, 12):
        one.losses([length] * (BEFORE + 3))
    assert len(one.recorded) == MOST


def test_arguments_that_are_no_tensors_of_the_device_are_never_recorded():
    one = Problem(True)
    one.graphed.loss = lambda x, lengths: (one.model(x)[0].sum() * lengths[0], None)
    for _ in range(BEFORE + 3):
        one.graphed.step((torch.ones(2, 1, 3), [2]), 2)
    assert not one.recorded


def test_a_run_that_was_interrupted_ends_as_one_without_graphs(make_run, monkeypatch):
    found, recorded = [], []
    for graphs in (False, True):
        folder, config = make_run(str(graphs), epochs=2, schedule="constant", lr=2**-8, warmup=1)
        if graphs:
            monkeypatch.setattr(trainer.Trainer, "graphs", property(lambda self: True))
            monkeypatch.setattr(graphed, "recorded", standing_in(recorded))
            train(folder, config, 9)  # interrupted, and taken up again
        train(folder, config)
        found.append((losses(folder), tensors(folder)))
    assert recorded and found[0][0] == found[1][0]
    assert all(torch.equal(x, found[1][1][k]) for k, x in found[0][1].items())


def test_what_a_graph_cannot_have_is_refused(make_run):
    with pytest.raises(InputError, match="`cuda_graph` needs a CUDA device and adamw, not cpu and adamw"):
        train(*make_run("processor", cuda_graph=True))


def test_rates_are_those_that_a_card_holds():
    one = Problem(False)
    one.descent.rates = lambda taken: [0.1]
    Graphed(one.descent, one.loss)
    assert one.descent.rates(3) == [torch.tensor(0.1).item()] != [0.1]
