"""Tuning: settings are tried by short ways of finding good ones, and the best are trained in full.

The tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl 2011) of Optuna proposes settings, a trial
whose validation loss is worse than the median of the others' at the same evaluation is ended early, and every trial
is on the disk as soon as it is over: a study that was killed goes on with the trial that it was at. The random
numbers of a trial follow from the seed and from how many trials are done, so a study that was stopped and one that was
not are the same.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.folder import CHECKPOINTS, WEIGHTS
from gatewright.tasks.progress import check_style
from gatewright.tasks.run_folder import RunFolder, folder_path

if TYPE_CHECKING:
    import os

    from gatewright.tasks.estimator import Estimator

__all__ = ["Between", "OneOf", "Tuned"]

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both among them: whole ones where both are. log: tried evenly by their logarithm.

    >>> 3 in Between(1, 5), 2.5 in Between(1, 5), 0.01 in Between(1e-4, 1e-2, log=True)
    (True, False, True)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (self.low, self.high))
        if not numbers or not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SettingsError(f"{self}: expected two numbers, the first one less than the second")
        if self.log and self.low <= 0:
            raise SettingsError(f"{self}: a logarithm needs numbers above 0")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: object) -> bool:
        kinds = int if self.whole else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, init=False)
class OneOf:
    """One of these values: numbers, words, true, false, nothing.

    >>> OneOf(64, 128)
    OneOf(64, 128)
    """

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        object.__setattr__(self, "values", values)
        if not values or not all(isinstance(v, bool | int | float | str | None) for v in values):
            raise SettingsError(f"{self}: expected one or more numbers or words")

    def __repr__(self) -> str:
        return f"OneOf({', '.join(map(repr, self.values))})"

    def __contains__(self, value: object) -> bool:
        return any(value == v and type(value) is type(v) for v in self.values)


def read_range(words: dict[str, Any]) -> Between | OneOf:
    """A range as `spelled` writes it.

    >>> read_range({"one_of": [64, 128]})
    OneOf(64, 128)
    """
    return OneOf(*words["one_of"]) if "one_of" in words else Between(**words)


class Tuned:
    """What an estimator can have tuned. search: what is varied, by the names of settings, each with its range.
    units: settings on which hangs what the validation loss is counted in, so that trials with others do not compare.
    """

    search: ClassVar[Mapping[str, Any]] = {}
    units: ClassVar[tuple[str, ...]] = ()
    tuning: dict[str, Any] | None = None  # what `tuning.json` says, after `tune`

    def tune(
        self,
        trials: int,
        sources: Mapping[str, Any],
        *,
        search: Mapping[str, Between | OneOf] | None = None,
        out: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: str = "none",
    ) -> Self:
        """Try settings, and fit with the best: those with the lowest validation loss.

        trials: how many settings are tried, those of this estimator first. sources: the arguments of `fit` by name,
        {"data": …, "validation": …}. search: what is varied (default: the `search` of this class, without what was set
        to something else than its default). out: the model folder; `out/tuning` has the study, `out/tuning.json` its
        table. resume: go on with the study of that folder, perhaps to more trials. overwrite: begin anew where it holds
        a model. progress: as in `fit`.

        Raises `SettingsError`, `FolderError`, what `fit` raises, and `TaskError` where no trial came to a model.
        """
        from gatewright.tasks.tuning.run import run_tuning

        model = cast("Estimator", self)
        check_style(progress)
        if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
            raise SettingsError(f"trials: expected a whole number of at least 1, got {trials!r}")
        if out is None and resume:
            raise SettingsError("resume: goes on with the study of a folder; give it as out")
        chosen = self._varied() if search is None else _checked(model, dict(search))
        if out is not None:
            run_tuning(model, trials, dict(sources), chosen, folder_path(out), resume, overwrite, progress)
            return self
        with tempfile.TemporaryDirectory(prefix="gatewright-") as folder:
            run_tuning(model, trials, dict(sources), chosen, Path(folder), False, False, progress)
        model.folder = None
        return self

    def stopped_at(self) -> tuple[str, str]:
        """Where a signal stopped training or tuning, and the flags that go on."""
        tuning, model = self.tuning or {}, cast("Estimator", self)
        if tuning.get("state") == "stopped":
            return f"after {tuning['done']} of {tuning['wanted']} trials", f" --tune {tuning['wanted']}"
        return f"after update {model.metrics['updates']}", ""

    def _varied(self) -> dict[str, Any]:
        """The search of the class, without what this estimator was given another value for."""
        model = cast("Estimator", self)
        usual = {**defaults_of(model.settings_type), **defaults_of(model.training_type)}
        given = model.get_params()
        return {n: r for n, r in _checked(model, dict(self.search)).items() if given[n] == usual[n]}


def defaults_of(kind: type[Any]) -> dict[str, Any]:
    """The defaults of a class of settings, of fields that have one."""
    return {f.name: None if f.default is dataclasses.MISSING else f.default for f in dataclasses.fields(kind)}


def _checked(model: Estimator, search: dict[str, Any]) -> dict[str, Any]:
    """The search itself. Raises `SettingsError` for a name that is no setting, or a range that is none."""
    from gatewright.tasks.settings import refuse_unknown

    refuse_unknown(search, model.settings_type, model.training_type)
    for name, among in search.items():
        if not isinstance(among, Between | OneOf):
            raise SettingsError(f"search {name}: expected Between(low, high) or OneOf(…), got {among!r}")
        if name in FIXED:
            raise SettingsError(f"search {name}: is the same for every trial; leave it out")
        if name in ("validation", *model.units):
            raise SettingsError(
                f"search {name}: with another one the validation loss is of other data or in other units, so that "
                "trials do not compare; leave it out, and tune once for each"
            )
    return search


FIXED = {"cell", "seed", "accelerator", "devices", "nodes", "save_minutes"}


def room_for(path: Path, overwrite: bool) -> None:
    """Raise where a folder holds a model that is not to be replaced, or files of somebody else."""
    if path.exists() and not path.is_dir():
        raise SettingsError(f"{path}: is a file, expected a folder to save the model in; give another --out")
    RunFolder(path).refuse_foreign(CHECKPOINTS)
    taken = [name for name in (WEIGHTS, CHECKPOINTS) if (path / name).exists()]
    if taken and not overwrite:
        raise SettingsError(
            f"{path}: holds a model already ({taken[0]}); start anew with --overwrite, or give another --out"
        )
