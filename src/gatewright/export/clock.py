"""Lengths and resets of the sequences of one model, as masks; and what an input was k steps earlier.

Everything stays in the user's order of time, for the reverse direction too: that one begins in the padding, where
its states stay what they are until the last valid step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch

from .builder import END, Body

FAR = 1 << 40


class Clock:
    """Masks over time and sequences; each is written once, when it is first asked for.

    like: an input, (T, B, …), or (B, T, …) with `batch_first`. lengths: (B,), or None. reset: (T, B), or None.
    """

    def __init__(self, body: Body, like: str, lengths: str | None, reset: str | None, *, batch_first: bool = False):
        self.axes = (1, 0) if batch_first else (0, 1)
        self.body, self.like, self.lengths, self.given_reset = body, like, lengths, reset
        self._cuts: dict[bool, str] = {}

    @cached_property
    def steps(self) -> str:
        """T, as a vector of one."""
        return self.body.size(self.like, self.axes[0])

    @cached_property
    def batch(self) -> str:
        """B, as a vector of one."""
        return self.body.size(self.like, self.axes[1])

    @cached_property
    def numbers(self) -> str:
        """The number of every step, (T, 1)."""
        limit = self.body.node("Squeeze", self.steps, self.body.whole(0))
        steps = self.body.node("Range", self.body.one_whole(0), limit, self.body.one_whole(1))
        return self.body.node("Unsqueeze", steps, self.body.whole(1))

    @cached_property
    def _active(self) -> str | None:
        """(T, B): True where a step is inside its sequence."""
        return None if self.lengths is None else self.body.node("Less", self.numbers, self.lengths)

    @cached_property
    def active(self) -> str | None:
        """The same, (T, B, 1)."""
        return None if self._active is None else self._with_unit(self._active, "active")

    @cached_property
    def lengths32(self) -> str:
        """The lengths as the nodes LSTM, GRU and RNN take them."""
        assert self.lengths is not None
        return self.body.node("Cast", self.lengths, name="lengths32", to=torch.int32)

    @cached_property
    def empty(self) -> str:
        """(B, 1): True where a sequence has no step."""
        assert self.lengths is not None
        none = self.body.node("Equal", self.lengths, self.body.one_whole(0))
        return self.body.node("Unsqueeze", none, self.body.whole(1))

    # -- resets ----------------------------------------------------------------------------------------

    @cached_property
    def reset(self) -> str | None:
        """(T, B): True where a new episode starts; the padding says nothing."""
        if self.given_reset is None or self._active is None:
            return self.given_reset
        return self.body.node("And", self.given_reset, self._active)

    def cuts(self, reverse: bool) -> str | None:
        """(T, B, 1): True where the states begin anew on entering a step, in the direction of processing."""
        if self.reset is None:
            return None
        if reverse not in self._cuts:
            mask = self._ahead(self.reset, 1) if reverse else self.reset
            self._cuts[reverse] = self._with_unit(mask, "cuts")
        return self._cuts[reverse]

    # -- earlier inputs --------------------------------------------------------------------------------

    def earlier(self, x: str, width: int, k: int, past: str | None, depth: int, *, reverse: bool) -> str:
        """x (T, B, width) k steps earlier in the direction of processing; zero where there is none.

        past: (depth, B, width), the inputs before the first step, or None for zeros.
        """
        body = self.body
        if reverse:
            shifted = body.slice(body.joined([x, body.filled(0.0, k, self.batch, width)], 0), k, END)
            if self._active is not None:
                shifted = self._where(self._ahead(self._active, k), shifted)
        else:
            before = body.filled(0.0, k, self.batch, width) if past is None else body.slice(past, depth - k, END)
            shifted = body.slice(body.joined([before, x], 0), 0, -k)
        if self.reset is None:
            return shifted
        since = self._any_of(self._ahead if reverse else self._behind, range(1, k + 1) if reverse else range(k))
        return self._where(body.node("Not", since), shifted)

    def remembered(self, x: str, past: str, depth: int) -> str:
        """The last inputs of every sequence, (depth, B, width), for a call that goes on; zero before a reset."""
        body = self.body
        whole = body.joined([past, x], 0)
        first = self.lengths if self.lengths is not None else body.node("Expand", self.steps, self.batch)
        offsets = body.node("Unsqueeze", body.whole(*range(depth)), body.whole(1))
        index = body.node("Add", first, offsets)  # (depth, B)
        everywhere = body.node("Expand", self._with_unit(index, "index"), body.node("Shape", past))
        last = body.node("GatherElements", whole, everywhere, axis=0)
        if self.reset is None:
            return last
        starts = body.node("Where", self.reset, self.numbers, body.one_whole(-FAR))
        start = body.node("ReduceMax", starts, body.whole(0), keepdims=0)
        after = body.node("GreaterOrEqual", body.node("Sub", index, body.one_whole(depth)), start)
        return self._where(after, last)

    # -- small phrases -----------------------------------------------------------------------------------

    def _ahead(self, mask: str, k: int) -> str:
        """mask[t + k], False behind the end."""
        return self.body.slice(self._between(mask, k), 2 * k, END) if k else mask

    def _behind(self, mask: str, k: int) -> str:
        """mask[t − k], False before the start."""
        return self.body.slice(self._between(mask, k), 0, -2 * k) if k else mask

    def _between(self, mask: str, k: int) -> str:
        """mask (T, B) with k steps of False at both ends."""
        shape = self.body.node("Concat", self.body.whole(k), self.batch, axis=0)
        off = self.body.node("Expand", self.body.false(), shape)
        return self.body.joined([off, mask, off], 0)

    def _any_of(self, shift: Callable[[str, int], str], distances: range) -> str:
        assert self.reset is not None
        first, *others = (shift(self.reset, k) for k in distances)
        for other in others:
            first = self.body.node("Or", first, other)
        return first

    def _where(self, mask: str, x: str) -> str:
        return self.body.node("Where", self._with_unit(mask, "mask"), x, self.body.number(0.0))

    def _with_unit(self, mask: str, name: str) -> str:
        return self.body.node("Unsqueeze", mask, self.body.whole(2), name=name)
