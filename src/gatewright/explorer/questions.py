"""The questions that a page may ask, as they have to look."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .lag import LAGS, UPDATES
from .opened import STEPS, Clamp
from .written import CHARACTERS, SIZE

TEXT = 200_000
"""Characters of a text, at most."""
Name = Annotated[str, Field(max_length=100)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=TEXT)]
Step = Annotated[int, Field(ge=0, le=STEPS)]
Equations = Annotated[str, Field(max_length=CHARACTERS)]
Width = Annotated[int, Field(ge=1, le=SIZE)]


class Question(BaseModel):
    """The base of all: a part that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Hold(Question):
    """A value that is held; see `Clamp`."""

    name: Name
    value: Number | None = None
    units: Annotated[list[int], Field(max_length=65_536)] | None = None
    layer: Name | None = None
    start: Step | None = Field(None, alias="from")
    stop: Step | None = Field(None, alias="to")

    def clamp(self) -> Clamp:
        units = None if self.units is None else tuple(self.units)
        return Clamp(self.name, self.value, units, self.layer, self.start or 0, self.stop)


Holds = Annotated[list[Hold], Field(max_length=32)]


class Sequence(Question):
    """One sequence: a text, rows of numbers, or how many random steps."""

    text: Text | None = None
    numbers: Annotated[list[list[Number]], Field(max_length=STEPS)] | None = None
    random: Annotated[int, Field(ge=1, le=STEPS)] | None = None
    clamps: Holds = []

    def held(self) -> list[Clamp]:
        return [hold.clamp() for hold in self.clamps]


class Ask(Sequence):
    """A sequence, as it is and under clamps; length: tokens of the continuation."""

    length: Annotated[int, Field(ge=0, le=200)] = 16


class Find(Question):
    """Where a unit is on."""

    layer: Name | None = None
    name: Name
    unit: Annotated[int, Field(ge=0)]
    above: Number = 0.9
    texts: Annotated[list[Text], Field(max_length=200)] | None = None


class Compare(Question):
    """A race of cells on the long-lag task."""

    cells: Annotated[list[Equations], Field(min_length=1, max_length=6)]
    lag: Annotated[int, Field(ge=LAGS[0], le=LAGS[1])] = 50
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    updates: Annotated[int, Field(ge=1, le=10 * UPDATES)] = UPDATES


class Write(Question):
    """Equations that somebody types."""

    equations: Equations
    input_size: Width = 32
    hidden_size: Width = 64


class Train(Question):
    """A race of typed equations and the LSTM."""

    equations: Equations
    task: Literal["lag"] = "lag"
    lag: Annotated[int, Field(ge=LAGS[0], le=LAGS[1])] = 50
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    updates: Annotated[int, Field(ge=1, le=10 * UPDATES)] = UPDATES
