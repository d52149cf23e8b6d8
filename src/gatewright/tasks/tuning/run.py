"""A tuning from its first trial to the model: `Tuned.tune` calls this."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gatewright as gw
from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.errors import FolderError, SettingsError, TaskError
from gatewright.tasks.fabric import started_together
from gatewright.tasks.folder import CHECKPOINTS, json_bytes, of_another_task
from gatewright.tasks.interrupt import Interrupt
from gatewright.tasks.progress import Silent, make_watcher
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.sources import find_again, remember
from gatewright.tasks.tuning.report import TUNING
from gatewright.tasks.tuning.study import Study, spelled
from gatewright.tasks.tuning.tune import defaults_of, room_for

if TYPE_CHECKING:
    from gatewright.tasks.estimator import Estimator

__all__ = ["run_tuning"]

STUDY = "tuning"


class Ended(Exception):
    """A trial that is not worth its time."""


class Stopped(Exception):
    """A signal that came while no training was there to take it."""


class Judge(Silent):
    """Watches a trial: tells the study of every evaluation, and ends the trial where the study or a signal says so."""

    def __init__(self, trial: Any, inner: Any, interrupt: Interrupt) -> None:
        self.trial, self.inner, self.interrupt, self.evaluations = trial, inner, interrupt, 0

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        self.inner.update(share, number, loss, rate, left)

    def evaluated(self, row: dict[str, float], *, best: bool) -> None:  # noqa: ARG002
        if self.interrupt.number:
            raise Stopped
        self.evaluations += 1
        self.trial.report(row["loss"], self.evaluations)
        if self.trial.should_prune():
            raise Ended

    def close(self) -> None:
        self.inner.close()


def run_tuning(
    model: Estimator,
    trials: int,
    sources: dict[str, Any],
    search: dict[str, Any],
    out: Path,
    resume: bool,
    overwrite: bool,
    progress: str,
) -> None:
    """Have the trials made, then train in full; `model` becomes the result."""
    _refuse_several(model.training.nodes)
    study, sources = (_again if resume else _new)(model, model._sources(**sources), search, out, overwrite)
    with Interrupt() as interrupt:
        while study.done < trials:
            stopped = _try(model, study, sources, out, trials, progress, interrupt)
            if stopped or interrupt.number:
                model.stopped = stopped or signal.Signals(interrupt.number).name
                model.tuning = _write(model, study, out, trials, "stopped")
                return
    best = study.best()
    if best is None:
        raise TaskError(f"none of {study.done} trials came to a model; the first: {study.rows()[0]['why']}")
    model.tuning = _write(model, study, out, trials, "finished")
    model.set_params(**best)
    _train(model, study, sources, out, progress)


def _refuse_several(nodes: int) -> None:
    started = max(started_together(), nodes)
    if started > 1:
        raise SettingsError(
            f"tune: this process is one of {started} that torchrun or a cluster starts, and each of them would make "
            "trials of its own; tune in one process (it may use several devices), then train with the best settings"
        )


# -- the study ---------------------------------------------------------------------------------------------------


def _new(
    model: Estimator, sources: dict[str, Any], search: dict[str, Any], out: Path, overwrite: bool
) -> tuple[Study, dict[str, Any]]:
    if not search:
        raise SettingsError(
            f"search: nothing is left to vary for the task {model.task}; set fewer settings, or give search="
        )
    room_for(out, overwrite)
    place = out / STUDY
    if Study.exists(place) and not overwrite:
        raise SettingsError(
            f"{place}: holds a study already; go on with --resume, start anew with --overwrite, or give another --out"
        )
    prepared = model._prepare(**sources)
    plan = {
        "task": model.task,
        "equations": model.equations,
        "cell_name": model.cell_name,
        "settings": _plain_params(model),
        "search": spelled(search),
        "where": remember(sources, model.data_sources),
        "data": {"name": prepared.name, "sha256": prepared.sha256},
        "overwrite": overwrite,
    }
    return Study.begin(place, plan, search, model.training.seed), sources


def _again(
    model: Estimator,
    sources: dict[str, Any],
    search: dict[str, Any],  # noqa: ARG001 - that of the study counts
    out: Path,
    overwrite: bool,
) -> tuple[Study, dict[str, Any]]:
    if overwrite:
        raise SettingsError("--overwrite: a study that goes on keeps its folder; leave out --overwrite or --resume")
    study = Study.resume(out / STUDY)
    plan = study.plan
    if plan["task"] != model.task:
        raise FolderError(of_another_task(str(out), "study", plan["task"], model.task))
    _refuse_changes(model, plan)
    model.set_params(cell=gw.parse(plan["equations"], name=plan["cell_name"]), **plan["settings"])
    sources = find_again(plan["where"], sources, plan["data"]["name"])
    prepared = model._prepare(**sources)
    if prepared.sha256 != plan["data"]["sha256"]:
        raise SettingsError(
            f"{prepared.name}: not the data that this study began with ({plan['data']['name']}); give those, or start "
            "a new one in another folder"
        )
    return study, sources


def _plain_params(model: Estimator) -> dict[str, Any]:
    return {name: value for name, value in model.get_params().items() if name != "cell"}


def _refuse_changes(model: Estimator, plan: dict[str, Any]) -> None:
    """Raise `SettingsError` for a setting that was given, and that is another one than the study's."""
    usual = {**defaults_of(model.settings_type), **defaults_of(model.training_type)}
    given = {name: value for name, value in _plain_params(model).items() if value != usual[name]}
    given |= {"cell": model.equations} if model.cell_name != usual.get("cell", "lstm") else {}
    began = {**plan["settings"], "cell": plan["equations"]}
    for name, value in given.items():
        if value != began[name]:
            was, now = (plan["cell_name"], model.cell_name) if name == "cell" else (began[name], value)
            raise SettingsError(
                f"setting {name}: this study began with {was!r} and cannot go on with {now!r}; leave it out, or start "
                "a new one in another folder"
            )


# -- a trial -----------------------------------------------------------------------------------------------------


def _try(
    model: Estimator,
    study: Study,
    sources: dict[str, Any],
    out: Path,
    wanted: int,
    progress: str,
    interrupt: Interrupt,
) -> str:
    """Make one trial; the name of the signal that stopped it, so that it is to be made again, if one did."""
    trial, settings = study.ask()
    watched = model.training.devices * model.training.nodes == 1  # a study cannot be asked from other processes
    if model.training.minutes is None and (same := study.like(settings)) is not None:  # a clock is never the same
        same_as = {"loss": same["loss"], "like": same["number"], "data": same["data"]}
        study.tell(trial, same["evaluations"], seconds=0.0, **same_as)
        return _told(model, study, out, wanted, progress)
    judge = Judge(trial, make_watcher("bar" if progress == "bar" else "none", "items"), interrupt)
    try:
        tried = _of_plan(model, study.plan, settings)
        tried._fit(sources, progress=judge if watched else "none")  # type: ignore[arg-type]
    except Ended:
        study.tell(trial, judge.evaluations, pruned=True)
    except Stopped:
        return signal.Signals(interrupt.number).name
    except FolderError:  # the disk, not these settings
        raise
    except (TaskError, gw.CellError) as error:
        study.tell(trial, judge.evaluations, why=str(error))
    else:
        if tried.stopped is not None:
            return tried.stopped
        figures, data = tried.metrics, tried.prepared.sha256
        study.tell(trial, len(figures["history"]), loss=figures["best"]["loss"], seconds=figures["seconds"], data=data)
    return _told(model, study, out, wanted, progress)


def _told(model: Estimator, study: Study, out: Path, wanted: int, progress: str) -> str:
    """Say that a trial is over; nothing has stopped it."""
    _write(model, study, out, wanted, "running")
    if progress != "none":
        print(_line(study, wanted), flush=True)
    return ""


def _of_plan(model: Estimator, plan: dict[str, Any], settings: dict[str, Any]) -> Estimator:
    cell = gw.parse(plan["equations"], name=plan["cell_name"])
    return type(model)(cell, **{**plan["settings"], **settings})


def _line(study: Study, wanted: int) -> str:
    """What is said of the last trial.

    `trial  3 of 20  loss 1.2345  best  hidden_size 128, learning_rate 0.00213`
    """
    rows = study.rows()
    row, best = rows[-1], study.best_row()
    told = {"complete": f"loss {row['loss']:.4f}" if row["loss"] is not None else "", "pruned": "ended early"}
    told["failed"] = f"failed: {row['why']}"
    mark = "  best" if best is not None and best["number"] == row["number"] else ""
    words = ", ".join(f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in row["settings"].items())
    return f"trial {len(rows):>3} of {wanted}  {told[row['state']]}{mark}  {words}"


def _write(model: Estimator, study: Study, out: Path, wanted: int, state: str) -> dict[str, Any]:
    """`tuning.json`: what was tried, for people and for the report."""
    plan = study.plan
    content = {
        "format": "gatewright.tuning",
        "format_version": 1,
        "task": model.task,
        "state": state,
        "wanted": wanted,
        "done": study.done,
        "data": plan["data"],
        "search": plan["search"],
        "settings": plan["settings"],
        "best": study.best_row(),
        "trials": study.rows(),
    }
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / TUNING, json_bytes(content))
    return content


# -- the model ---------------------------------------------------------------------------------------------------


def _train(model: Estimator, study: Study, sources: dict[str, Any], out: Path, progress: str) -> None:
    """Train in full with the best settings, or go on with that training."""
    if _is_begun(model, study, out):
        given = {name: value for name, value in sources.items() if name in model.data_sources}
        tuning = model.tuning
        vars(model).update(vars(type(model)._resume(out, given, progress, {})))
        model.tuning = tuning
    else:
        replaces = study.plan["overwrite"] or study.trained  # a model of its own, from when it had fewer trials
        study.trained = True
        model._fit(sources, out=out, overwrite=replaces, progress=progress)


def _is_begun(model: Estimator, study: Study, out: Path) -> bool:
    """Whether the folder has a checkpoint of this very training, and none of a model that is to be replaced."""
    run = RunFolder(out)
    if not (out / CHECKPOINTS).is_dir():
        return False
    run.tidy()
    about = run.read()[1]
    same = {**about["recipe"]["settings"], **about["training"], "cell": None} == {**model.get_params(), "cell": None}
    return same and about["recipe"]["data"]["sha256"] == (study.best_row() or {}).get("data")
