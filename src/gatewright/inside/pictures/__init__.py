"""Pictures of what a tape holds, drawn by matplotlib or plotly: `pip install 'gatewright[pictures]'`."""

from .flow import flow
from .heatmaps import heatmaps
from .history import history
from .horizons import horizons
from .picture import Picture
from .sides import side_by_side
from .text import coloured_text
from .unit import unit
from .watch import Watch

__all__ = ["Picture", "Watch", "coloured_text", "flow", "heatmaps", "history", "horizons", "side_by_side", "unit"]
