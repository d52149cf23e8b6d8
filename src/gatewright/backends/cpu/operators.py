"""The operators of torch that run a kernel: one forward and one backward for all cells.

The program's text is an argument, so an exported program carries its equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from ...plan.program import Program
from ..vendor import in_transform
from .by_reference import are_many, shapes, widths

if TYPE_CHECKING:
    from .kernel import Kernel
    from .many import Many
    from .recompute import Recomputing

REALS = {torch.float32: "float", torch.float64: "double"}
Tensors = Sequence[Tensor]
Perhaps = Tensor | None


@lru_cache(maxsize=1024)
def _kernel(text: str, dtype: torch.dtype) -> Kernel | Recomputing:
    from .kernel import kernel_for  # llvmlite is imported where a kernel is needed
    from .recompute import Recomputing

    program = Program.parse(text)
    kernel = kernel_for(program, REALS[dtype])
    return kernel if program.recompute is None else Recomputing(kernel, program)


def _runner(text: str, like: Tensor, states: Tensors) -> Kernel | Recomputing | Many:
    """What runs a program: once, or where every tensor has one more axis in front, for so many networks."""
    kernel = _kernel(text, like.dtype)
    if not are_many(states):
        return kernel
    from .many import many_of

    return many_of(kernel)


def _forward(
    program: str, inputs: Tensors, weights: Tensors, states: Tensors,
    lengths: Perhaps, reset: Perhaps, seed: Perhaps, reverse: bool, train: bool,
) -> list[Tensor]:  # fmt: skip
    """The outputs, and behind them one flat tensor: what backward needs, empty where there is none to come."""
    found = direct_forward(program, inputs, weights, states, lengths, reset, seed, reverse, train)
    return found if train else [*found, inputs[0].new_empty(0)]


def _backward(
    program: str, saved: Tensor, inputs: Tensors, weights: Tensors, states: Tensors, outputs: Tensors,
    lengths: Perhaps, reset: Perhaps, seed: Perhaps, reverse: bool, grads: Sequence[Perhaps], needs: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    """The gradients that are needed, of inputs, weights and states."""
    groups = inputs, weights, states, outputs
    found = direct_backward(program, saved, *groups, lengths, reset, seed, reverse, grads, needs)
    return [g for g in found if g is not None]


def _all_dense(tensors: Tensors) -> list[Tensor]:
    return [t if t.is_contiguous() else _dense(t) for t in tensors]


def _dense(t: Tensor) -> Tensor:
    """The tensor with its units side by side."""
    return t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous()


def _aligned(saved: Tensor) -> Tensor:
    """At a multiple of 64 bytes, as the kernel wrote it: one sample's part of many may lie elsewhere."""
    return saved if saved.data_ptr() % 64 == 0 else saved.clone()


def _stored(weights: Tensors, states: Tensors) -> Tensors:
    """Weights as a kernel takes them: those of many networks may lie in one place."""
    return weights if are_many(states) else [w.contiguous() for w in weights]


def _seed(seed: Perhaps, states: Tensors) -> Any:
    """The seed as a number; those of many networks stay a tensor."""
    if are_many(states):
        return seed
    return 0 if seed is None else int(seed.item())


# -- the operators --------------------------------------------------------------------------------------------

_LEAVES = "Tensor[] inputs, Tensor[] weights, Tensor[] states"
_GIVEN = "Tensor? lengths, Tensor? reset, Tensor? seed, bool reverse"

cpu_forward = torch.library.custom_op(
    "gatewright::cpu_forward",
    _forward,
    mutates_args=(),
    device_types="cpu",
    schema=f"(str program, {_LEAVES}, {_GIVEN}, bool train) -> Tensor[]",
)
cpu_backward = torch.library.custom_op(
    "gatewright::cpu_backward",
    _backward,
    mutates_args=(),
    device_types="cpu",
    schema=f"(str program, Tensor saved, {_LEAVES}, Tensor[] outputs, {_GIVEN}, Tensor?[] grads, bool[] needs)"
    " -> Tensor[]",
)


@cpu_forward.register_fake
def _empty(program: str, inputs: Tensors, weights: Tensors, states: Tensors, *options) -> list[Tensor]:
    """Shapes alone: steps and sequences may be symbols, widths are numbers."""
    from .kernel import saved_size

    if are_many(states):
        each = _empty(program, *([t[0] for t in group] for group in (inputs, weights, states)), *options)
        return [t.new_empty(states[0].shape[0], *t.shape) for t in each]
    parsed, like, train = Program.parse(program), inputs[0], options[-1]
    steps, batch = like.shape[:2]
    output, *series = widths(parsed, inputs, weights, states)
    saved = saved_size(parsed, REALS[like.dtype], steps, batch, *shapes(inputs, weights, states)) if train else 0
    return [
        like.new_empty(steps, batch, output),
        *(s.new_empty(s.shape) for s in states),
        *(like.new_empty(steps, batch, width) for width in series),
        like.new_empty(saved),
    ]


@cpu_backward.register_fake
def _(*arguments) -> list[Tensor]:
    _, _, inputs, weights, states, *_, needs = arguments
    return [t.new_empty(t.shape) for t, n in zip((*inputs, *weights, *states), needs, strict=True) if n]


# -- past the operators ---------------------------------------------------------------------------------------


def forward(program: str, inputs: Tensors, weights: Tensors, states: Tensors, *options) -> list[Tensor]:
    """`cpu_forward`, or the kernel itself: an operator costs tens of microseconds."""
    call = _forward if _unwatched((*inputs, *weights, *states)) else cpu_forward
    return call(program, inputs, weights, states, *options)


def direct_forward(
    program: str, inputs: Tensors, weights: Tensors, states: Tensors,
    lengths: Perhaps, reset: Perhaps, seed: Perhaps, reverse: bool, train: bool,
) -> list[Tensor]:  # fmt: skip
    """The kernel itself: the outputs, and in training what backward needs behind them."""
    outputs, saved = _runner(program, inputs[0], states).forward(
        _all_dense(inputs), _stored(weights, states), _all_dense(states),
        lengths, reset, _seed(seed, states), reverse, train,
    )  # fmt: skip
    return outputs + saved


def backward(program: str, saved: Tensor, *options) -> list[Tensor]:
    """`cpu_backward`, or the kernel itself."""
    grads = [g for g in options[-2] if g is not None]
    call = _backward if _unwatched((saved, *grads)) else cpu_backward
    return call(program, saved, *options)


def direct_backward(
    program: str, saved: Tensor, inputs: Tensors, weights: Tensors, states: Tensors, outputs: Tensors,
    lengths: Perhaps, reset: Perhaps, seed: Perhaps, reverse: bool, grads: Sequence[Perhaps], needs: Sequence[bool],
) -> list[Perhaps]:  # fmt: skip
    """The kernel itself: a gradient for each input, weight and state; None where it is not needed."""
    return _runner(program, inputs[0], states).backward(
        [_aligned(saved)], _all_dense(inputs), _stored(weights, states), _all_dense(states), outputs,
        lengths, reset, _seed(seed, states), reverse, [None if g is None else _dense(g) for g in grads], needs,
    )  # fmt: skip


def is_direct(tensors: Tensors) -> bool:
    """Whether there is nothing to mind but autograd: `_unwatched`, no transform of torch.func, no forward mode."""
    return _unwatched(tensors) and not in_transform() and forward_ad._current_level < 0


def _unwatched(tensors: Tensors) -> bool:
    """Whether a kernel may be called at once: nobody traces or listens, and these are plain tensors."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    if torch._C._get_tracing_state() is not None:
        return False
    for t in tensors:  # noqa: SIM110 a generator takes three times as long
        if type(t) is not Tensor and type(t) is not Parameter:
            return False
    return True
