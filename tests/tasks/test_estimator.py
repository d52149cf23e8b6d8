"""What every task's estimator does alike: files, folders of other tasks, settings that change after training."""

import signal
from types import SimpleNamespace

import pytest
import torch

import gatewright as gw
from gatewright.tasks import language
from gatewright.tasks.errors import FolderError
from gatewright.tasks.folder import WEIGHTS
from gatewright.tasks.progress import Silent
from gatewright.tasks.registry import load

TEXT = "To be, or not to be, that is the question. " * 240


def small(**changes):
    return gw.tasks.LanguageModel(**{"hidden_size": 4, "batch_size": 8, "updates": 2, **changes})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "saved"
    small().fit(TEXT).save(folder)
    return folder


def test_the_same_seed_is_the_same_file(saved, tmp_path):
    for name in "abc":  # three: the library's order is left to chance
        small().fit(TEXT).save(tmp_path / name)
        assert (tmp_path / name / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()


def test_what_is_saved_fits_together_whatever_was_set_after_training(saved, tmp_path):
    model = gw.tasks.LanguageModel.load(saved)
    before = model.generate("To", length=5, seed=1)
    model.set_params(hidden_size=8, cell="gru")
    model.save(tmp_path / "again")
    assert gw.tasks.LanguageModel.load(tmp_path / "again").generate("To", length=5, seed=1) == before
    assert model.get_params()["hidden_size"] == 8


def test_a_folder_of_another_task_is_named_with_its_command(saved):
    with pytest.raises(FolderError, match="of the task 'language', expected 'classify'; use gatewright language"):
        gw.Classifier.load(saved)


def test_a_run_of_another_task_is_not_gone_on_with(tmp_path):
    small().fit(TEXT, out=tmp_path / "run")
    with pytest.raises(FolderError, match="a run of the task 'language', expected 'tag'; use gatewright language"):
        gw.Tagger.resume(tmp_path / "run")


def test_a_limit_that_is_given_replaces_the_usual_one(tmp_path):
    data = {"y": [1.0, 2.0, 3.0, 4.0] * 20}
    model = gw.Forecaster("gru", horizon=2, hidden_size=4, batch_size=32)
    assert model.training.updates == 1000
    model._fit({"data": data}, out=tmp_path / "run", progress=Stops(3))
    longer = gw.Forecaster.resume(tmp_path / "run", data, epochs=4)
    assert (longer.training.updates, longer.metrics["epochs"]) == (None, 4.0)
    small().fit(TEXT, out=tmp_path / "text")  # a limit that was chosen holds
    assert small().resume(tmp_path / "text", TEXT, epochs=3).metrics["updates"] == 2


class Stops(Silent):
    """As Ctrl-C does, after some update."""

    def __init__(self, number):
        self.number = number

    def update(self, share, number, loss, rate, left):
        if number == self.number:
            signal.raise_signal(signal.SIGINT)


def test_a_folder_without_a_model_is_said_to_be_none(tmp_path):
    with pytest.raises(FolderError, match=r"not a model folder \(it has no config.json\); give a folder"):
        load(tmp_path)


@pytest.mark.parametrize("world", [2, 3, 16])
def test_the_validation_loss_does_not_depend_on_the_number_of_processes(world, monkeypatch):
    made = []
    monkeypatch.setattr(language.job.LanguageJob, "model_file", lambda job: made.append(job) or b"")
    with pytest.raises(FolderError):  # that file is no model
        small(updates=1).fit(TEXT * 8)
    job, sums = made[0], []

    def kept(_, tensor):
        sums.append(tensor.clone())
        return torch.ones(2)  # of this process alone: nothing is asked of the result

    def evaluate(rank, world):
        fabric = SimpleNamespace(
            world_size=world, global_rank=rank, device="cpu", autocast=lambda: torch.autocast("cpu", enabled=False)
        )
        job.evaluate(fabric)

    monkeypatch.setattr(language.job, "all_reduce", kept)
    evaluate(0, 1)
    for rank in range(world):
        evaluate(rank, world)
    alone, shared = sums[0], torch.stack(sums[1:]).sum(0)
    assert alone[1] == shared[1] > 0
    torch.testing.assert_close(shared[0] / shared[1], alone[0] / alone[1], rtol=1e-6, atol=0)


def test_a_loaded_model_knows_how_it_was_trained(tmp_path):
    model = gw.tasks.LanguageModel(hidden_size=8, batch_size=4, updates=2, learning_rate=0.5, seed=3)
    model.fit("To be, or not to be. " * 40, out=tmp_path / "m")
    again = gw.tasks.LanguageModel.load(tmp_path / "m")
    assert again.training == model.training
    assert {**again.get_params(), "cell": ""} == {**model.get_params(), "cell": ""}
