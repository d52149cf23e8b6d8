"""Many networks in one call: a kernel where every tensor has one more axis in front, the networks'."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from .debug import debugging
from .kernel import PREPARED, SMALL, Kernel
from .many_calls import ManyBackward, ManyForward
from .tables import ANY, FALLING, WHOLE, kind_of_rows
from .threads import thread_count

Tensors = Sequence[Tensor]
AnyCall = TypeVar("AnyCall", ManyForward, ManyBackward)


class Many:
    """Called as `Kernel` is, with the networks' axis in front of every tensor; the results have it too.

    The axis may stand still (a stride of 0): then all networks read the same. `seeds` are one for each network.
    """

    def __init__(self, kernel: Any):
        self.kernel = kernel  # a `Kernel`, or what is called as one
        self._forward: dict[tuple, ManyForward] = {}
        self._backward: dict[tuple, ManyBackward] = {}
        self._lock = threading.Lock()

    def forward(
        self,
        inputs: Tensors,
        weights: Tensors,
        states: Tensors,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        seeds: Tensor | None = None,
        reverse: bool = False,
        train: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """([output, final states, every state, records], what backward needs)."""
        given = _Given(inputs, weights, states, lengths, reset, seeds).dense()
        if self._in_turn(given):
            each = [self.kernel.forward(*given.of(i), reverse, train) for i in range(given.networks)]
            outputs = [torch.stack(parts) for parts in zip(*(found for found, _ in each), strict=True)]
            return outputs, [torch.stack([saved for _, (saved,) in each])] if train else []
        key = (train, reverse, *given.key())
        call = self._forward.get(key)
        if call is None:
            call = self._keep(self._forward, key, ManyForward(self.kernel, key, given.networks, *given[:3]))
        return call.run_all(*given)

    def backward(
        self,
        saved: Tensors,
        inputs: Tensors,
        weights: Tensors,
        states: Tensors,
        outputs: Tensors,
        lengths: Tensor | None,
        reset: Tensor | None,
        seeds: Tensor | None,
        reverse: bool,
        grads: Sequence[Tensor | None],
        needs: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of inputs, weights and states, each network's own; None where none was asked for."""
        given, kept = _Given(inputs, weights, states, lengths, reset, seeds).dense(), saved[0]
        if self._in_turn(given):
            each = []
            for i in range(given.networks):
                *leaves, of_lengths, of_reset, seed = given.of(i)
                ends, along = [y[i] for y in outputs], [None if g is None else g[i] for g in grads]
                given_here = (ends, of_lengths, of_reset, seed, reverse, along, needs)
                each.append(self.kernel.backward([_aligned(kept[i])], *leaves, *given_here))
            return [torch.stack(parts) if parts[0] is not None else None for parts in zip(*each, strict=True)]
        outputs = _dense(outputs)
        key = (True, reverse, *given.key(), kept.stride(0), outputs[0].stride(0), tuple(needs[: len(inputs)]))
        call = self._backward.get(key)
        if call is None:
            made = ManyBackward(self.kernel, key, given.networks, *given[:3])
            call = self._keep(self._backward, key, made)
        leaves, (of_lengths, of_reset, of_seeds) = given[:3], given[3:]
        given_here = (outputs, of_lengths, of_reset, of_seeds, grads, needs)
        return call.run_all(kept, *leaves, *given_here)

    def _in_turn(self, given: _Given) -> bool:
        """Whether each network is called by itself: few large ones would leave threads idle; debug builds know the
        buffers of one call alone; and what is no plain kernel has its own way through a sequence."""
        few = 2 * given.networks <= thread_count()
        return not isinstance(self.kernel, Kernel) or debugging() or (few and given.work >= SMALL)

    def _keep(self, calls: dict[tuple, AnyCall], key: tuple, call: AnyCall) -> AnyCall:
        with self._lock:
            while len(calls) >= PREPARED:
                del calls[next(iter(calls))]
            calls[key] = call
        return call


@lru_cache(maxsize=256)
def many_of(kernel: Any) -> Many:
    """A kernel for many networks; made once."""
    return Many(kernel)


class _Given(NamedTuple):
    """What the networks are called with."""

    inputs: Tensors
    weights: Tensors
    states: Tensors
    lengths: Tensor | None
    reset: Tensor | None
    seeds: Tensor | None

    @property
    def networks(self) -> int:
        return len(self.states[0])

    @property
    def work(self) -> int:
        """The multiplications of one network's forward pass, about."""
        T, B = self.inputs[0].shape[1:3]
        return T * B * sum(w[0].numel() for w in self.weights)

    def of(self, i: int) -> tuple:
        """One network's own."""
        groups = [[t[i] for t in group] for group in self[:3]]
        lengths, reset, seeds = (None if t is None else t[i] for t in self[3:])
        return *groups, lengths, reset, 0 if seeds is None else int(seeds.item())

    def dense(self) -> _Given:
        """Each network's weights and states contiguous; the networks themselves may lie anywhere."""
        return self._replace(weights=_dense(self.weights), states=_dense(self.states))

    def key(self) -> tuple:
        """All that one kind of call has in common."""
        rows = _rows(self.lengths, self.inputs[0].shape[1])
        shares = min(self.networks, thread_count()) if self.work * self.networks >= SMALL else 1
        return rows, 1, None, shares, *((t.shape, t.stride()) for group in self[:3] for t in group)


def _dense(tensors: Tensors) -> list[Tensor]:
    return [t if t[0].is_contiguous() else t.contiguous() for t in tensors]


def _aligned(saved: Tensor) -> Tensor:
    """At a multiple of 64 bytes, as the kernel wrote it."""
    return saved if saved.data_ptr() % 64 == 0 else saved.clone()


def _rows(lengths: Tensor | None, T: int) -> str:
    """How the lengths of all networks' sequences go on."""
    if lengths is None:
        return WHOLE
    kinds = {kind_of_rows(own, T) for own in (lengths if lengths.stride(0) else lengths[:1])}
    return ANY if ANY in kinds else FALLING if FALLING in kinds else WHOLE
