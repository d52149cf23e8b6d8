"""Training: stopped and resumed is the same as not stopped, whatever stopped it."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric.plugins.precision import Precision

from gatewright.nn import files
from gatewright.tasks import LanguageModel, trainer
from gatewright.tasks.errors import FolderError, SettingsError, TextError, TrainingError
from gatewright.tasks.language.job import LanguageJob
from gatewright.tasks.progress import Silent
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.schedule import learning_rate, share_done
from gatewright.tasks.settings import TrainingSettings

Settings = dict[str, Any]


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder(folder).read()[0]["network"]


def curve(folder: Path) -> list[tuple[float, ...]]:
    """The history without its clock."""
    rows = json.loads((folder / "metrics.json").read_text())["history"]
    return [tuple(v for k, v in row.items() if k != "seconds") for row in rows]


def assert_same_run(one: Path, two: Path) -> None:
    for name, weight in last_weights(one).items():
        assert torch.equal(weight, last_weights(two)[name]), name
    for name, weight in LanguageModel.load(one).network.state_dict().items():
        assert torch.equal(weight, LanguageModel.load(two).network.state_dict()[name]), name
    assert curve(one) == curve(two)


class StopAt(Silent):
    """Sends a signal to this process after some update, as Ctrl-C does."""

    def __init__(self, number: int, kind: signal.Signals) -> None:
        self.number, self.kind = number, kind

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        if number == self.number:
            os.kill(os.getpid(), self.kind)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"dropout": 0.4, "num_layers": 2},
        {"dropout": 0.2, "optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.5, "schedule": "plateau"},
        {"tokenizer": "words", "cell": "gru", "schedule": "linear", "embedding_size": 12},
        {"tokenizer": "bytes", "precision": "64-true"},
    ],
    ids=["adamw", "sgd", "words-gru", "bytes-float64"],
)
def test_stopped_and_resumed_is_bit_for_bit_the_run_that_was_not_stopped(
    small: Settings,
    kwargs: dict[str, Any],
    tmp_path: Path,
    prose_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {**small, "updates": 40, "evaluate_every": 9, **kwargs}
    LanguageModel(**settings).fit(prose_file, out=tmp_path / "whole")
    with monkeypatch.context() as patch:  # in the middle of an epoch, and between two evaluations
        patch.setattr(trainer, "make_watcher", lambda *_: StopAt(13, signal.SIGINT))
        stopped = LanguageModel(**settings).fit(prose_file, out=tmp_path / "parts")
        assert stopped.stopped == "SIGINT"
        assert stopped.metrics["updates"] == 14  # sent after 13, obeyed after the next
        patch.setattr(trainer, "make_watcher", lambda *_: StopAt(27, signal.SIGTERM))
        assert LanguageModel.resume(tmp_path / "parts").stopped == "SIGTERM"
    torch.manual_seed(12345)  # what the process did before does not matter
    LanguageModel.resume(tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_killed_and_resumed(small: Settings, tmp_path: Path, prose_file: Path) -> None:
    settings = {**small, "updates": 3000, "evaluate_every": 10, "dropout": 0.3, "schedule": "constant"}
    code = (
        f"import gatewright as gw, pathlib, torch; torch.set_num_threads({torch.get_num_threads()});"
        f"gw.tasks.LanguageModel(**{settings!r}).fit(pathlib.Path({str(prose_file)!r}), out='killed')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    while not list(tmp_path.glob("killed/checkpoints/000*[1-9]0")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    killed_at = RunFolder(tmp_path / "killed").read()[0]["progress"]["update"]
    assert 0 < killed_at < 3000
    end = killed_at + 15
    LanguageModel.resume(tmp_path / "killed", updates=end)
    LanguageModel(**{**settings, "updates": end}).fit(prose_file, out=tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the model is saved, its report is not")
def test_a_full_disk_at_any_write_leaves_the_checkpoint_before(
    small: Settings, tmp_path: Path, prose_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**small, "updates": 6, "evaluate_every": 3}
    LanguageModel(**settings).fit(prose_file, out=tmp_path / "whole")
    sync, failures = os.fsync, 0
    for fails_at in range(1, 100):
        calls = 0

        def full(handle: int, limit: int = fails_at) -> None:
            nonlocal calls
            calls += 1
            if calls >= limit:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        out = tmp_path / f"full{fails_at}"
        monkeypatch.setattr(files.os, "fsync", full)
        try:
            LanguageModel(**settings).fit(prose_file, out=out)
            break
        except FolderError as error:
            message, failures = str(error), failures + 1
        finally:
            monkeypatch.setattr(files.os, "fsync", sync)
        assert "No space left on device" in message
        assert "what was saved before is unharmed; free some space" in message
        if (out / "checkpoints").is_dir() and any(p.name.isdigit() for p in (out / "checkpoints").iterdir()):
            LanguageModel.resume(out)
            assert_same_run(tmp_path / "whole", out)
            assert not list(out.glob("**/.new-*")) and not list(out.glob("**/.old-*"))
        else:
            assert not (out / "model.safetensors").exists()
    assert failures > 15


@pytest.mark.slow
def test_a_file_size_limit_that_the_system_sets(small: Settings, tmp_path: Path, prose_file: Path) -> None:
    """The first checkpoint fits under the limit, the second (with the optimiser's state) does not."""
    settings = {**small, "hidden_size": 64, "updates": 4, "evaluate_every": 2}
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000));"
        "import gatewright as gw, pathlib;"
        f"gw.tasks.LanguageModel(**{settings!r}).fit(pathlib.Path({str(prose_file)!r}), out='limited')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be written (File too large); what was saved before is unharmed" in done.stderr
    assert LanguageModel.resume(tmp_path / "limited").metrics["updates"] == 4


def train_pair(small: Settings, out: str, prose: str, devices: int) -> None:
    settings = {**small, "updates": 12, "evaluate_every": 5, "dropout": 0.0, "devices": devices}
    LanguageModel(**settings, accelerator="cpu").fit(prose, out=out)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_two_processes_are_one_to_rounding(small: Settings, tmp_path: Path, prose: str) -> None:
    for devices in (1, 2):
        train_pair(small, str(tmp_path / str(devices)), prose, devices)
    one, two = (last_weights(tmp_path / n) for n in ("1", "2"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
    for a, b in zip(curve(tmp_path / "1"), curve(tmp_path / "2"), strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    carried = [RunFolder(tmp_path / n).read()[0]["carried"] for n in ("1", "2")]
    for a, b in zip(*carried, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    for n in ("1", "2"):  # and the run of two goes on as one
        LanguageModel.resume(tmp_path / n, prose, devices=1, updates=16)
    one, two = (last_weights(tmp_path / n) for n in ("1", "2"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)


class SlowSecond(LanguageJob):
    """The second process is late after an evaluation."""

    def evaluate(self, fabric: Any) -> dict[str, float]:
        figures = super().evaluate(fabric)
        time.sleep(0.3 * fabric.global_rank)
        return figures


class SlowSecondModel(LanguageModel):
    job_type = SlowSecond


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_slowest_process_is_what_a_time_budget_goes_by(small: Settings, tmp_path: Path, prose: str) -> None:
    model = SlowSecondModel(**small, minutes=0.03, evaluate_every=200, devices=2, accelerator="cpu")
    model.fit(prose, out=tmp_path / "m")
    assert RunFolder(tmp_path / "m").read()[0]["progress"]["evaluation_seconds"] >= 0.3


def test_whatever_the_first_process_cannot_write_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(trainer, "all_reduce", lambda _, tensor, how: told.append((int(tensor), how)) or tensor)
    first: Any = SimpleNamespace(fabric=SimpleNamespace(is_global_zero=True))
    with pytest.raises(ZeroDivisionError):
        trainer.Trainer._first_process(first, lambda: 1 // 0)  # type: ignore[arg-type, func-returns-value]
    assert told == [(1, "max")]


def test_a_figure_that_overflows_is_left_out(
    small: Settings, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LanguageJob, "evaluate", lambda *_: {"loss": 5.0, "perplexity": 148.4, "odds": math.inf})
    model = LanguageModel(**small, updates=2).fit(prose, out=tmp_path / "m", progress="lines")
    assert "update 2: the figure odds is inf, and is left out" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "m" / "metrics.json").read_text())["history"]
    assert row["perplexity"] == 148.4 and "odds" not in row and "odds" not in model.metrics["best"]


def test_the_scale_of_losses_in_half_precision_is_resumed(
    small: Settings, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored: list[dict[str, Any]] = []
    monkeypatch.setattr(Precision, "state_dict", lambda _: {"scale": 1024.0, "growth_interval": 2000})
    monkeypatch.setattr(Precision, "load_state_dict", lambda _, state: restored.append(state))
    LanguageModel(**small, updates=2).fit(prose, out=tmp_path / "m")
    LanguageModel.resume(tmp_path / "m", prose, updates=3)
    assert restored == [{"scale": 1024.0, "growth_interval": 2000}]


def test_the_generator_of_an_apple_gpu_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([7]))
    monkeypatch.setattr(torch.mps, "set_rng_state", seen.append)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    trainer.set_generators(trainer.get_generators(torch.device("mps")))
    assert [int(state) for state in seen] == [7]


def test_early_stopping_keeps_the_best(small: Settings, tmp_path: Path, prose: str) -> None:
    settings = {**small, "updates": 5000, "evaluate_every": 2, "patience": 3, "learning_rate": 0.3}
    model = LanguageModel(**settings).fit(prose, out=tmp_path / "m")
    losses = [row["loss"] for row in model.metrics["history"]]
    assert model.metrics["state"] == "early"
    assert losses.index(min(losses)) == len(losses) - 4
    assert model.metrics["best"]["loss"] == min(losses)
    valid = prose[len(prose) - int(len(prose) * 0.1) :]
    assert model.score(valid).loss == pytest.approx(min(losses), rel=1e-5)


def test_a_loss_that_is_no_number_is_an_error(small: Settings, tmp_path: Path, prose: str) -> None:
    settings = {**small, "updates": 300, "learning_rate": 1e30, "optimizer": "sgd", "warmup": 0, "clip": None}
    with pytest.raises(TrainingError, match=r"update \d+: the loss is (nan|inf); the last checkpoint is kept; start"):
        LanguageModel(**settings).fit(prose, out=tmp_path / "m")
    assert RunFolder(tmp_path / "m").read()[0]["progress"]["update"] == 0


def test_memory_that_runs_out_is_an_error_of_one_line(
    small: Settings, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(LanguageJob, "loss", fail)
    message = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    with pytest.raises(TrainingError, match=r"out of memory; take a smaller --batch-size"):
        LanguageModel(**small, updates=1).fit(prose)
    message = "a fault of ours"
    with pytest.raises(RuntimeError, match="a fault of ours"):
        LanguageModel(**small, updates=1).fit(prose)


@pytest.mark.slow
def test_a_time_budget_ends_the_run(small: Settings, prose: str) -> None:
    began = time.perf_counter()
    model = LanguageModel(**small, minutes=0.02).fit(prose)
    assert 0.5 < time.perf_counter() - began < 8
    assert model.metrics["state"] == "finished"
    assert model.metrics["history"][-1]["learning_rate"] < 0.1 * TrainingSettings().learning_rate


def test_resuming_refuses_what_would_be_another_run(small: Settings, tmp_path: Path, prose_file: Path) -> None:
    out = tmp_path / "m"
    LanguageModel(**small, updates=4).fit(prose_file, out=out)
    with pytest.raises(SettingsError, match="hidden_size: this run began with 12 and cannot go on with 13"):
        LanguageModel.resume(out, hidden_size=13)
    with pytest.raises(SettingsError, match="not the data that this run began with"):
        LanguageModel.resume(out, "another text " * 100)
    with pytest.raises(SettingsError, match=r"holds a model already.*--resume.*--overwrite"):
        LanguageModel(**small).fit(prose_file, out=out)
    with pytest.raises(FolderError, match="nothing to resume"):
        LanguageModel.resume(tmp_path / "other")
    assert LanguageModel.resume(out, hidden_size=12, updates=8).metrics["updates"] == 8
    prose_file.write_text("changed " * 500)
    with pytest.raises(SettingsError, match="not the data"):
        LanguageModel.resume(out)


def test_a_damaged_checkpoint_is_noticed(small: Settings, tmp_path: Path, prose_file: Path) -> None:
    out = tmp_path / "m"
    LanguageModel(**small, updates=4).fit(prose_file, out=out)
    path = out / "checkpoints" / "00000004" / "training.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FolderError, match=r"training\.safetensors: damaged or changed after it was saved"):
        LanguageModel.resume(out)
    (path.parent / "training.json").write_text("{")
    with pytest.raises(FolderError, match=r"training\.json: damaged: not JSON"):
        LanguageModel.resume(out)


def test_a_text_that_is_too_short_says_how_long_it_must_be() -> None:
    with pytest.raises(TextError, match="training part: too short: 9 tokens, at least 65 are needed"):
        LanguageModel().fit("0123456789")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "plateau"])
def test_schedules(schedule: Any) -> None:
    settings = TrainingSettings(schedule=schedule, updates=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(settings, u, share_done(settings, u, 0, 0, 0), 1.0) for u in range(100)]
    assert rates[:2] == pytest.approx([0.1, 0.2], rel=1e-2)
    falling = rates[10:]
    assert falling == sorted(falling, reverse=True)
    end = {"cosine": 0.02, "linear": 0.02, "constant": 1.0, "plateau": 1.0}[schedule]
    assert learning_rate(settings, 100, 1.0, 1.0) == pytest.approx(end)
    assert learning_rate(settings, 100, 1.0, 0.25) == pytest.approx(0.25 if schedule == "plateau" else end)


def test_a_short_run_warms_up_for_a_tenth_of_it() -> None:
    settings = TrainingSettings(schedule="constant", updates=20, warmup=50, learning_rate=1.0)
    rates = [learning_rate(settings, u, share_done(settings, u, 0, 0, 0), 1.0) for u in range(20)]
    assert rates == pytest.approx([0.02, 0.5] + [1.0] * 18)


def test_the_nearest_limit_ends_a_run() -> None:
    both = TrainingSettings(updates=100, epochs=2, minutes=1)
    assert share_done(both, 50, 0.1, 6, 0) == 0.5
    assert share_done(both, 0, 1.5, 6, 0) == 0.75
    assert share_done(both, 0, 0, 54, 6) == 1.0
    assert share_done(TrainingSettings(epochs=20), 10**6, 10, 1e6, 0) == 0.5
    assert math.isfinite(share_done(TrainingSettings(minutes=1e-9), 0, 0, 1.0, 5.0))
