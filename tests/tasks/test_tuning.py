"""Tuning: what is tried, what is kept, how it goes on after a kill, and what it says of a mistake."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

import gatewright as gw
from gatewright.tasks import LanguageModel
from gatewright.tasks.errors import FolderError, MissingExtra, SettingsError, TaskError
from gatewright.tasks.estimator import Estimator
from gatewright.tasks.registry import TASKS, estimator_of
from gatewright.tasks.tuning import run
from gatewright.tasks.tuning.report import tuning_sections
from gatewright.tasks.tuning.study import Study
from gatewright.tasks.tuning.tune import Between, OneOf

TEXT = "To be, or not to be, that is the question. " * 30
SMALL = {"hidden_size": 4, "batch_size": 4, "steps": 16, "updates": 12, "evaluate_every": 4, "learning_rate": 0.01}
SEARCH = {"learning_rate": Between(1e-3, 1e-1, log=True), "hidden_size": OneOf(4, 8), "num_layers": Between(1, 2)}


def small(**changes):
    return LanguageModel(**{**SMALL, **changes})


def tuned(trials, out=None, model=None, search=SEARCH, text=TEXT, **options):
    return (model or small()).tune(trials, {"text": text}, search=search, out=out, **options)


def rows(model):
    """What was tried, less how long it took."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in model.tuning["trials"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study of six trials in a folder."""
    return tuned(6, tmp_path_factory.mktemp("tuned") / "model", progress="none")


# -- what comes of it --------------------------------------------------------------------------------------------


def test_the_best_trial_is_trained_in_full(whole):
    best = min((row for row in whole.tuning["trials"] if row["state"] == "complete"), key=lambda row: row["loss"])
    assert whole.tuning["best"] == best
    assert whole.metrics["best"]["loss"] == best["loss"]  # the same seed: bit for bit the trial
    assert {name: whole.get_params()[name] for name in SEARCH} == best["settings"]
    assert LanguageModel.load(whole.folder).network.recurrent.hidden_size == best["settings"]["hidden_size"]


def test_the_first_trial_has_the_settings_as_they_are(whole):
    assert rows(whole)[0]["settings"] == {"learning_rate": 0.01, "hidden_size": 4, "num_layers": 1}


def test_settings_that_are_not_searched_are_tried_as_they_are(tmp_path):
    search = {"clip": OneOf(0.5, 2.0), "learning_rate": Between(1e-7, 2e-7), "num_layers": OneOf(1, 2)}
    model = tuned(3, tmp_path / "model", model=small(clip=None, num_layers=2), search=search)
    first, *others = rows(model)
    assert first["settings"] == {"clip": None, "learning_rate": 0.01, "num_layers": 2}
    assert all(row["settings"][name] in among for row in others for name, among in search.items())
    assert model.training.clip is None and model.training.learning_rate == 0.01  # no other one could be better
    (section,) = [s for s in LanguageModel.load(model.folder).report(TEXT).sections if s.title == "Tuning"]
    (figure,) = [part for part in section.parts if hasattr(part, "scene")]
    lines = {line.name: line.y for line in figure.scene.panels[0].items}
    assert [math.isnan(y) for y in lines["trial 1"]] == [True, True, False, False]
    again = LanguageModel().tune(5, {"text": TEXT}, out=model.folder, resume=True)
    assert rows(again)[:3] == rows(model) and len({json.dumps(row["settings"]) for row in rows(again)}) > 3


def test_a_search_may_have_nothing_as_it_is():
    model = tuned(2, search={"hidden_size": OneOf(5, 6)})
    assert rows(model)[0]["settings"] == {"hidden_size": 4} and rows(model)[1]["settings"]["hidden_size"] in (5, 6)


def test_trials_stay_in_their_ranges_and_differ(whole):
    found = [row["settings"] for row in rows(whole)]
    for settings in found:
        assert all(settings[name] in among for name, among in SEARCH.items())
    assert len({json.dumps(settings) for settings in found}) == 6


def test_the_same_seed_is_the_same_study(whole):
    assert rows(tuned(6)) == rows(whole)


def test_another_seed_is_another_study(whole):
    assert rows(tuned(3, model=small(seed=1)))[1]["settings"] != rows(whole)[1]["settings"]


def test_more_trials_begin_like_fewer(whole):
    assert rows(tuned(2)) == rows(whole)[:2]


def test_the_table_is_in_the_folder_and_the_report(whole):
    assert json.loads((whole.folder / "tuning.json").read_text()) == whole.tuning
    page = (whole.folder / "report.html").read_text()
    assert 'id="tuning"' in page and "6 trials" in page
    again = LanguageModel.load(whole.folder).report(TEXT)
    (section,) = [s for s in again.sections if s.title == "Tuning"]
    table = next(part for part in section.parts if hasattr(part, "rows"))
    losses = [row[1] for row in table.rows if row[-1] != "ended early"]
    assert losses == sorted(losses) and losses[0] == whole.metrics["best"]["loss"]


def test_the_picture_has_a_line_for_each_trial(whole):
    (section,) = tuning_sections(whole.folder, whole.metrics["data"]["sha256"], whole.get_params())
    (figure,) = [part for part in section.parts if hasattr(part, "scene")]
    lines = figure.scene.panels[0].items
    assert len(lines) == 6 and all(len(line.x) == 4 and 0 <= min(line.y) <= max(line.y) <= 1 for line in lines)
    assert lines[-1].name == f"trial {whole.tuning['best']['number']}" and lines[-1].y[-1] == 0


def test_another_model_in_the_folder_has_no_part_in_it(whole):
    assert not tuning_sections(whole.folder, "other data", whole.get_params())
    assert not tuning_sections(whole.folder, whole.metrics["data"]["sha256"], {**whole.get_params(), "hidden_size": 5})


def test_settings_may_have_a_part_in_the_data(tmp_path):
    forecaster = gw.Forecaster("gru", horizon=2, hidden_size=4, updates=2)
    data = {"data": {"y": [1.0, 2.0, 3.0, 4.0] * 20}}
    model = forecaster.tune(2, data, search={"context": OneOf(8, 12)}, out=tmp_path)
    assert "Tuning</h2>" in (tmp_path / "report.html").read_text()
    assert run._is_begun(model, Study.resume(tmp_path / "tuning"), tmp_path)  # after a kill, that training goes on


def test_a_cell_of_ones_own_is_tuned():
    cell = "h = tanh(W x + U h + b)"
    model = tuned(2, model=LanguageModel(cell, **SMALL), search={"learning_rate": SEARCH["learning_rate"]})
    assert model.equations == str(gw.parse(model.equations, name=model.cell_name)) and "tanh" in model.equations


def test_progress_is_a_line_a_trial(capsys):
    tuned(2, progress="lines")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trial")]
    assert len(lines) == 2 and "1 of 2  loss" in lines[0] and "best" in lines[0] and "hidden_size 4" in lines[0]


def test_settings_that_come_again_are_not_trained_again(monkeypatch):
    fits, fit = [], LanguageModel._fit
    monkeypatch.setattr(
        LanguageModel, "_fit", lambda self, *a, **k: fits.append(self.training.seed) or fit(self, *a, **k)
    )
    found = rows(tuned(6, search={"hidden_size": OneOf(4)}))
    assert len(fits) == 2 and [row["like"] for row in found] == [None, 1, 1, 1, 1, 1]  # a trial, and the model
    assert len({row["loss"] for row in found}) == 1


# -- trials that are not to the end ------------------------------------------------------------------------------


def test_a_trial_that_is_worse_than_the_others_is_ended_early():
    good, bad = (0.05, 0.04, 0.06, 0.03, 0.02), (1e-7, 2e-7, 3e-7)
    model = small(learning_rate=0.05, updates=10, evaluate_every=2, warmup=1)
    found = rows(tuned(7, model=model, search={"learning_rate": OneOf(*good, *bad)}))
    ended = [row for row in found if row["state"] == "pruned"]
    assert ended and all(row["settings"]["learning_rate"] in bad for row in ended)
    assert all(row["evaluations"] == 3 and row["loss"] is None and row["last_loss"] > 2.5 for row in ended)
    assert all(row["evaluations"] == 5 for row in found if row["state"] == "complete")


def test_a_trial_that_fails_is_a_trial_and_the_next_one_is_made(monkeypatch):
    search = {"learning_rate": OneOf(0.01, 1e30), "hidden_size": OneOf(4, 8)}
    model = tuned(6, model=small(optimizer="sgd", clip=0.0, warmup=0, patience=0), search=search)
    found = [row for row in rows(model) if row["state"] == "failed"]
    assert found and all("loss is" in row["why"] and row["settings"]["learning_rate"] == 1e30 for row in found)
    assert model.training.learning_rate == 0.01


def test_no_trial_comes_to_a_model(tmp_path):
    model = small(optimizer="sgd", clip=0.0, warmup=0, learning_rate=1e30)
    with pytest.raises(TaskError, match=r"none of 2 trials came to a model; the first: update \d+: the .*loss is"):
        tuned(2, tmp_path / "model", model=model, search={"learning_rate": OneOf(1e30, 2e30)})
    assert not (tmp_path / "model" / "model.safetensors").exists()


# -- going on ----------------------------------------------------------------------------------------------------


def test_a_study_goes_on_to_more_trials(whole, tmp_path):
    first = tuned(3, tmp_path / "model")
    again = LanguageModel().tune(6, {"text": TEXT}, out=tmp_path / "model", resume=True, overwrite=False)
    assert rows(first) == rows(whole)[:3] and rows(again) == rows(whole)
    assert again.metrics["best"]["loss"] == whole.metrics["best"]["loss"]


class Killed(BaseException):
    pass


def killed_after(monkeypatch, fits):
    """Training is killed in the middle of the trial of that number, as by `kill -9`: the study is told of nothing."""
    from gatewright.tasks.tuning import run as tuning_run

    seen, evaluated = [], tuning_run.Judge.evaluated

    def dies(self, row, *, best):
        evaluated(self, row, best=best)
        seen.append(self.trial.number)
        if len(set(seen)) == fits and self.evaluations == 2:
            raise Killed

    monkeypatch.setattr(tuning_run.Judge, "evaluated", dies)


@pytest.mark.parametrize("fits", [1, 2, 5])
def test_a_killed_trial_is_made_again(fits, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        killed_after(patched, fits)
        with pytest.raises(Killed):
            tuned(6, tmp_path / "model")
    journal = tmp_path / "model" / "tuning" / "study.jsonl"
    with open(journal, "ab") as file:
        file.write(b'{"op_code": 5, "half a li')
    again = small().tune(6, {"text": TEXT}, out=tmp_path / "model", resume=True)
    assert rows(again) == rows(whole)
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_training_that_was_killed_after_the_study_goes_on(whole, tmp_path, monkeypatch):
    from gatewright.tasks import run_folder

    save, seen = run_folder.RunFolder.save, []

    def dies(self, number, *rest):
        save(self, number, *rest)
        if self.path == tmp_path / "model" and number == 4:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(run_folder.RunFolder, "save", dies)
        with pytest.raises(Killed):
            tuned(6, tmp_path / "model")
    assert (tmp_path / "model" / "checkpoints").exists()
    monkeypatch.setattr(Estimator, "_fit", lambda *_, **__: seen.append("fit"))
    again = small().tune(6, {"text": TEXT}, out=tmp_path / "model", resume=True)
    assert not seen  # it was resumed, not begun anew
    assert again.metrics["best"]["loss"] == whole.metrics["best"]["loss"]


@pytest.mark.slow
def test_a_study_is_stopped_by_a_signal_and_goes_on(whole, tmp_path):
    out = tmp_path / "model"
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    settings = {**SMALL, "updates": 8}
    script = (
        "import sys; from pathlib import Path; from gatewright.tasks import LanguageModel\n"
        "from gatewright.tasks.tuning.tune import Between, OneOf\n"
        "from gatewright.cli.training import finish\n"
        f"model = LanguageModel(**{settings!r})\n"
        f"model.tune(3, {{'text': Path({str(text)!r})}}, search={{'updates': Between(8, 1000000)}}, "
        f"out={str(out)!r}, progress='lines')\n"
        f"finish(model, {str(out)!r})\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", script], **pipes, env=environment) as process:
        assert process.stdout.readline().startswith("trial   1 of 3")
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "stopped after 1 of 3 trials; go on with: gatewright language train" in err and "--resume --tune 3" in err
    table = json.loads((out / "tuning.json").read_text())
    assert table["state"] == "stopped" and table["done"] == 1
    again = LanguageModel().tune(1, {"text": None}, out=out, resume=True)  # the text is found again by its path
    assert again.tuning["done"] == 1 and again.training.updates == 8


# -- mistakes ----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_taken(whole, tmp_path):
    with pytest.raises(SettingsError, match=r"holds a model already \(model.safetensors\).*--overwrite"):
        tuned(1, whole.folder)
    (tmp_path / "study" / "tuning").mkdir(parents=True)
    (tmp_path / "study" / "tuning" / "study.jsonl").write_text("")
    with pytest.raises(SettingsError, match="holds a study already; go on with --resume"):
        tuned(1, tmp_path / "study")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(FolderError, match="is not a Gatewright"):
        tuned(1, tmp_path / "other")


def test_overwrite_begins_anew(tmp_path):
    tuned(2, tmp_path / "model", model=small(seed=5))
    model = tuned(1, tmp_path / "model", overwrite=True)
    assert model.tuning["done"] == 1 and LanguageModel.load(tmp_path / "model").metrics["training"]["seed"] == 0


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        (lambda: small(hidden_size=5), TEXT, "hidden_size: this study began with 4 and cannot go on with 5"),
        (lambda: LanguageModel("gru"), TEXT, "cell: this study began with 'lstm' and cannot go on with 'gru'"),
        (small, TEXT + "More.", "not the data that this study began with"),
        (small, None, "this run was given text as a string"),
    ],
)
def test_a_study_goes_on_with_what_it_began_with(model, text, message, whole):
    with pytest.raises(SettingsError, match=message):
        model().tune(6, {"text": text}, out=whole.folder, resume=True)


def test_there_is_nothing_to_go_on_with(tmp_path):
    with pytest.raises(FolderError, match="no study to go on with"):
        tuned(2, tmp_path, resume=True)
    with pytest.raises(SettingsError, match="give it as out"):
        tuned(2, resume=True)
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "study.jsonl").write_text('{"no": "study"}\n')
    with pytest.raises(FolderError, match="damaged"):
        tuned(2, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"hiden_size": OneOf(4)}, "did you mean 'hidden_size'"),
        ({"hidden_size": (4, 8)}, r"search hidden_size: expected Between\(low, high\) or OneOf"),
        ({"seed": Between(0, 3)}, "search seed: is the same for every trial"),
        ({"validation": Between(0.1, 0.3)}, "search validation: .* trials do not compare"),
        ({"tokenizer": OneOf("chars", "bytes")}, "search tokenizer: .* trials do not compare"),
        ({}, "nothing is left to vary"),
    ],
)
def test_a_search_that_is_wrong(search, message):
    with pytest.raises(SettingsError, match=message):
        tuned(1, search=search)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Between(2, 1), "the first one less"),
        (lambda: Between(0, 1, log=True), "above 0"),
        (lambda: Between("a", 1), "two numbers"),
        (lambda: Between(0.0, float("inf")), "two numbers"),
        (lambda: OneOf(), "one or more"),
        (lambda: OneOf([1]), "one or more"),
    ],
)
def test_a_range_that_is_none(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


@pytest.mark.parametrize("trials", [0, -1, True, 1.5, "3"])
def test_a_number_of_trials_that_is_none(trials):
    with pytest.raises(SettingsError, match="trials: expected a whole number of at least 1"):
        tuned(trials)


@pytest.mark.parametrize("size", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "JSM_NAMESPACE_SIZE"])
def test_one_of_several_processes_does_not_tune(size, monkeypatch):
    monkeypatch.setenv(size, "3")
    with pytest.raises(SettingsError, match="this process is one of 3 that torchrun or a cluster starts"):
        tuned(1)


def test_one_of_several_machines_does_not_tune():
    with pytest.raises(SettingsError, match="this process is one of 2"):
        tuned(1, model=small(nodes=2))


@pytest.mark.parametrize("job", [{"LSB_JOBID": "7"}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, {"WORLD_SIZE": "1"}])
def test_a_batch_job_of_one_process_tunes(job, monkeypatch):
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert tuned(1).tuning["done"] == 1


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"needs optuna.*gatewright\[tune\]"):
        tuned(1)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_search_of_its_own(task):
    pytest.importorskip(TASKS[task][0])
    model = estimator_of(task)
    assert model.search, "nothing to tune"
    known = {f for kind in (model.settings_type, model.training_type) for f in kind.__dataclass_fields__}
    assert set(model.search) | set(model.units) <= known
    assert not set(model.search) & set(model.units), "the losses of these trials would not compare"
