"""The networks of a forecast: one for all series, all steps at once or one step after another.

Around both stands the same: a level is taken off each window and put back afterwards, and what the network says is a
correction of a first guess that looks a season back. L is the context, H the horizon, w the length of a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.nn.nested import mapped
from gatewright.tasks.forecast.heads import make_head
from gatewright.tasks.forecast.inputs import Codes, Inputs, Shape

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from gatewright.tasks.forecast.settings import ForecastSettings

__all__ = ["Direct", "Stepwise", "candidates"]

IDENTITY = 8  # width of a series' vector
FORGOTTEN = 0.1  # share of windows in training whose series is not told, so that a new one is no surprise
SMALL = 0.1  # of the output's weights at first


class Forecasting(nn.Module):
    """What both networks share: covariates, the level of a window, the first guess, the head."""

    kinds: tuple[str, ...]  # what a first guess is made of, before the values one cycle back

    def __init__(self, cell: Any, settings: ForecastSettings, shape: Shape) -> None:
        super().__init__()
        s = self.settings = settings
        self.shape, self.head = shape, make_head(s.head_name, s.levels)
        dropout = s.dropout if s.num_layers > 1 else 0.0
        self.recurrent = gw.Recurrent(
            cell, s.hidden_size, s.hidden_size, s.num_layers, dropout=dropout, backend=s.backend
        )
        self.past_codes = Codes(shape.past_categories)
        self.known_codes = Codes(shape.known_categories)
        self.static_codes = Codes(shape.static_categories)
        self.identity = Codes((shape.series,) * bool(self._identity), self._identity)
        self.past_size = shape.past + self.past_codes.size
        self.known_size = shape.known + self.known_codes.size
        self.static_size = shape.static + self.static_codes.size + self.identity.size
        self.guess = nn.Parameter(first_guess(s.residual, self.kinds, len(shape.cycles)))

    @property
    def _identity(self) -> int:
        width = self.settings.identity
        return width if width is not None else IDENTITY * (self.shape.series > 2)

    def past(self, batch: Inputs) -> Float[Tensor, "B L P"]:
        """Covariates known in the context alone."""
        return torch.cat([batch.past, self.past_codes(batch.past_codes)], -1)

    def known(self, batch: Inputs) -> Float[Tensor, "B L+H K"]:
        """What is known of every step, those to come included."""
        return torch.cat([batch.known, batch.calendar, self.known_codes(batch.known_codes)], -1)

    def static(self, batch: Inputs) -> Float[Tensor, "B S"]:
        """What does not change along a series."""
        series = batch.series
        if self.training and self.identity.size:
            series = torch.where(torch.rand(series.shape, device=series.device) < FORGOTTEN, 0, series)
        parts = [batch.static, self.static_codes(batch.static_codes), self.identity(series.unsqueeze(-1))]
        return torch.cat(parts, -1)

    def level(self, batch: Inputs) -> tuple[Float[Tensor, "B 1"], Float[Tensor, "B 1"]]:
        """What is taken off a window, the mean of its last season, or 0; and how much that mean has grown since the
        season before.
        """
        season, context = self.shape.season, batch.context
        last = masked_mean(context[:, -season:], batch.observed[:, -season:])
        if 2 * season <= context.shape[1]:
            before = masked_mean(context[:, -2 * season : -season], batch.observed[:, -2 * season : -season])
            growth = last - before
        else:
            growth = torch.zeros_like(last)
        return (last if self.settings.level == "season" else torch.zeros_like(last)), growth

    def losses(self, batch: Inputs, raw: Float[Tensor, "B H P"], base: Float[Tensor, "B H"]) -> Float[Tensor, "B H"]:
        """The loss of every value, by what `forward` gave; 0 where it is missing."""
        valid = batch.target_observed > 0
        target = torch.where(valid, batch.target, base.detach())
        return torch.where(valid, self.head.loss(raw, base, target, scales(batch, base)).to(base.dtype), 0.0)

    @property
    def centre(self) -> str:
        """What the point forecast is: "mean" or "median"; of logarithms always the median."""
        return "median" if self.settings.log else self.head.centre

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.settings.dropout, self.training)


class Direct(Forecasting):
    """All steps at once: a recurrence over the context, or over its segments, then one step of the same recurrence for
    each segment of the horizon, side by side, each told its place, what is known of it, and what the first guess is
    made of.

    Segments, and decoding in parallel from places: S. Lin, W. Lin, W. Wu, F. Zhao, R. Mo and H. Zhang, SegRNN: Segment
    recurrent neural network for long-term time series forecasting, 2023 (arXiv 2308.11200).
    """

    kinds = ("season", "two seasons", "last", "growth")

    def __init__(self, cell: Any, settings: ForecastSettings, shape: Shape) -> None:
        super().__init__(cell, settings, shape)
        hidden, w = settings.hidden_size, shape.segment
        self.embed = nn.Linear(w * (2 + self.past_size + self.known_size) + self.static_size, hidden)
        self.places = nn.Parameter(torch.randn(-(-shape.horizon // w), hidden) * hidden**-0.5)
        self.ahead = nn.Linear(w * (self.known_size + len(self.guess)) + self.static_size, hidden, bias=False)
        self.output = nn.Linear(self.recurrent.output_size, w * self.head.size)
        begin_small(self.output, self.head)

    def forward(self, batch: Inputs) -> tuple[Float[Tensor, "B H P"], Float[Tensor, "B H"]]:
        """What the head reads, and the first guess."""
        level, growth = self.level(batch)
        static = self.static(batch)
        shape = self.shape
        guesses = candidates(batch.context - level, growth, shape.horizon, shape.season, shape.cycles)
        raw = self.decode(batch, static, guesses, self.encode(batch, static, level))
        return wide(raw), wide(level + guesses @ self.guess)

    def encode(self, batch: Inputs, static: Float[Tensor, "B S"], level: Float[Tensor, "B 1"]) -> Any:
        """The state after the context."""
        seen, w = batch.observed, self.shape.segment
        length = seen.shape[1]
        values = torch.where(seen > 0, batch.context - level, 0.0)
        steps = [values.unsqueeze(-1), seen.unsqueeze(-1), self.past(batch), self.known(batch)[:, :length]]
        x = F.pad(torch.cat(steps, -1), (0, 0, -length % w, 0))
        x = F.relu(self.embed(in_segments(x, w, static)))
        _, state = self.recurrent(self._dropped(x).transpose(0, 1))
        return state

    def decode(
        self, batch: Inputs, static: Float[Tensor, "B S"], guesses: Float[Tensor, "B H k"], state: Any
    ) -> Float[Tensor, "B H P"]:
        """One step from the state for each segment to come."""
        horizon, w, count = self.shape.horizon, self.shape.segment, len(self.places)
        known = torch.cat([self.known(batch)[:, -horizon:], guesses], -1)
        known = F.pad(known, (0, 0, 0, count * w - horizon))
        x = self.places + self.ahead(in_segments(known, w, static))  # (B, n, hidden)
        state = mapped(lambda t: t.repeat_interleave(count, 1), state)
        y, _ = self.recurrent(x.reshape(1, -1, x.shape[-1]), state)
        return self.output(self._dropped(y[0])).view(len(x), count * w, -1)[:, :horizon]

    @torch.no_grad()
    def forecast(
        self,
        batch: Inputs,
        levels: Sequence[float] = (),
        *,
        samples: int = 1,  # noqa: ARG002 - those of `Stepwise`
        seed: int = 0,  # noqa: ARG002
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B H Q"] | None]:
        """The point forecast, and quantiles where levels are asked for, in scaled units."""
        self.head.check_levels(levels)
        raw, base = self(batch)
        point = self.head.point(raw, base)
        return point, self.head.quantiles(raw, base, scales(batch, base), levels) if levels else None


class Stepwise(Forecasting):
    """One step after another, each told the value before: in training the true one, then one that is drawn. What is
    known of the step, and the values one and two seasons back, are told too.

    D. Salinas, V. Flunkert, J. Gasthaus and T. Januschowski, DeepAR: Probabilistic forecasting with autoregressive
    recurrent networks, 2020.
    """

    kinds = ("season", "two seasons", "last")

    def __init__(self, cell: Any, settings: ForecastSettings, shape: Shape) -> None:
        super().__init__(cell, settings, shape)
        inputs = len(self.guess) + 1 + self.past_size + self.known_size + self.static_size
        self.embed = nn.Linear(inputs, settings.hidden_size)
        self.output = nn.Linear(self.recurrent.output_size, self.head.size)
        begin_small(self.output, self.head)

    def forward(self, batch: Inputs) -> tuple[Float[Tensor, "B H P"], Float[Tensor, "B H"]]:
        """What the head reads and the first guess at every step of the horizon, given the true values before it."""
        level, _ = self.level(batch)
        valid, horizon = batch.target_observed, self.shape.horizon
        target = torch.where(valid > 0, batch.target, batch.context[:, -1:])
        whole = torch.cat([batch.context, target], 1) - level
        seen = torch.cat([batch.observed, valid], 1)
        guesses, x = self._values(whole, seen, range(1, whole.shape[1]))
        y, _ = self.recurrent(self._inputs(x, self._told(batch)[:, 1:]))
        raw = self.output(self._dropped(y[-horizon:])).transpose(0, 1)
        return wide(raw), wide(level + (guesses @ self.guess)[:, -horizon:])

    def _told(self, batch: Inputs) -> Float[Tensor, "B L+H F"]:
        """What is told of each step beside the values: past covariates of the step before, which end where the context
        does; what is known of it; what does not change.
        """
        past, known = self.past(batch), self.known(batch)
        past = F.pad(past, (0, 0, 1, self.shape.horizon - 1))
        static = self.static(batch).unsqueeze(1).expand(-1, known.shape[1], -1)
        return torch.cat([past, known, static], -1)

    def _values(self, whole: Tensor, seen: Tensor, steps: range) -> tuple[Tensor, Tensor]:
        """(B, T, k) what guesses are made of, and (B, T, k + 1) the same and whether the value before was seen; of
        values before each step alone.
        """
        shape, at = self.shape, torch.arange(steps.start, steps.stop, device=whole.device)
        newest = back(at, shape.season)
        places = [newest, back(newest, shape.season, newest), at - 1, *(back(at, n) for n in shape.cycles)]
        guesses = torch.stack([whole[:, place] for place in places], -1)
        return guesses, torch.cat([guesses, seen[:, at - 1].unsqueeze(-1)], -1)

    def _inputs(self, values: Float[Tensor, "B T k+1"], told: Float[Tensor, "B T F"]) -> Float[Tensor, "T B hidden"]:
        x = F.relu(self.embed(torch.cat([values, told], -1)))
        return self._dropped(x).transpose(0, 1)

    @torch.no_grad()
    def paths(self, batch: Inputs, count: int) -> Float[Tensor, "B S H"]:
        """Paths of what may come, in scaled units, drawn by torch's generator, one step after another."""
        length, horizon = self.shape.context, self.shape.horizon
        level, _ = self.level(batch)
        told, whole, seen = self._told(batch), batch.context - level, batch.observed
        stream = gw.Stream(self.recurrent)
        if length > 1:
            x = self._inputs(self._values(whole, seen, range(1, length))[1], told[:, 1:length])
            _, state = self.recurrent(x)
            stream.state = mapped(lambda t: t.repeat_interleave(count, 1), state)
        level, told, whole, seen, scale = (
            part.repeat_interleave(count, 0) for part in (level, told, whole, seen, scales(batch, level))
        )
        whole, seen = F.pad(whole, (0, horizon)), F.pad(seen, (0, horizon), value=1.0)
        for t in range(length, length + horizon):
            guesses, values = self._values(whole, seen, range(t, t + 1))
            raw = wide(self.output(stream(self._inputs(values, told[:, t : t + 1])[0])))
            base = wide(level[:, 0] + guesses[:, 0] @ self.guess)
            drawn = self.head.sample(raw, base, scale[:, 0]) if self.head.sampled else self.head.point(raw, base)
            whole[:, t] = drawn - level[:, 0]
        return wide(whole[:, length:] + level).view(-1, count, horizon)

    @torch.no_grad()
    def forecast(
        self, batch: Inputs, levels: Sequence[float] = (), *, samples: int = 200, seed: int = 0
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B H Q"] | None]:
        """Mean (of logarithms the median) and quantiles of paths, in scaled units; the same seed, the same paths. A
        head without a distribution has one path.
        """
        self.head.check_levels(levels)
        with torch.random.fork_rng(devices=[batch.context.device] if batch.context.is_cuda else []):
            torch.manual_seed(seed)
            paths = self.paths(batch, samples if self.head.sampled else 1)
        at = torch.tensor(list(levels), dtype=paths.dtype, device=paths.device)
        centre = paths.quantile(0.5, 1) if self.settings.log else paths.mean(1)
        return centre, paths.quantile(at, 1).permute(1, 2, 0) if levels else None


@torch.no_grad()
def begin_small(output: nn.Linear, head: Any) -> None:
    """The first forecast is nearly the first guess, so training begins where a seasonal naive forecast is."""
    output.weight.mul_(SMALL)
    output.bias.view(-1, head.size).copy_(head.begin())


def in_segments(x: Float[Tensor, "B T F"], w: int, static: Float[Tensor, "B S"]) -> Float[Tensor, "B n wF+S"]:
    """Steps in segments of w, each with what does not change."""
    x = x.reshape(len(x), x.shape[1] // w, -1)
    return torch.cat([x, static.unsqueeze(1).expand(-1, x.shape[1], -1)], -1)


def first_guess(residual: str, kinds: Sequence[str], cycles: int) -> Float[Tensor, " k"]:
    """The weights that a guess begins with: 1 for the kind that is named; a season shares it with the cycles.

    >>> first_guess("season", ("season", "last"), 1).tolist()
    [0.5, 0.0, 0.5]
    """
    share = 1 / (1 + cycles) if residual == "season" else 1.0
    return torch.tensor([share * (kind == residual) for kind in kinds] + [share * (residual == "season")] * cycles)


def candidates(
    past: Float[Tensor, "B L"], growth: Float[Tensor, "B 1"], horizon: int, season: int, cycles: Sequence[int] = ()
) -> Float[Tensor, "B H k"]:
    """What a step to come may be like: the newest value of its place in the season, the one a season earlier, the last
    value, the growth of a season for every season ahead, and the newest value of its place in each cycle.

    >>> past = torch.tensor([[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]])
    >>> candidates(past, torch.tensor([[4.0]]), horizon=4, season=3)[0].T.tolist()
    [[5.0, 6.0, 7.0, 5.0], [1.0, 2.0, 3.0, 1.0], [7.0, 7.0, 7.0, 7.0], [4.0, 4.0, 4.0, 8.0]]
    """
    length = past.shape[1]
    season = min(season, length)
    steps = torch.arange(horizon, device=past.device)
    newest = length + steps % season - season
    last = past[:, -1:].expand(-1, horizon)
    ahead = growth * (steps // season + 1).to(past.dtype)
    places = [length + steps % cycle - cycle for cycle in cycles]
    looked = [past[:, newest], past[:, back(newest, season, newest)], last, ahead, *(past[:, i] for i in places)]
    return torch.stack(looked, -1)


def back(at: Int64[Tensor, " T"], steps: int, otherwise: Int64[Tensor, " T"] | int = 0) -> Int64[Tensor, " T"]:
    """Places some steps before; `otherwise` where that is before the first."""
    return torch.where(at >= steps, at - steps, otherwise)


def masked_mean(values: Float[Tensor, "B n"], seen: Float[Tensor, "B n"]) -> Float[Tensor, "B 1"]:
    """The mean of what was seen; of all where nothing was."""
    weights = torch.where(seen.sum(1, keepdim=True) > 0, seen, 1.0)
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def wide(values: Tensor) -> Tensor:
    """Numbers of 16 bits as those of 32: distributions need them."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def scales(batch: Inputs, like: Tensor) -> Tensor:
    """What scaled values are multiplied with, for every one of (B, H)."""
    return batch.scale.unsqueeze(1).expand_as(like)
