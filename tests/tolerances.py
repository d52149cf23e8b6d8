"""The one table of tolerances: the largest difference over the largest value, by dtype and backend."""

import torch

TOLERANCE = {
    (torch.float64, "reference"): 1e-10,
    (torch.float32, "reference"): 1e-5,
    (torch.float64, "vendor"): 1e-10,
    (torch.float32, "vendor"): 1e-5,
    (torch.float64, "cpu"): 1e-10,
    (torch.float32, "cpu"): 2e-5,
}


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float, what: str = "") -> None:
    """Raise where two tensors differ by more than `tolerance` of the largest expected value."""
    assert found.shape == expected.shape, f"{what}: shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    worst = difference(found, expected)
    assert worst <= tolerance, f"{what}: differs by {worst:.2e} of the largest value, allowed {tolerance:.0e}"


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference over the largest expected value.

    Where all values are tiny, the floor is a rounding or two of a value of 1: 1e-13 in float64, 1e-7 in float32.
    """
    if not expected.numel():
        return 0.0
    scale = expected.abs().max().clamp(min=1e-3 if expected.dtype == torch.float64 else 1e-2)
    return float(((found - expected).abs().max() / scale).detach())
