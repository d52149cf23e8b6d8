"""Backward with few states kept: kernels in chunks of time against the reference, and what they keep."""

from __future__ import annotations

from dataclasses import replace

import kernel_cases
import pytest
import torch
from covering import Factors, Row, covering
from kernel_cases import Case, Setting, setting_of
from test_kernel import compare, random_numbers

from gatewright.backends.cpu.kernel import Kernel, saved_size
from gatewright.backends.cpu.recompute import Recomputing, kept_size, steps_between
from gatewright.backends.cpu.tables import Tables
from gatewright.backends.cpu.target import TARGETS, host
from gatewright.plan import recurrent_matrices
from gatewright.plan.program import Program

CELLS = ("lstm", "gru", "slstm", "qrnn", "sru", "lstmp", "layer_norm_lstm", "peephole_cifg")
CHUNKED: Factors = {
    "cell": CELLS,
    "k": (0, 1, 7, 16, 49),
    "T": (33, 50),
    "B": (1, 5, 33),
    "H": (3, 17),
    "reset": (False, True),
    "series": ("none", "every", "records"),
    "masks": ("none", "dropout", "zoneout", "both"),
    "lengths": ("none", "ragged", "falling", "short", "full"),
    "start": ("zero", "random"),
    "reverse": (False, True),
    "split": ("1", "2 rows", "2 units"),
    "layout": ("dense", "batch first", "sliced", "expanded"),
    "given": ("all", "output", "finals"),
    "needs": ("all", "inputs", "weights", "states"),
    "nan": ("none", "padding", "sequence"),
}
# Each cell with as few different programs as will do: what is compiled takes longest.
START: tuple[Row, ...] = tuple(
    {"cell": cell, "k": 7, "T": 50, "reset": k % 2 == 0, "series": "none", "masks": "both" if k % 3 else "none",
     "given": "all", "needs": "all"}
    for k, cell in enumerate(CELLS)
)  # fmt: skip


def forbidden(pair: Row) -> bool:
    if pair.get("nan") == "padding":
        return pair.get("lengths") in ("none", "full")
    return pair.get("nan") == "sequence" and pair.get("B") == 1


def cases() -> list:
    rows = covering(CHUNKED, forbidden, start=START)
    found = []
    for n, row in enumerate(rows):
        k = row.pop("k")
        case = Case(**row)  # pyright: ignore[reportArgumentType]
        found.append(pytest.param(case, k, id=f"k={k}-{case}", marks=[pytest.mark.slow] * (n >= len(START))))
    return found


def in_chunks(text: str, real: str, target: str) -> Recomputing:
    program = Program.parse(text)
    return Recomputing(Kernel(program.saving, real, TARGETS[target]), program)


def setting_in_chunks(case: Case, k: int) -> Setting:
    setting = setting_of(case)
    return replace(setting, program=replace(setting.program, recompute=k))


@pytest.fixture(autouse=True)
def _kernels_in_chunks(monkeypatch):
    monkeypatch.setattr(kernel_cases, "kernel_of", in_chunks)
    monkeypatch.setattr("gatewright.backends.cpu.recompute.ROWS", 40)  # so that √T is what counts with several rows


# -- against the reference -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "k"), cases())
def test_chunks(case: Case, k: int):
    """Outputs, states and every gradient, in memory with guards around it; and what NaN does not reach."""
    compare(case, setting_in_chunks(case, k))


def test_no_steps_are_one_chunk():
    compare(Case("lstm", T=0), setting_in_chunks(Case("lstm", T=0), 3))


def test_one_chunk_is_the_kernel_itself():
    case = Case("lstm", T=6)
    given = random_numbers(case, setting_of(case))
    leaves, call = (given.inputs, given.weights, given.states), (None, None, 0, False, True)
    plain = Kernel(setting_of(case).program, "double", host())
    mine = Recomputing(plain, setting_in_chunks(case, 6).program)
    for a, b in zip(plain.forward(*leaves, *call)[1], mine.forward(*leaves, *call)[1], strict=True):
        assert a.shape == b.shape


def test_outputs_are_those_of_inference():
    """To the last bit: chunks begin where inference begins one of its own, or are as good."""
    case = Case("lstm", T=50, B=2)
    setting = setting_in_chunks(case, 48)
    given = random_numbers(case, setting)
    kernel = in_chunks(setting.program.text, "double", host().name)
    leaves = given.inputs, given.weights, given.states
    for a, b in zip(kernel.forward(*leaves, train=True)[0], kernel.kernel.forward(*leaves)[0], strict=True):
        assert torch.equal(a, b)


# -- what is kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 7])
def test_states_between_chunks_are_all_that_is_kept(k):
    case = Case("lstm", T=50, B=3, H=17)
    setting = setting_in_chunks(case, k)
    given = random_numbers(case, setting)
    kernel = in_chunks(setting.program.text, "double", host().name)
    saved = kernel.forward(given.inputs, given.weights, given.states, train=True)[1][0]
    every = steps_between(setting.program, 50, 3)
    assert every == (k or 14)  # ⌈40 / 3⌉ rows, more than ⌈√50⌉
    assert saved.numel() == kept_size(every, 50, 3, setting.states) == (-(-50 // every) - 1) * 3 * (17 + 17)
    shapes = (setting.inputs, setting.weights, setting.states)
    assert saved_size(setting.program, "double", 50, 3, *shapes) == saved.numel()
    assert saved_size(setting.program.saving, "double", 50, 3, *shapes) > 4 * saved.numel()


@pytest.mark.parametrize(("T", "root"), [(2, 2), (99, 10), (100, 10), (101, 11), (1_000_000, 1000), (1_000_001, 1001)])
def test_the_root_of_all_steps(T, root, monkeypatch):
    monkeypatch.setattr("gatewright.backends.cpu.recompute.ROWS", 1)
    program = replace(setting_of(Case("lstm")).program, recompute=0)
    assert steps_between(program, T, 1) == root


@pytest.mark.parametrize(("k", "every"), [(1, 8), (8, 8), (9, 16)])
def test_with_masks_of_each_step_chunks_begin_where_random_numbers_do(k, every):
    program = replace(setting_of(Case("lstm", masks="zoneout")).program, recompute=k)
    assert steps_between(program, 100, 1) == every
    assert recurrent_matrices(program.graph)
    once = replace(setting_of(Case("lstm", masks="dropout")).program, recompute=k)
    assert steps_between(once, 100, 1) == k  # one mask for all steps


def test_tables_of_a_part():
    rows = torch.tensor([[2, 0, 1], [9, 5, 0], [8, 4, 0]])  # order, steps, the user's first step in reverse
    flags = torch.arange(30, dtype=torch.uint8).view(10, 3)
    part = Tables(2, rows, flags).part(8, 9, reverse=True)
    assert part.begun == 1 and part.group == 1
    assert part.rows is not None and part.rows.tolist() == [[2, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert part.flags is not None and part.flags.tolist() == flags[8:].tolist()
    forward = Tables(2, rows, None).part(3, 7, reverse=False)
    assert forward.rows is not None and forward.rows[1].tolist() == [4, 2, 0]
    assert rows[1].tolist() == [9, 5, 0]  # what was given stays
    assert Tables(3, torch.tensor([6, 3, 1]), None).part(2, 6, reverse=False).rows.tolist() == [4, 1, 0]  # pyright: ignore[reportOptionalMemberAccess]


# -- programs ----------------------------------------------------------------------------------------------------


def test_a_program_says_it_and_compiles_the_same():
    plain = setting_of(Case("lstm")).program
    mine = replace(plain, recompute=12)
    assert Program.parse(mine.text) == mine and Program.parse(mine.text).recompute == 12
    assert mine != plain and mine.saving.text == plain.text
    assert plain.saving is plain and "recompute" not in plain.text
