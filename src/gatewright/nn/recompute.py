"""`recompute=`: which states a layer keeps for backward."""

from __future__ import annotations

from . import arguments

Recompute = bool | int | None
"""None or False: all that backward needs is saved; True: the states at every √T-th step; k: those at every k-th."""


def check_recompute(recompute: Recompute) -> int | None:
    """What a program asks for: None where all is saved, 0 for about √T steps, or k; raises TypeError or ValueError."""
    if recompute is None or recompute is False:
        return None
    if recompute is True:
        return 0
    if not isinstance(recompute, int):
        raise TypeError(
            f"recompute: expected None (all is saved), True (the states at every √T-th step are kept) or a number of "
            f"steps, got {recompute!r}"
        )
    return arguments.check_size("recompute", recompute)
