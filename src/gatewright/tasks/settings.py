"""Settings: small frozen dataclasses that check themselves; an unknown key is an error.

A field's `metadata["help"]` is its documentation; the command line makes its flags from it, so that a setting
is written down once. A fixed set of values is a `Literal` type.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from gatewright.tasks.errors import SettingsError

__all__ = ["LIMITS", "Settings", "TrainingSettings", "defaults", "setting", "split_settings"]

TOO_LARGE = 2**63  # torch and its random generators take 64 bits
LIMITS = ("updates", "epochs", "minutes")  # settings by which a run ends


def setting(default: Any, help: str) -> Any:
    """A dataclass field with its documentation."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Settings:
    """Base of all settings: dictionaries in and out, types and choices checked on construction."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in dataclasses.fields(self):
            self._check_type(f.name, hints[f.name])
        self.check()

    def check(self) -> None:
        """Raise `SettingsError` where values are out of range or contradict each other."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a dictionary; an unknown key is an error that suggests the nearest."""
        refuse_unknown(values, cls)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Name to value, in the order of the fields."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed."""
        return type(self).from_dict({**self.to_dict(), **changes})

    def _check_type(self, name: str, hint: Any) -> None:
        value = getattr(self, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(f"setting {name}: expected {_spell(hint)}, got {value!r}")
        if isinstance(value, int) and abs(value) >= TOO_LARGE:
            raise SettingsError(f"setting {name}: expected a number below 2**63, got {value!r}")
        if isinstance(value, int) and not isinstance(value, bool) and _allows(hint, float):
            object.__setattr__(self, name, float(value) if not _allows(hint, int) else value)
        elif not _matches(value, hint):
            raise SettingsError(f"setting {name}: expected {_spell(hint)}, got {value!r}")

    def _at_least(self, name: str, lowest: float, *, above: bool = False) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if not (value > lowest if above else value >= lowest):
            bound = f"above {lowest}" if above else f"of at least {lowest}"
            raise SettingsError(f"setting {name}: expected a number {bound}, got {value!r}")

    def _below_one(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise SettingsError(f"setting {name}: expected a number from 0 up to (not including) 1, got {value!r}")


def _parts(hint: Any) -> tuple[Any, ...]:
    args = typing.get_args(hint)
    return args if args and typing.get_origin(hint) is not Literal else (hint,)


def _allows(hint: Any, kind: type) -> bool:
    return kind in _parts(hint)


def _matches(value: Any, hint: Any) -> bool:
    return any(_matches_one(value, part) for part in _parts(hint))


def _matches_one(value: Any, part: Any) -> bool:
    if typing.get_origin(part) is Literal:
        return value in typing.get_args(part)
    if part in (None, type(None)):
        return value is None
    return isinstance(value, part) and (part is bool or not isinstance(value, bool))


def _spell(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "nothing",
    }
    words = []
    for part in _parts(hint):
        choices = typing.get_args(part) if typing.get_origin(part) is Literal else ()
        words += [", ".join(map(str, choices))] if choices else [names.get(part, str(part))]
    return " or ".join(words)


def refuse_unknown(values: Mapping[str, Any], *kinds: type[Settings]) -> None:
    """Raise `SettingsError` for a key that none of the classes has, with the nearest name that one has."""
    known = [f.name for kind in kinds for f in dataclasses.fields(kind)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known settings: {', '.join(known)}"
            raise SettingsError(f"unknown setting {key!r}; {hint}")


def split_settings(values: Mapping[str, Any], *kinds: type[Settings]) -> list[Any]:
    """One instance of each class from one flat dictionary; a key that no class knows is an error."""
    refuse_unknown(values, *kinds)
    names = [{f.name for f in dataclasses.fields(kind)} for kind in kinds]
    return [
        kind.from_dict({k: v for k, v in values.items() if k in own}) for kind, own in zip(kinds, names, strict=True)
    ]


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How any task is trained; it ends at the first of `updates`, `epochs`, `minutes`, early stopping."""

    batch_size: int = setting(
        32, "sequences per update, over all devices together (where nothing is set: 32, of few data fewer)"
    )
    epochs: float | None = setting(None, "passes over the data (default: by the task and how many data there are)")
    updates: int | None = setting(None, "optimiser steps")
    minutes: float | None = setting(None, "time budget; the schedule follows it, so two runs are not bit for bit alike")
    optimizer: Literal["adamw", "sgd"] = setting("adamw", "the optimiser")
    learning_rate: float = setting(4e-3, "the highest learning rate")
    schedule: Literal["cosine", "linear", "constant", "plateau"] = setting(
        "cosine", "how the learning rate decays; plateau multiplies it by `decay` where validation stalls"
    )
    warmup: int = setting(50, "updates over which the learning rate rises from 0 (at most a tenth of the run)")
    final: float = setting(0.02, "where cosine and linear end, as a share of the learning rate")
    decay: float = setting(0.5, "factor of the plateau schedule")
    weight_decay: float = setting(0.01, "of matrices (biases have none)")
    momentum: float = setting(0.0, "of SGD")
    clip: float | None = setting(1.0, "largest norm of the gradient; 0: no clipping")
    averaging: int = setting(
        0, "NT-ASGD's n: weights are averaged from where validation is worse than the best but the n before; 0: never"
    )
    patience: int | None = setting(10, "evaluations without a better validation loss before stopping; 0: never stop")
    evaluate_every: int | None = setting(None, "updates between evaluations (default: an epoch, at most 500)")
    save_minutes: float = setting(2.0, "longest time between two checkpoints; one is made at every evaluation besides")
    seed: int = setting(0, "of weights, dropout and the order of the data")
    accelerator: Literal["auto", "cpu", "cuda", "mps", "tpu"] = setting("auto", "the kind of device")
    devices: int = setting(1, "processes per node, one a device")
    nodes: int = setting(1, "machines")
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true"] = setting(
        "32-true", "of weights and arithmetic"
    )

    def check(self) -> None:
        for name in ("batch_size", "updates", "evaluate_every", "devices", "nodes"):
            self._at_least(name, 1)
        for name in ("epochs", "minutes", "learning_rate", "decay", "save_minutes"):
            self._at_least(name, 0, above=True)
        for name in ("warmup", "final", "weight_decay", "momentum", "clip", "averaging", "patience", "seed"):
            self._at_least(name, 0)
        processes = self.devices * self.nodes
        if self.batch_size and self.batch_size % processes:
            raise SettingsError(
                f"setting batch_size: {self.batch_size} sequences do not divide among {processes} processes "
                f"({self.nodes} node(s) of {self.devices} device(s)); take a multiple of {processes}"
            )

    @property
    def limited(self) -> bool:
        """Whether any limit of the run's length was given."""
        return any(getattr(self, limit) is not None for limit in LIMITS)

    # What may change between a run and its resumption: how long, and on what it runs.
    RESUMABLE: ClassVar[frozenset[str]] = frozenset(
        {
            "updates",
            "epochs",
            "minutes",
            "patience",
            "accelerator",
            "devices",
            "nodes",
            "evaluate_every",
            "save_minutes",
        }
    )


def defaults(kind: type[TrainingSettings], name: str, **values: Any) -> type[TrainingSettings]:
    """The training settings of a task: the same fields with other defaults. name: of the class, as it is assigned.
    A default of None lets a field be None.

    >>> Slow = defaults(TrainingSettings, "Slow", learning_rate=1e-4)
    >>> Slow().learning_rate, Slow().batch_size
    (0.0001, 32)
    """
    refuse_unknown(values, kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    namespace: dict[str, Any] = {n: setting(v, fields[n].metadata["help"]) for n, v in values.items()}
    types = {n: f"{fields[n].type} | None" if v is None else fields[n].type for n, v in values.items()}
    namespace["__annotations__"] = types
    caller = sys._getframe(1).f_globals  # where the class will be found again by name
    made = type(name, (kind,), {**namespace, "__module__": caller["__name__"], "__doc__": kind.__doc__})
    return dataclass(frozen=True)(made)
