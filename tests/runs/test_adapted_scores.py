"""A run's score has those of the adapting model beside it; several runs are an ensemble. Nothing of it changes a run."""

import json
import shutil

import pytest
import torch

import carousel
from carousel.errors import InputError
from carousel.training.run_folder import save_model

TEXT = "the key to the cabinets is here\nthe keys to the cabinet are here\n"
HOW = {"dynamic": True, "dynamic_lr": 1e-3, "dynamic_batches": 2, "cache": 20}


@pytest.fixture(scope="module")
def other(folder, tmp_path_factory):
    """A second run on the same vocabulary, with other weights."""
    place = tmp_path_factory.mktemp("other") / "run"
    shutil.copytree(folder, place)
    run = carousel.LanguageRun(place)
    torch.manual_seed(3)
    with torch.no_grad():
        for p in run.model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    save_model(run.model, place)
    return place


def test_the_static_score_is_what_it_is_without(run):
    told = []
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    plain, found = run.score(TEXT), run.score(TEXT, told=lambda *event: told.append(event), **HOW)
    assert (found.bits, found.tokens) == (plain.bits, plain.tokens) and not plain.adapted
    assert [*found.adapted] == ["cache", "dynamic", "dynamic, cache"]
    assert len({plain.bits, *(score.bits for score in found.adapted.values())}) == 4
    assert "adapted" not in plain.as_dict() and found.as_dict()["adapted"]["cache"]["bits"] == found.adapted["cache"].bits
    assert {name for name, *_ in told} == {"static", "gradients of the training text", "dynamic"}
    assert all(done <= total for _, done, total in told)
    assert all(torch.equal(v, before[k]) for k, v in run.model.state_dict().items())
    assert run.model.training is False


def test_without_its_training_text_a_run_has_no_dynamic_score(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "data")
    run = carousel.LanguageRun(tmp_path / "run")
    assert run.score(TEXT, cache=5).adapted
    with pytest.raises(InputError, match="has its training text no more"):
        run.score(TEXT, dynamic=True)
    with pytest.raises(InputError, match=f"{run.folder} has its training text no more"):
        carousel.Ensemble([folder, run]).score(TEXT, dynamic=True, dynamic_batches=1)


def test_an_ensemble(run, other, folder):
    ensemble = carousel.Ensemble([run, other])
    found = ensemble.score(TEXT, mean=True, **HOW)
    assert [m.bits for m in found.members] == [run.score(TEXT).bits, carousel.LanguageRun(other).score(TEXT).bits]
    assert found.bits < max(m.bits for m in found.members)
    assert [*found.adapted] == [*found.members[0].adapted] == [*found.of_mean.adapted] == ["cache", "dynamic", "dynamic, cache"]
    one = carousel.Ensemble([folder]).score(TEXT, cache=20)
    assert one.bits == one.members[0].bits == run.score(TEXT).bits and one.adapted == one.members[0].adapted


def test_an_ensemble_has_one_vocabulary_and_one_way_of_reading(run, other, tmp_path):
    shutil.copytree(other, tmp_path / "run")
    config = json.loads((other / "config.json").read_text())
    config["training"]["feed"], config["training"]["length"] = "stream", 35
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="reads otherwise"):
        carousel.Ensemble([run, tmp_path / "run"])
    vocabulary = (other / "vocab.json").read_text()
    word = next(w for w in ("the", "key", "is") if f'"{w}"' in vocabulary)
    (tmp_path / "run" / "vocab.json").write_text(vocabulary.replace(f'"{word}"', '"thexx"'))
    with pytest.raises(InputError, match="another vocabulary"):
        carousel.Ensemble([run, tmp_path / "run"])
