"""Calls of native code that are made again and again, with words that grow by the same from each time to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .frames import Job
from .piece_kernels import Held


class Repeated:
    """The calls of one step, which have just been made; each has words of its own.

    They are made once more before `run`: how far their words have grown by then is how far they grow each time.
    """

    def __init__(self, calls: Sequence[Job | Held]):
        self.calls = list(calls)
        self.words = [np.frombuffer(c.words, dtype=np.int64) for c in self.calls]
        self.before = [words.copy() for words in self.words]

    def run(self, count: int) -> None:
        """Make them so many times."""
        entries = [
            (words, words - before, call.function, call.address, call.threads)
            for words, before, call in zip(self.words, self.before, self.calls, strict=True)
        ]
        for _ in range(count):
            for words, growth, function, address, threads in entries:
                words += growth
                function(address, threads)
        for call in self.calls:
            if isinstance(call, Held):
                call.repeated(count)
