"""How much of what the processor can do our LSTM does: its products against a loop of multiply-adds in registers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from functools import cache, partial

import torch

import gatewright as gw
from gatewright.backends.cpu import engine
from gatewright.backends.cpu.emitter import I64, PTR, Module
from gatewright.backends.cpu.target import Target, host
from gatewright.backends.cpu.threads import add_entry, symbols

from .shapes import INFERENCE, SHAPES, TRAINING, Shape, everywhere, module_side, sequences
from .timing import Line, Race, Side

ROUNDS = 2_000_000
"""Of the loop: some 10 ms, so that the processor's clock settles where long products have it."""


def peak(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """Flops are those of the matrix products alone: 2·T·B·4H·(I + H) forward, three times that with backward."""
    for shape, mode in everywhere(shapes):
        passes = 1 if mode == INFERENCE else 3
        flops = passes * 2 * shape["T"] * shape["B"] * 4 * shape["H"] * (shape["I"] + shape["H"])
        share = flops / (2 * ROUNDS * sums_of(host()) * host().lanes("float") * torch.get_num_threads())
        line = Line(
            "LSTM's products / FMA peak", "peak", "ours", scale=100 * share, unit="%", least=_least(shape, mode)
        )
        yield Race("peak", shape, mode, partial(_sides, shape, mode), (line,))


def _least(shape: Shape, mode: str) -> float | None:
    """Where the products are large enough to be what counts; and where they are not, but should count all the same."""
    if shape["B"] >= 32 and shape["H"] >= 256:
        return {INFERENCE: 85, TRAINING: 80}[mode]
    return 50 if (shape["B"], shape["I"], shape["H"]) == (32, 16, 32) else None


def _sides(shape: Shape, mode: str) -> dict[str, Side]:
    layer, x = gw.LSTM(shape["I"], shape["H"], backend="cpu"), sequences(shape)
    return {"peak": MultiplyAdds(), "ours": module_side(mode, layer, x)}


# -- the loop --------------------------------------------------------------------------------------


def sums_of(target: Target) -> int:
    """How many sums are in registers at once: as many as in the widest tile of a product, so none waits."""
    return len(target.tile_rows) * target.tile_rows[-1]


class MultiplyAdds:
    """`ROUNDS` times sum = sum·a + b for all sums, in every one of torch's threads."""

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()
        lanes, count = host().lanes("float"), sums_of(host())
        # a, b, where the sums begin and where each thread leaves their total; the sums stay near 1
        self.data = torch.full(((2 + count + self.threads) * lanes,), 1.0)
        self.data[:lanes], self.data[lanes : 2 * lanes] = 0.5, 0.5
        self.words = (ctypes.c_int64 * 2)(ROUNDS, self.data.data_ptr())

    def __call__(self) -> None:
        _function()(ctypes.addressof(self.words), self.threads)


@cache
def _function():
    code = engine.compile_object(_module(host()))
    return engine.load([code], ["peak"], symbols()).function("peak", ctypes.c_void_p, ctypes.c_int32)


def _module(target: Target) -> Module:
    module = Module("peak", "float", target)
    e = module.function("peak_worker", {"context": PTR, "thread": I64, "threads": I64})
    lanes, count = e.lanes, sums_of(target)
    rounds, data = e.load_as(I64, e.args["context"]), e.load_as(PTR, e.args["context"], 1)
    a, b = e.load(data), e.load(data, lanes)
    start = [e.load(data, (2 + k) * lanes) for k in range(count)]
    total, *others = e.loop(0, rounds, lambda _, *sums: [e.fma(s, a, b) for s in sums], carry=start)
    for each in others:
        total = e.b.fadd(total, each)
    e.store(total, data, e.mul(e.add(e.args["thread"], 2 + count), lanes))
    add_entry(module, "peak", e.done())
    return module
