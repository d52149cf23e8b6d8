"""The generator against its published values, and the kernel against torch, bit for bit."""

import ctypes
from functools import cache

import numpy as np
import pytest
import torch

from gatewright.backends.cpu import engine, weight_masks
from gatewright.backends.cpu.emitter import I64, PTR, Module
from gatewright.backends.cpu.philox import CHANCES, add_chances, loaded_chance
from gatewright.backends.cpu.target import TARGETS, able
from gatewright.backends.philox import STEPS, chance, philox, threshold, weight_chance

MACHINES = [(real, target) for target in able() for real in ("float", "double")]
SEED = torch.tensor(-1234567890123456789)
KNOWN = [  # Random123, kat_vectors
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter, key, words):
    found = philox(*(tuple(torch.tensor(word) for word in given) for given in (counter, key)))
    assert " ".join(f"{int(word):08x}" for word in found) == words


def test_a_choice_is_the_number_that_the_documentation_names():
    """Step 13 is in the group 1: its sixth number, the upper half of the third word."""
    seed, stream, t, sequence, unit = 0x0123456789ABCDEF, 9, 13, 4, 2
    counter = tuple(torch.tensor(word) for word in (unit, sequence, t // 8, stream))
    words = philox(counter, (torch.tensor(0x89ABCDEF), torch.tensor(0x01234567)))
    number = int(words[2]) >> 16
    for p, expected in ((number / 65536, False), ((number + 1) / 65536, True)):
        found = chance(p, seed=torch.tensor(seed), stream=stream, t=t, sequences=6, units=3)
        assert bool(found[sequence, unit]) is expected


def test_steps_one_by_one_as_a_range_and_as_a_tensor():
    rest = {"seed": SEED, "stream": 3, "sequences": torch.tensor([5, 0, 2]), "units": 7}
    one_by_one = torch.stack([chance(0.4, t=t, **rest) for t in range(5, 27)])
    assert torch.equal(chance(0.4, t=range(5, 27), **rest), one_by_one)
    assert torch.equal(chance(0.4, t=torch.arange(5, 27), **rest), one_by_one)
    assert torch.equal(chance(0.4, t=torch.tensor(6), **rest), one_by_one[1])
    assert chance(0.4, t=range(5, 5), **rest).shape == (0, 3, 7)


def test_steps_with_gaps_are_refused():
    with pytest.raises(ValueError, match=r"steps must follow each other, got t=range\(0, 8, 2\)"):
        chance(0.5, seed=SEED, stream=0, t=range(0, 8, 2), sequences=1, units=1)


def test_sequences_are_numbered_from_0():
    rest = {"seed": SEED, "stream": 3, "t": 2, "units": 7}
    assert torch.equal(chance(0.5, sequences=4, **rest), chance(0.5, sequences=torch.arange(4), **rest))


def test_a_row_of_weights_is_a_step_of_a_sequence():
    found = weight_chance(0.5, seed=SEED, stream=3, rows=19, columns=5)
    drawn = chance(0.5, seed=SEED, stream=3, t=range(8), sequences=3, units=5)
    assert torch.equal(found, torch.stack([drawn[r % 8, r // 8] for r in range(19)]))


@pytest.mark.parametrize("p", [0.0, 1e-4, 0.3, 1.0])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 16), (19, 5), (40, 33), (0, 3), (3, 0)])
@pytest.mark.parametrize("seed", [3, -(1 << 62) - 5])
def test_a_kernel_draws_the_same_for_weights(rows, columns, p, seed):
    options = {"seed": torch.tensor(seed), "stream": (3 << 16) + 7, "rows": rows, "columns": columns}
    found = weight_masks.weight_chance(p, **options)
    assert found.dtype == torch.bool and torch.equal(found, weight_chance(p, **options))


def test_masks_of_weights_are_an_operator_for_whoever_traces():
    def drawn(seed):
        return weight_masks.weight_chance(0.3, seed=seed, stream=3, rows=19, columns=5)

    each = torch.func.vmap(drawn)(torch.stack([SEED, SEED + 1]))
    assert torch.equal(each, torch.stack([drawn(SEED), drawn(SEED + 1)]))
    torch.library.opcheck(weight_masks.cpu_weight_chance, (SEED, 3, 20000, 19, 5))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_rates(p):
    found = chance(p, seed=SEED, stream=1, t=range(40), sequences=50, units=50)
    assert found.double().mean().item() == pytest.approx(p, abs=4 * (p * (1 - p) / found.numel()) ** 0.5 + 1e-9)


def test_everything_in_the_counter_and_the_key_matters():
    """Choices that differ in one thing agree about half of the time."""
    plain = {"seed": 5, "stream": 1, "t": 3, "sequences": torch.arange(30)}
    others = [{"seed": 6}, {"seed": 5 + (1 << 40)}, {"stream": 2}, {"t": 4}, {"t": 3 + STEPS}, {"t": 5}]
    others.append({"sequences": torch.arange(30) + 1})

    def draw(seed, **rest):
        return chance(0.5, seed=torch.tensor(seed), units=64, **rest)

    reference = draw(**plain)
    for other in others:
        assert abs((draw(**plain | other) == reference).double().mean().item() - 0.5) < 0.06, other
    assert not torch.equal(reference[:, :32], reference[:, 32:])


# -- kernels ---------------------------------------------------------------------------------------


@cache
def kernels(real, target):
    """gw_chances, and one that reads what it wrote: 1 and 0 for each unit of a block."""
    module = Module("chances", real, TARGETS[target])
    add_chances(module)
    e = module.function("read", {"dst": PTR, "masks": PTR, "n": I64}, public=True)
    one, zero = e.real(1.0), e.real(0.0)

    def body(i):
        choice = loaded_chance(e, e.args["masks"], i)
        e.store(e.b.select(choice, one, zero), e.args["dst"], e.mul(i, e.lanes))

    e.loop(0, e.args["n"], body)
    e.done()
    library = engine.load([engine.compile_object(module)], [CHANCES, "read"])
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    write = library.function(CHANCES, pointer, *[size] * 6, pointer, *[size] * 4)
    return module.lanes, write, library.function("read", pointer, pointer, size)


UNTOUCHED = -21846


def written(real, target, p, *, seed, stream, group, order, rows, blocks):
    """Masks (steps, blocks, rows), with a row and a block more than asked for at either end."""
    dst = np.full((STEPS, blocks[1] + 1, rows[1] + 1), UNTOUCHED, np.int16)
    strides = [s // 2 for s in dst.strides]
    numbers = np.array(order, np.int64)
    arguments = [dst.ctypes.data, strides[0], strides[1], threshold(p), seed, stream, group, numbers.ctypes.data]
    kernels(real, target)[1](*arguments, *rows, *blocks)
    return dst


CASES = [
    {"p": 0.3, "seed": -1234567890123456789, "stream": 7, "group": 5},
    {"p": 1.0, "seed": 2**63 - 1, "stream": 2**32 - 1, "group": 0},
    {"p": 0.0, "seed": 5, "stream": 0, "group": 1},
    {"p": 65535 / 65536, "seed": 0x0123456789ABCDEF, "stream": 1 << 16, "group": 2**30},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case['p']:.2f}")
@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_a_kernel_makes_the_same_choices(real, target, case):
    lanes, (r0, r1), (j0, j1) = kernels(real, target)[0], (2, 9), (1, 4)
    order = [3, 1, 4, 1000, 5, 2**32 - 1, 2, 6, 0]
    masks = written(real, target, **case, order=order, rows=(r0, r1), blocks=(j0, j1))
    start = STEPS * case["group"]
    rest = {"seed": torch.tensor(case["seed"]), "stream": case["stream"], "t": range(start, start + STEPS)}
    expected = chance(case["p"], sequences=torch.tensor(order[r0:r1]), units=j1 * lanes, **rest)
    bits = masks[:, j0:j1, r0:r1, None].view(np.uint16) >> np.arange(16) & 1
    assert not bits[..., lanes:].any()
    found = bits[..., :lanes].transpose(0, 2, 1, 3).reshape(STEPS, r1 - r0, -1)
    assert torch.equal(torch.from_numpy(found.astype(bool)), expected[..., j0 * lanes :])
    masks[:, j0:j1, r0:r1] = UNTOUCHED
    assert (masks == UNTOUCHED).all()


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize("t", range(STEPS))
@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_the_threshold_itself_is_a_no(real, target, t, above):
    """A chance that is exactly one of the numbers, and the next larger one."""
    counter = tuple(torch.tensor(word) for word in (0, 4, 0, 9))
    number = int(philox(counter, (torch.tensor(77), torch.tensor(0)))[t // 2]) >> t % 2 * 16 & 0xFFFF
    p = (number + above) / 65536
    masks = written(real, target, p, seed=77, stream=9, group=0, order=[4], rows=(0, 1), blocks=(0, 1))
    assert masks[t, 0, 0] & 1 == above


@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_no_rows_and_no_blocks(real, target):
    for rows, blocks in (((2, 2), (0, 2)), ((0, 2), (1, 1))):
        masks = written(real, target, 0.5, seed=1, stream=1, group=0, order=[0, 1], rows=rows, blocks=blocks)
        assert (masks == UNTOUCHED).all()


@pytest.mark.parametrize(("real", "target"), MACHINES)
def test_choices_are_read_back(real, target):
    lanes, _, read = kernels(real, target)
    masks = np.random.default_rng(0).integers(0, 1 << lanes, 20).astype(np.uint16)
    dst = np.empty((20, lanes), np.float32 if real == "float" else np.float64)
    read(dst.ctypes.data, masks.ctypes.data, 20)
    np.testing.assert_array_equal(dst, masks[:, None] >> np.arange(lanes) & 1)
