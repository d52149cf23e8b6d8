"""Heads: losses and quantiles are those of scipy's distributions; quantiles never cross."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn.functional import softplus

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.forecast.heads import HEADS, Quantiles, between, make_head

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
RAW = torch.randn(40, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BASE = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.randn(40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
SCALE = torch.full((40, 3), 7.0, dtype=torch.float64)


def raw(name: str) -> torch.Tensor:
    return RAW[..., : make_head(name, LEVELS).size]


def positive(x: torch.Tensor) -> np.ndarray:
    return (softplus(x) + 1e-4).numpy()


def test_normal_is_scipys() -> None:
    head, x = make_head("normal", LEVELS), raw("normal")
    theirs = stats.norm((BASE + x[..., 0]).numpy(), positive(x[..., 1]))
    np.testing.assert_allclose(head.loss(x, BASE, TARGET, SCALE), -theirs.logpdf(TARGET.numpy()))
    for k, level in enumerate(LEVELS):
        np.testing.assert_allclose(head.quantiles(x, BASE, SCALE, LEVELS)[..., k], theirs.ppf(level), rtol=1e-6)
    np.testing.assert_allclose(head.point(x, BASE), theirs.mean())


def test_student_t_is_scipys() -> None:
    head, x = make_head("student_t", LEVELS), raw("student_t")
    theirs = stats.t(2 + positive(x[..., 2]), (BASE + x[..., 0]).numpy(), positive(x[..., 1]))
    np.testing.assert_allclose(head.loss(x, BASE, TARGET, SCALE), -theirs.logpdf(TARGET.numpy()))
    for k, level in enumerate(LEVELS):
        np.testing.assert_allclose(head.quantiles(x, BASE, SCALE, LEVELS)[..., k], theirs.ppf(level), rtol=1e-6)


def test_negative_binomial_is_scipys_with_the_variance_of_the_paper() -> None:
    head, x, base = make_head("negative_binomial", LEVELS), raw("negative_binomial"), BASE.abs() + 0.1
    counts = torch.randint(0, 40, BASE.shape, generator=torch.Generator().manual_seed(3)).double()
    mean, alpha = (head.point(x, base) * SCALE).numpy(), positive(x[..., 1]) / SCALE.sqrt().numpy()
    theirs = stats.nbinom(1 / alpha, 1 / (1 + alpha * mean))
    np.testing.assert_allclose(theirs.var(), mean + alpha * mean**2)
    np.testing.assert_allclose(head.loss(x, base, counts / SCALE, SCALE), -theirs.logpmf(counts.numpy()))
    found = head.quantiles(x, base, SCALE, LEVELS) * SCALE.unsqueeze(-1)
    for k, level in enumerate(LEVELS):
        np.testing.assert_allclose(found[..., k], theirs.ppf(level))


def test_the_first_guess_of_counts_is_their_mean() -> None:
    base = torch.tensor([0.05, 0.5, 3.0, 30.0], dtype=torch.float64)
    found = make_head("negative_binomial", LEVELS).point(torch.zeros(4, 2, dtype=torch.float64), base)
    np.testing.assert_allclose(found, base + 1e-4, rtol=1e-9)


@pytest.mark.parametrize("name", ["normal", "student_t", "negative_binomial"])
def test_draws_have_the_heads_quantiles(name: str) -> None:
    head = make_head(name, LEVELS)
    x = torch.tensor([0.3, -0.2, 1.5], dtype=torch.float64)[: head.size].expand(40_000, -1)
    base, scale = torch.full((40_000,), 2.0, dtype=torch.float64), torch.full((40_000,), 9.0, dtype=torch.float64)
    torch.manual_seed(0)
    drawn = head.sample(x, base, scale)
    for level in (0.1, 0.5, 0.9):
        at = head.quantiles(x[:1], base[:1], scale[:1], (level,))[0, 0]
        below, upto = (drawn < at - 1e-6).double().mean(), (drawn <= at + 1e-6).double().mean()
        assert below - 0.02 <= level <= upto + 0.02  # counts have steps


def test_quantiles_have_twice_the_pinball_loss() -> None:
    head = Quantiles((0.1, 0.5, 0.9))
    x = torch.tensor([0.0, 1.0, 3.0])
    found = head.loss(x, torch.tensor(0.0), torch.tensor(2.0), torch.tensor(1.0))
    assert found.item() == pytest.approx(2 * (0.1 * 2 + 0.5 * 1 + 0.1 * 1) / 3)
    median = Quantiles((0.5,)).loss(torch.tensor([1.0]), torch.tensor(0.0), torch.tensor(3.0), torch.tensor(1.0))
    assert median.item() == pytest.approx(2.0)  # |y − ŷ|


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.lists(st.floats(0.1, 0.9), min_size=2, max_size=6))
def test_quantiles_never_cross(numbers: list[float], levels: list[float]) -> None:
    found = Quantiles(LEVELS).quantiles(torch.tensor([numbers]), torch.zeros(1), torch.ones(1), sorted(levels))
    assert (found.diff(dim=-1) >= -1e-6).all()


def test_between_is_numpys_interpolation() -> None:
    values = torch.tensor([[1.0, 2.0, 5.0, 5.0, 9.0]], dtype=torch.float64)
    levels = [0.1, 0.2, 0.5, 0.6, 0.9]
    np.testing.assert_allclose(between(values, LEVELS, levels)[0], np.interp(levels, LEVELS, values[0].numpy()))
    assert between(torch.tensor([[4.0]]), (0.5,), (0.5,)).tolist() == [[4.0]]


def test_points_are_what_their_losses_say() -> None:
    for name, expected in {"mse": 4.0, "mae": 2.0, "huber": 1.5}.items():
        loss = make_head(name, LEVELS).loss(
            torch.tensor([1.0]), torch.tensor(1.0), torch.tensor(4.0), torch.tensor(1.0)
        )
        assert loss.item() == expected


def test_what_a_head_does_not_have_is_said() -> None:
    with pytest.raises(SettingsError, match=r"head 'mae' gives one number a step and no quantiles.*--head quantiles"):
        make_head("mae", LEVELS).check_levels((0.5,))
    with pytest.raises(SettingsError, match=r"quantile 0\.95: this model was trained for quantiles from 0\.1 to 0\.9"):
        make_head("quantiles", LEVELS).check_levels((0.5, 0.95))
    for name in HEADS:
        make_head(name, LEVELS).check_levels(())
    make_head("normal", LEVELS).check_levels((0.001, 0.999))
