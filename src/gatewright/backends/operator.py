"""The reference as one operator of torch, made of others: what `torch.compile` takes into its program.

Dynamo cannot follow how equations are read and run. An operator it takes as it is, and what compiles the program finds
the operations inside, step by step, with their derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..plan.program import Program
from .cpu.by_reference import by_reference

_LIBRARY = torch.library.Library("gatewright", "FRAGMENT")
_LIBRARY.define(
    "reference(str program, Tensor[] inputs, Tensor[] weights, Tensor[] states, "
    "Tensor? lengths, Tensor? reset, Tensor? seed, bool reverse) -> Tensor[]"
)


def _run(
    program: str,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    seed: Tensor | None,
    reverse: bool,
) -> list[Tensor]:
    return by_reference(Program.parse(program), inputs, weights, states, (lengths, reset, seed), reverse)


_LIBRARY.impl("reference", _run, "CompositeImplicitAutograd")

reference = torch.ops.gatewright.reference.default
