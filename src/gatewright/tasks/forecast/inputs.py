"""What a forecasting network is given: the sizes of the data, windows as tensors of its own type, categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from gatewright.tasks.forecast.schema import Schema
    from gatewright.tasks.forecast.settings import ForecastSettings
    from gatewright.tasks.forecast.windows import Batch

__all__ = ["Codes", "Inputs", "Shape", "shape_of"]


@dataclass(frozen=True)
class Shape:
    """The sizes that data give a network. Categories are sizes of vocabularies, index 0 for what is unknown."""

    context: int
    horizon: int
    season: int
    cycles: tuple[int, ...]  # longer ones that a first guess looks back, too
    segment: int
    past: int
    known: int  # the calendar's features among them
    static: int
    past_categories: tuple[int, ...]
    known_categories: tuple[int, ...]
    static_categories: tuple[int, ...]
    series: int  # those known, and one for an unknown one


def shape_of(settings: ForecastSettings, schema: Schema) -> Shape:
    """The sizes that a schema of the data and the settings give."""
    i, season = schema.inputs, settings.season or schema.frequency.season
    return Shape(
        context=schema.context,
        horizon=schema.horizon,
        season=season,
        cycles=tuple(n for n in settings.cycles if n != season and n <= schema.context),
        segment=settings.segment_for(schema.context, season),
        past=i.past,
        known=i.known + i.calendar,
        static=i.static,
        past_categories=tuple(i.past_categories),
        known_categories=tuple(i.known_categories),
        static_categories=tuple(i.static_categories),
        series=i.series,
    )


class Inputs:
    """What a network reads of a batch of windows, with floating-point numbers in the network's own type.

    It is no tuple and no dataclass: Fabric leaves it as it is. Fields as of the data's `Batch`.
    """

    context: Float[Tensor, "B L"]
    observed: Float[Tensor, "B L"]
    target: Float[Tensor, "B H"]
    target_observed: Float[Tensor, "B H"]
    past: Float[Tensor, "B L P"]
    known: Float[Tensor, "B LH K"]
    calendar: Float[Tensor, "B LH F"]
    static: Float[Tensor, "B S"]
    past_codes: Int64[Tensor, "B L PC"]
    known_codes: Int64[Tensor, "B LH KC"]
    static_codes: Int64[Tensor, "B SC"]
    series: Int64[Tensor, " B"]
    scale: Float[Tensor, " B"]

    FLOATS = ("context", "observed", "target", "target_observed", "past", "known", "calendar", "static", "scale")
    WHOLE = ("past_codes", "known_codes", "static_codes", "series")

    def __init__(self, batch: Batch, network: nn.Module) -> None:
        weight = next(network.parameters())
        for name in self.FLOATS:
            setattr(self, name, getattr(batch, name).to(weight.device, weight.dtype))
        for name in self.WHOLE:
            setattr(self, name, getattr(batch, name).to(weight.device))


class Codes(nn.Module):
    """Categories as vectors, side by side: whole numbers (…, c) to (…, `size`). What is unknown, 0, begins as zeros.

    sizes: of the vocabularies. width: of each vector (by default more for larger ones, 2 to 16).
    """

    none: Tensor

    def __init__(self, sizes: Sequence[int], width: int | None = None) -> None:
        super().__init__()
        widths = [width or min(16, 1 + (n + 1) // 2) for n in sizes]
        self.tables = nn.ModuleList([nn.Embedding(n, width) for n, width in zip(sizes, widths, strict=True)])
        for table in self.tables:
            nn.init.zeros_(table.weight[0])  # pyright: ignore[reportArgumentType, reportIndexIssue]
        self.size = sum(widths)
        self.register_buffer("none", torch.zeros(0), persistent=False)  # of the weights' type and device

    def forward(self, codes: Int64[Tensor, "*n c"]) -> Float[Tensor, "*n E"]:
        """Zeros of no width where there are no categories."""
        if not self.size:
            return self.none.expand(*codes.shape[:-1], 0)
        return torch.cat([table(codes[..., i]) for i, table in enumerate(self.tables)], -1)
