"""What a forecasting network says of each value to come: one number, quantiles, or a distribution.

A head reads P numbers a step, `raw` (…, P), and a first guess, `base` (…), in scaled units: the network's output is
added to that. `scale` (…) is what a scaled value is multiplied with to be in the target's own units, which counts need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.tasks.errors import MissingExtra, SettingsError

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["HEADS", "Head", "make_head"]

SMALLEST = 1e-4  # of a spread, in scaled units: a constant series has an infinite density otherwise
SMALLEST_DF = 2.0  # a Student-t below has no variance


class Head(ABC):
    """How raw numbers become a forecast."""

    size: int  # P
    spread: ClassVar[bool] = True  # whether it has quantiles
    sampled: ClassVar[bool] = False  # whether paths can be drawn from it
    centre: ClassVar[str] = "mean"  # what its point forecast is

    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def loss(
        self, raw: Float[Tensor, "*n P"], base: Float[Tensor, "*n"], target: Float[Tensor, "*n"], scale: Tensor
    ) -> Float[Tensor, "*n"]:
        """The loss of each value; `target` is in scaled units."""

    @abstractmethod
    def point(self, raw: Float[Tensor, "*n P"], base: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The point forecast, in scaled units."""

    def begin(self) -> Float[Tensor, " P"]:
        """Raw numbers that a network may begin with."""
        return torch.zeros(self.size)

    def check_levels(self, levels: Sequence[float]) -> None:
        """Raise `SettingsError` where there are no quantiles at these levels."""
        if levels and not self.spread:
            raise SettingsError(
                f"head {self.name!r} gives one number a step and no quantiles; leave quantiles out, or train with "
                "--head quantiles, normal, student_t or negative_binomial"
            )

    def quantiles(
        self, raw: Float[Tensor, "*n P"], base: Float[Tensor, "*n"], scale: Tensor, levels: Sequence[float]
    ) -> Float[Tensor, "*n Q"]:
        """The quantiles at some levels, in scaled units."""
        raise NotImplementedError

    def sample(self, raw: Float[Tensor, "*n P"], base: Float[Tensor, "*n"], scale: Tensor) -> Float[Tensor, "*n"]:
        """One draw for each value, in scaled units, by torch's generator; where `sampled`."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Its name as a setting."""
        return next(name for name, kind in HEADS.items() if kind is type(self))


# -- one number --------------------------------------------------------------------------------------------------


class Squared(Head):
    """(y − ŷ)²; the forecast is the mean."""

    spread = False

    def __init__(self) -> None:
        super().__init__(1)

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return (target - self.point(raw, base)).square()

    def point(self, raw: Tensor, base: Tensor) -> Tensor:
        return raw[..., 0] + base


class Absolute(Squared):
    """|y − ŷ|; the forecast is the median."""

    centre = "median"

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return (target - self.point(raw, base)).abs()


class Huber(Squared):
    """Squared near 0, absolute beyond 1 scaled unit (P. J. Huber 1964)."""

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return F.huber_loss(self.point(raw, base), target, reduction="none")


# -- quantiles ---------------------------------------------------------------------------------------------------


class Quantiles(Head):
    """Quantiles at fixed levels, by twice the pinball loss (R. Koenker and G. Bassett 1978); of the median that is
    |y − ŷ|. They are sorted, so that they never cross.

    levels: rising, between 0 and 1, with 0.5 among them.
    """

    centre = "median"

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__(len(levels))
        self.levels = tuple(levels)

    def values(self, raw: Tensor, base: Tensor) -> Tensor:
        """All quantiles (…, Q), rising."""
        return (raw + base.unsqueeze(-1)).sort(-1).values

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        level = torch.tensor(self.levels, dtype=raw.dtype, device=raw.device)
        error = target.unsqueeze(-1) - self.values(raw, base)
        return 2 * torch.maximum(level * error, (level - 1) * error).mean(-1)

    def point(self, raw: Tensor, base: Tensor) -> Tensor:
        return self.values(raw, base)[..., self.levels.index(0.5)]

    def begin(self) -> Tensor:
        """They begin apart, as their order says."""
        return torch.tensor(self.levels) - 0.5

    def check_levels(self, levels: Sequence[float]) -> None:
        low, high = self.levels[0], self.levels[-1]
        for level in levels:
            if not low <= level <= high:
                raise SettingsError(
                    f"quantile {level:g}: this model was trained for quantiles from {low:g} to {high:g} and does not "
                    f"know what lies beyond; train with --quantiles that have {level:g} among them, or with a "
                    "distribution: --head student_t"
                )

    def quantiles(self, raw: Tensor, base: Tensor, scale: Tensor, levels: Sequence[float]) -> Tensor:  # noqa: ARG002
        """Between the levels of training by straight lines."""
        self.check_levels(levels)
        return between(self.values(raw, base), self.levels, levels)


def between(values: Float[Tensor, "*n K"], known: Sequence[float], levels: Sequence[float]) -> Float[Tensor, "*n Q"]:
    """Values at other levels, on straight lines between those of known levels."""
    at = torch.tensor(known, dtype=values.dtype, device=values.device)
    wanted = torch.tensor(list(levels), dtype=values.dtype, device=values.device)
    right = torch.searchsorted(at, wanted).clamp(1, max(len(known) - 1, 1)).clamp(max=len(known) - 1)
    left = (right - 1).clamp(min=0)
    width = (at[right] - at[left]).clamp(min=torch.finfo(values.dtype).tiny)
    share = ((wanted - at[left]) / width).clamp(0, 1)
    return torch.lerp(values[..., left], values[..., right], share)


# -- distributions -----------------------------------------------------------------------------------------------


class Normal(Head):
    """N(μ, σ²), by its negative log-likelihood in scaled units."""

    sampled = True

    def __init__(self) -> None:
        super().__init__(2)

    def distribution(self, raw: Tensor, base: Tensor) -> torch.distributions.Normal:
        """The distribution of the scaled values."""
        return torch.distributions.Normal(base + raw[..., 0], _positive(raw[..., 1]), validate_args=False)

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return -self.distribution(raw, base).log_prob(target)

    def point(self, raw: Tensor, base: Tensor) -> Tensor:
        return base + raw[..., 0]

    def quantiles(self, raw: Tensor, base: Tensor, scale: Tensor, levels: Sequence[float]) -> Tensor:  # noqa: ARG002
        found = self.distribution(raw, base)
        return torch.stack([found.icdf(torch.as_tensor(level, dtype=raw.dtype)) for level in levels], -1)

    def sample(self, raw: Tensor, base: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return self.distribution(raw, base).sample()


class StudentT(Head):
    """Student's t with ν > 2 degrees of freedom: heavier tails than the normal's."""

    sampled = True

    def __init__(self) -> None:
        super().__init__(3)

    def distribution(self, raw: Tensor, base: Tensor) -> torch.distributions.StudentT:
        """The distribution of the scaled values."""
        df = SMALLEST_DF + _positive(raw[..., 2])
        return torch.distributions.StudentT(df, base + raw[..., 0], _positive(raw[..., 1]), validate_args=False)

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return -self.distribution(raw, base).log_prob(target)

    def point(self, raw: Tensor, base: Tensor) -> Tensor:
        return base + raw[..., 0]

    def quantiles(self, raw: Tensor, base: Tensor, scale: Tensor, levels: Sequence[float]) -> Tensor:  # noqa: ARG002
        try:
            from scipy.special import stdtrit
        except ImportError as error:
            raise MissingExtra("scipy", "forecast", "quantiles of Student's t") from error
        found = self.distribution(raw, base)
        df = found.df.cpu().double().numpy()
        at = [torch.from_numpy(stdtrit(df, level)).to(raw) for level in levels]
        return torch.stack([found.loc + found.scale * t for t in at], -1)

    def sample(self, raw: Tensor, base: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        return self.distribution(raw, base).sample()


class NegativeBinomial(Head):
    """Counts with mean μ and variance μ + α μ² (D. Salinas et al. 2020, DeepAR: μ grows with the series' scale, α falls
    with its square root), by their negative log-likelihood in the target's own units.
    """

    sampled = True

    def __init__(self) -> None:
        super().__init__(2)

    def point(self, raw: Tensor, base: Tensor) -> Tensor:
        return F.softplus(raw[..., 0] + _before_softplus(base)) + SMALLEST

    def _alpha(self, raw: Tensor, scale: Tensor) -> Tensor:
        return _positive(raw[..., 1]) / scale.sqrt()

    def loss(self, raw: Tensor, base: Tensor, target: Tensor, scale: Tensor) -> Tensor:
        count, mean, alpha = (target * scale).round(), self.point(raw, base) * scale, self._alpha(raw, scale)
        r = 1 / alpha
        coefficient = torch.lgamma(count + r) - torch.lgamma(count + 1) - torch.lgamma(r)
        return -(coefficient - r * torch.log1p(alpha * mean) + count * (alpha * mean / (1 + alpha * mean)).log())

    def quantiles(self, raw: Tensor, base: Tensor, scale: Tensor, levels: Sequence[float]) -> Tensor:
        try:
            from scipy.stats import nbinom
        except ImportError as error:
            raise MissingExtra("scipy", "forecast", "quantiles of counts") from error
        mean, alpha = self.point(raw, base) * scale, self._alpha(raw, scale)
        r, p = (1 / alpha).cpu().double().numpy(), (1 / (1 + alpha * mean)).cpu().double().numpy()
        return torch.stack([torch.from_numpy(nbinom.ppf(level, r, p)).to(raw) / scale for level in levels], -1)

    def sample(self, raw: Tensor, base: Tensor, scale: Tensor) -> Tensor:
        mean, alpha = self.point(raw, base) * scale, self._alpha(raw, scale)
        rate = torch.distributions.Gamma(1 / alpha, 1 / (alpha * mean), validate_args=False).sample()
        return torch.poisson(rate) / scale


HEADS: dict[str, type[Head]] = {
    "mse": Squared,
    "mae": Absolute,
    "huber": Huber,
    "quantiles": Quantiles,
    "normal": Normal,
    "student_t": StudentT,
    "negative_binomial": NegativeBinomial,
}


def make_head(name: str, levels: Sequence[float]) -> Head:
    """The head of a name; `levels` are those of `quantiles`.

    >>> head = make_head("quantiles", (0.1, 0.5, 0.9))
    >>> head.values(torch.tensor([3.0, 1.0, 2.0]), torch.tensor(10.0)).tolist()  # never crossing
    [11.0, 12.0, 13.0]
    """
    kind = HEADS[name]
    return Quantiles(levels) if kind is Quantiles else kind()  # pyright: ignore[reportCallIssue]


def _positive(raw: Tensor) -> Tensor:
    """softplus, 1 at 0 up to its shift: what a spread begins with."""
    return F.softplus(raw) + SMALLEST


def _before_softplus(value: Tensor) -> Tensor:
    """The inverse of softplus, of what is positive; a first guess of no count is a small one."""
    value = value.clamp(min=0.01)
    return torch.where(value > 20, value, value.clamp(max=20).expm1().log())
