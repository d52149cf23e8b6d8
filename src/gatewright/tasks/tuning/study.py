"""The trials of a tuning, on the disk: Optuna's study in a journal, a file to which lines of JSON are added."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import FolderError, MissingExtra, first_line
from gatewright.tasks.tuning.tune import Between, OneOf, read_range

if TYPE_CHECKING:
    import optuna

__all__ = ["Study", "spelled"]

NAME = "gatewright"
JOURNAL = "study.jsonl"
RANDOM = 8
"""Trials before proposals follow from the ones before."""
GRACE = 3
"""The first evaluation after which a trial may be ended early."""
STATES = {"COMPLETE": "complete", "PRUNED": "pruned"}


class Study:
    """Trials of settings, one after another; each is on the disk when it is over.

    plan: JSON values of the one who tunes. done: trials that are over.
    """

    def __init__(self, study: optuna.Study, plan: dict[str, Any], search: dict[str, Any], seed: int) -> None:
        self.study, self.plan, self.search, self.seed = study, plan, search, seed

    @staticmethod
    def exists(place: Path) -> bool:
        """Whether a folder holds a study."""
        return (place / JOURNAL).exists()

    @classmethod
    def begin(cls, place: Path, plan: dict[str, Any], search: dict[str, Any], seed: int) -> Study:
        """A new study, in the place of one that may be there."""
        optuna = _optuna()
        try:
            if cls.exists(place):
                shutil.rmtree(place)
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(f"{place}: cannot be made ({error.strerror}); give another --out") from error
        with _quiet():
            made = optuna.create_study(storage=_storage(place), study_name=NAME, direction="minimize")
            made.set_user_attr("plan", {**plan, "seed": seed})
        return cls(made, plan, search, seed)

    @classmethod
    def resume(cls, place: Path) -> Study:
        """The study of a folder; a trial that it was at when it was killed is made again. Raises `FolderError`."""
        optuna = _optuna()
        if not cls.exists(place):
            raise FolderError(f"{place}: no study to go on with; leave out --resume")
        _drop_half_a_line(place / JOURNAL)
        try:
            with _quiet():
                found = optuna.load_study(storage=_storage(place), study_name=NAME)
                plan = found.user_attrs["plan"]
                for trial in found.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
                    found.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            search = {name: read_range(words) for name, words in plan["search"].items()}
            return cls(found, plan, search, plan["seed"])
        except (KeyError, ValueError, TypeError) as error:
            raise FolderError(
                f"{place}: damaged ({type(error).__name__}: {first_line(error)}); start anew with --overwrite"
            ) from error

    @property
    def done(self) -> int:
        """Trials that are over; one that was killed is none."""
        return len(self._over())

    @property
    def trained(self) -> bool:
        """Whether a model with the best settings was begun to be trained."""
        return bool(self.study.user_attrs.get("trained"))

    @trained.setter
    def trained(self, value: bool) -> None:
        with _quiet():
            self.study.set_user_attr("trained", value)

    def ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """A new trial, and its settings: at first those of the plan, then proposals. Of the plan's, Optuna is told what
        lies in the range that is searched; what does not is kept beside it, and proposals do not follow from it.

        Its random numbers follow from the seed and from how many trials are over, whatever was killed between them.
        """
        optuna = _optuna()
        number = self.done
        numbers = np.random.SeedSequence([self.seed, number]).generate_state(1)
        self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM, seed=int(numbers[0]))
        self.study.pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=GRACE)
        if number:
            with _quiet():
                trial = self.study.ask({name: _distribution(among) for name, among in self.search.items()})
            return trial, dict(trial.params)
        began = {name: self.plan["settings"][name] for name in self.search}
        known = {name: value for name, value in began.items() if value in self.search[name]}
        with _quiet():
            if not self.study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
                self.study.enqueue_trial(known)
            trial = self.study.ask({name: _distribution(self.search[name]) for name in known})
            trial.set_user_attr("settings", began)
        return trial, began

    def tell(
        self,
        trial: optuna.Trial,
        evaluations: int,
        *,
        loss: float | None = None,
        pruned: bool = False,
        why: str = "",
        seconds: float | None = None,
        like: int | None = None,
        data: str | None = None,
    ) -> None:
        """A trial is over: with a loss (perhaps that of a trial `like` it), ended early, or with an error, which counts
        as worse than all. data: the SHA-256 of what its training saw, on which settings may have a part.
        """
        state = _optuna().trial.TrialState
        about = {"evaluations": evaluations, "why": why, "seconds": seconds, "like": like, "data": data}
        trial.set_user_attr("about", about)
        with _quiet():
            if loss is not None:
                self.study.tell(trial, loss)
            else:
                assert pruned or why
                self.study.tell(trial, state=state.PRUNED)

    def rows(self) -> list[dict[str, Any]]:
        """What became of each trial, in their order."""
        return [_row(number, trial) for number, trial in enumerate(self._over(), 1)]

    def like(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """A trial that had the same settings and came to its end: another one would come to the same."""
        rows = (row for row in self.rows() if row["state"] == "complete" and row["settings"] == settings)
        return next(rows, None)

    def best_row(self) -> dict[str, Any] | None:
        """The trial with the lowest loss; None where none has one."""
        complete = [row for row in self.rows() if row["state"] == "complete"]
        return min(complete, key=lambda row: row["loss"], default=None)

    def best(self) -> dict[str, Any] | None:
        """Its settings."""
        row = self.best_row()
        return None if row is None else row["settings"]

    def _over(self) -> list[optuna.trial.FrozenTrial]:
        state = _optuna().trial.TrialState
        return self.study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))


def _row(number: int, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    about = trial.user_attrs["about"]
    complete = trial.state.name == "COMPLETE"
    last = trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None
    return {
        "number": number,
        "state": "failed" if about["why"] else STATES[trial.state.name],
        "loss": trial.value if complete else None,
        "last_loss": last,
        "evaluations": about["evaluations"],
        "seconds": about["seconds"],
        "why": about["why"],
        "like": about["like"],
        "data": about.get("data"),
        "settings": dict(trial.user_attrs.get("settings", trial.params)),
    }


def spelled(search: dict[str, Any]) -> dict[str, Any]:
    """A search as JSON values.

    >>> spelled({"dropout": Between(0.0, 0.5), "hidden_size": OneOf(64, 128)})
    {'dropout': {'low': 0.0, 'high': 0.5, 'log': False}, 'hidden_size': {'one_of': [64, 128]}}
    """
    return {
        name: {"one_of": list(among.values)}
        if isinstance(among, OneOf)
        else {"low": among.low, "high": among.high, "log": among.log}
        for name, among in search.items()
    }


def _distribution(among: Between | OneOf) -> Any:
    found = _optuna().distributions
    if isinstance(among, OneOf):
        return found.CategoricalDistribution(among.values)
    if among.whole:
        return found.IntDistribution(int(among.low), int(among.high), log=among.log)
    return found.FloatDistribution(among.low, among.high, log=among.log)


def _storage(place: Path) -> Any:
    from optuna.storages import journal

    path = str(place / JOURNAL)
    lock = journal.JournalFileOpenLock(path)  # a link, Optuna's other way, is not to be had on every disk
    return journal.JournalStorage(journal.JournalFileBackend(path, lock_obj=lock))


def _drop_half_a_line(journal: Path) -> None:
    """Take off what a kill has left half written, so that what is added next stands on a line of its own."""
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with open(journal, "r+b") as file:
            file.truncate(whole)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says a line about every trial on its own; we say ours."""
    optuna = _optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    except OSError as error:
        raise FolderError(f"the study cannot be written ({error.strerror}); free some space, then --resume") from error
    finally:
        optuna.logging.set_verbosity(before)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("optuna", "tune", "tuning") from error
    return optuna
