"""Random choices by counter: the same seed, stream, step, sequence and unit give the same choice on every backend.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a counter of
four 32-bit words and a key of two into four random words. Here the counter is (unit, sequence, t // 8, stream) and the
key the seed's lower and upper half. The words hold the 16-bit numbers of eight steps: word (t % 8) // 2 that of t,
in its lower half where t is even and in its upper half where t is odd. A choice of chance p is true where the number
is below `threshold(p)`.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)  # of the key, from round to round
ROUNDS = 10
STEPS = 8  # that share a counter


def threshold(p: float) -> int:
    """How many of the 65536 numbers mean yes."""
    return round(p * 65536)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Four random words for each counter; all are 32-bit words in tensors of int64 that broadcast."""
    a, b, c, d = counter
    for r in range(ROUNDS):
        low, high = ((word + r * step) & WORD for word, step in zip(key, INCREMENTS, strict=True))
        (upper, lower), (above, below) = _product(a, MULTIPLIERS[0]), _product(c, MULTIPLIERS[1])
        a, b, c, d = above ^ b ^ low, below, upper ^ d ^ high, lower
    return a, b, c, d


def _product(word: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """The upper and the lower word of a product, by halves: what overflows is undefined once it has been compiled."""
    first, second = word * (by & 0xFFFF), word * (by >> 16)
    return (second + (first >> 16)) >> 16, (first + ((second & 0xFFFF) << 16)) & WORD


def chance(
    p: float,
    *,
    seed: Int[Tensor, ""],
    stream: int,
    t: int | range | Int[Tensor, "*steps"],
    sequences: int | Int[Tensor, " B"],
    units: int,
) -> Bool[Tensor, "... B units"]:
    """True with chance p, for every sequence and unit, on the seed's device.

    Args:
        p: the chance, in steps of 1/65536.
        seed: 64 bits, as an int64.
        stream: which mask; 32 bits.
        t: a step gives (B, units), a range of steps (T, B, units), a tensor of steps its shape and (B, units).
        sequences: the number of each sequence, or how many there are.
        units: how many.
    """
    numbers = _numbers(seed, stream, t, sequences, units)
    return numbers < threshold(p)


def weight_chance(
    p: float, *, seed: Int[Tensor, ""], stream: int, rows: int, columns: int
) -> Bool[Tensor, "rows columns"]:
    """True with chance p, for every element of a matrix: a column is a unit, row r is step r % 8 of sequence r // 8.

    So every number of a counter is used.
    """
    found = chance(p, seed=seed, stream=stream, t=range(STEPS), sequences=-(-rows // STEPS), units=columns)
    return found.transpose(0, 1).flatten(0, 1)[:rows]


def _numbers(
    seed: Tensor, stream: int, t: int | range | Tensor, sequences: int | Tensor, units: int
) -> Int[Tensor, "... B units"]:
    """The 16-bit numbers."""
    if isinstance(t, range):
        return _range_of_numbers(seed, stream, t, sequences, units)
    step = torch.as_tensor(t, device=seed.device)[..., None, None]
    words = torch.broadcast_tensors(*_words(seed, stream, step // STEPS, sequences, units))
    place = (step % STEPS).expand(words[0].shape)
    found = torch.stack(words).gather(0, (place // 2).unsqueeze(0)).squeeze(0)
    return (found >> (place % 2 * 16)) & 0xFFFF


def _range_of_numbers(
    seed: Tensor, stream: int, steps: range, sequences: int | Tensor, units: int
) -> Int[Tensor, "T B units"]:
    """The same for steps that follow each other: each counter is used once, for all of its steps."""
    if steps.step != 1:
        raise ValueError(f"chance: steps must follow each other, got t={steps}")
    first = steps.start // STEPS
    groups = torch.arange(first, -(-steps.stop // STEPS), device=seed.device)[:, None, None]
    words = _words(seed, stream, groups, sequences, units)
    halves = [half for word in words for half in (word & 0xFFFF, word >> 16)]
    numbers = torch.stack(torch.broadcast_tensors(*halves), 1).flatten(0, 1)
    start = steps.start - STEPS * first
    return numbers[start : start + len(steps)]


def _words(seed: Tensor, stream: int, group: Tensor, sequences: int | Tensor, units: int) -> tuple[Tensor, ...]:
    device = seed.device
    rows = torch.arange(sequences, device=device) if isinstance(sequences, int) else sequences.to(device)
    counter = (torch.arange(units, device=device), rows.unsqueeze(-1), group, torch.full_like(group, stream))
    return philox(counter, (seed & WORD, (seed >> 32) & WORD))
