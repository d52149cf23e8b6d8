"""Which backend runs a call, and why."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..backends import vendor
from . import arguments, mixed
from .call import weight_of

if TYPE_CHECKING:
    from .stack import Stack


class Choice(NamedTuple):
    """Which backend will run, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def by_preference(x: Tensor) -> tuple[str, ...]:
    """What `backend="auto"` tries before the reference, the fastest first."""
    return ("cpu", "vendor") if x.device.type == "cpu" else ("vendor",)


def choose(layer: Stack, x: Tensor, *, reset: bool, every: bool) -> Choice:
    """What runs on this input; raises where a backend was asked for that cannot."""
    asked = layer.backend
    if asked == "reference":
        return Choice("reference", "backend='reference' was asked for")
    refusals = []
    for name in by_preference(x) if asked == "auto" else (asked,):
        why_not = _cpu_refuses(layer) if name == "cpu" else _vendor_refuses(layer, x, reset, every)
        if why_not is None:
            return Choice(name, _why(layer, name))
        refusals.append(why_not)
    if asked != "auto":
        raise arguments.wrong("backend", f"a cell and a call that {_KNOWS[asked]}", refusals[0])
    return Choice("reference", "; ".join(refusals))


_KNOWS = {"cpu": "the CPU's kernels know", "vendor": "the vendor's kernel knows"}


def _why(layer: Stack, name: str) -> str:
    form = layer._layers[0].layout.form
    if name == "vendor" and form is not None:
        return f"the equations are torch's {vendor.NAMES[form.mode]}, and its kernel is fast"
    return f"kernels are compiled from the equations{mixed.told(weight_of(layer)) if name == 'cpu' else ''}"


# -- the CPU's kernels ---------------------------------------------------------------------------------------


def _cpu_refuses(layer: Stack) -> str | None:
    return kernels_refuse(weight_of(layer), tell=layer.backend == "auto")


def kernels_refuse(weight: Tensor, *, tell: bool = False) -> str | None:
    """Why the CPU's kernels cannot run with weights like this one, or None where they can."""
    if weight.device.type != "cpu":
        return f"the CPU's kernels cannot run on {weight.device.type}"
    if weight.dtype not in (torch.float32, torch.float64):
        return f"the CPU's kernels know float32 and float64, not {str(weight.dtype).removeprefix('torch.')}"
    return broken(tell)


def broken(tell: bool) -> str | None:
    """Why no kernel can run in this process; None where one can. With `tell` a warning says so, once a process."""
    why = _broken()
    if why and tell:
        _tell(why)
    return why


# What torch.compiler.assume_constant_result does, which would load all of Dynamo: torch.compile takes the answer as it
# is, and does not look into LLVM.
broken._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]


@cache
def _broken() -> str | None:
    from ..backends.cpu import engine  # llvmlite is imported where the first layer runs

    return engine.usable()


@cache
def _tell(why: str) -> None:
    warnings.warn(
        f"gatewright: no CPU kernels in this process, so layers run by torch's own or, much slower, by the reference: "
        f"{why}; backend='reference' or 'vendor' asks for that without this warning",
        RuntimeWarning,
        stacklevel=2,
    )


# -- the vendor's kernel -------------------------------------------------------------------------------------


def _vendor_refuses(layer: Stack, x: Tensor, reset: bool, every: bool) -> str | None:
    if layer._layers[0].layout.form is None:
        return f"the equations of {layer.cell.name} are none of torch's LSTM, GRU and RNN"
    if layer._projects_in_place:
        return "torch's kernel takes a projection to as many units for none"
    if refusal := layer.regularisers.refusals[layer.training]:
        return refusal
    if any(lens.changes for lens in layer.lenses):
        return "gw.clamp has changed the equations; backend='cpu' or 'reference' runs changed equations"
    if layer.dropout_kind == "locked" and layer.dropout and layer.training and layer.num_layers > 1:
        return "torch's kernels know no locked dropout"
    if layer.merge != "concat" and layer.bidirectional and layer.num_layers > 1:
        return "torch's kernels hand both directions side by side to the next layer"
    if reset:
        return "torch's kernels know no resets"
    if every:
        return "torch's kernels do not give every state"
    if layer.kept_every is not None:
        return "torch's kernels save all that backward needs"
    if x.numel() == 0:
        return "torch's kernels refuse an empty input"
    return vendor.refuses(x)
