"""The next batch is prepared and its copy begins before anybody waits for the step before; the step waits for its copy."""

from contextlib import contextmanager

import torch
from small_runs import losses, tensors, train

from carousel.language.feeding import Batch
from carousel.language.task import LanguageTask
from carousel.training.ahead import Ahead
from carousel.training.descent import Step
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer


def standing_in(monkeypatch, done):
    """Streams that note what is asked of them, for those of a card."""

    class Current:
        def wait_stream(self, other):
            done.append("step waits for its copy")

    @contextmanager
    def stream(_):
        done.append("copy begins")
        yield

    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Current())


def test_a_copy_begins_before_the_loss_of_the_step_before_is_read(make_run, monkeypatch):
    done, found = [], []
    for ahead in (False, True):
        folder, config = make_run(str(ahead), epochs=1, log_every=1)
        if not ahead:
            train(folder, config)
        else:
            one = Trainer(folder, config, Processes(), LanguageTask)
            standing_in(monkeypatch, done)
            one.ahead.stream = object()
            monkeypatch.setattr(Step, "loss", property(lambda step: (done.append("loss is read"), step._loss.item())[1]))
            one.run()
        found.append((losses(folder), tensors(folder)))
    assert found[0][0] == found[1][0] and all(torch.equal(x, found[1][1][k]) for k, x in found[0][1].items())
    kinds = list(dict.fromkeys(done))
    assert kinds == ["copy begins", "step waits for its copy", "loss is read"]
    begun = waited = read_so_far = 0
    last = done.count("copy begins")
    for what in done:
        begun, waited, read_so_far = (n + (what == k) for n, k in zip((begun, waited, read_so_far), kinds, strict=True))
        if what == "loss is read":
            assert begun == min(last, waited + 1)  # the next batch is on its way


def test_the_state_is_that_of_the_batch_before():
    batches = [Batch(torch.zeros(1, 1), torch.zeros(1, 1), 1, fresh=k == 0) for k in range(3)]
    given = Ahead(torch.device("cpu")).over(batches, iter([None, "first", "second"]).__next__)
    assert [arguments[1] for _, arguments in given] == [None, "first", "second"]
