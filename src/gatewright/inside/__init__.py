"""See inside a recurrent network: recording, interventions, measures and pictures."""

from . import labels
from .clamp import clamp
from .effects import Effect, Side, compare, gate_effects, unit_effects
from .find import Found, find_units
from .gradients import gradient_flow, sensitivity
from .memory import Saturation, memory_horizon, saturation, warnings
from .pictures import (
    Picture,
    Watch,
    coloured_text,
    flow,
    heatmaps,
    history,
    horizons,
    side_by_side,
    unit,
)
from .record import record
from .tape import Run, Track

__all__ = [
    "Effect",
    "Found",
    "Picture",
    "Run",
    "Saturation",
    "Side",
    "Track",
    "Watch",
    "clamp",
    "coloured_text",
    "compare",
    "find_units",
    "flow",
    "gate_effects",
    "gradient_flow",
    "heatmaps",
    "history",
    "horizons",
    "labels",
    "memory_horizon",
    "record",
    "saturation",
    "sensitivity",
    "side_by_side",
    "unit",
    "unit_effects",
    "warnings",
]
