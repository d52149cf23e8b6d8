"""The source view: generated code that names what the equations name, and golden files of it.

A refactor leaves the golden files unchanged. After a change that is meant:
`pytest tests/backends/cpu/test_source.py --refresh`, and read the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import llvmlite.binding as llvm
import pytest
import torch

import gatewright as gw
from gatewright.backends.cpu.backward import emit_backward
from gatewright.backends.cpu.emitter import Module
from gatewright.backends.cpu.engine import static_object
from gatewright.backends.cpu.forward import emit_forward
from gatewright.backends.cpu.shared import Shared
from gatewright.backends.cpu.source import kernel_module
from gatewright.backends.cpu.target import TARGETS
from gatewright.graph.notation.printer import Printer
from gatewright.plan.plan import plan

GOLDEN = Path(__file__).parent / "golden"
KEPT = [f"{cell}_{half}" for cell in ("lstm", "gru") for half in ("forward", "backward")]
AVX512 = TARGETS["avx512"]


def works(text: str) -> dict[str, str]:
    """The functions of works, by name."""
    names = "enter|stage|back[0-9]|epilogue"
    functions = re.finditer(rf'^define internal void @"((?:{names})[^"]*)".*?^}}$', text, re.S | re.M)
    return {m[1]: m[0] for m in functions}


def comments(text: str) -> list[str]:
    """The comments inside functions."""
    return [line.strip()[2:] for body in works(text).values() for line in body.split("\n") if line.startswith("  ; ")]


# -- golden files ----------------------------------------------------------------------------------------------


def report(name: str) -> str:
    cell, half = name.split("_")
    text = gw.cells[cell].source("cpu", target="avx512", train=True, backward=half == "backward")
    return "\n\n".join(works(text).values()) + "\n"


@pytest.mark.parametrize("name", KEPT)
def test_unchanged(name, request):
    path = GOLDEN / f"{name}.ll"
    if request.config.getoption("--refresh"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(report(name))
    assert report(name) == path.read_text(), f"{name} has changed; if that is meant: pytest --refresh"


def test_no_file_without_a_kernel():
    assert {p.stem for p in GOLDEN.glob("*.ll")} == set(KEPT)


# -- what stands in it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", gw.cells)
def test_every_equation_is_named_where_it_is_computed(name):
    cell = gw.cells[name]
    told = [line.split(": ")[-1] for line in comments(cell.source("cpu", target="avx512"))]
    graph = cell.graph.simplified()
    printer = Printer(graph)
    missing = [n for n, node in graph.equations if printer.equation(n, node) not in told]
    assert not missing


def test_the_head_has_the_equations_and_the_plan():
    head = gw.cells.lstm.source("cpu", target="avx512").split("\n\n")[0].split("\n")
    assert head[0] == "; lstm: forward, for inference; torch.float32, avx512"
    assert [f"; {line}" for line in str(gw.cells.lstm).split("\n")] == head[2:9]
    assert "; state[h] (H), in rows" in head
    assert any(line.endswith("# o, h") for line in head)


def test_slots_states_and_stores_are_named():
    told = comments(gw.cells.lstm.source("cpu", target="avx512", train=True))
    for line in (
        "value[H, 1]: W_f x_t + U_f h_{t-1}",
        "f_pre_t = W_f x_t + U_f h_{t-1} + b_f",
        "f_t = σ(W_f x_t + U_f h_{t-1} + b_f)",
        "state[c]: c_{t-1}",
        "state[c](t+1) = c_t",
        "value[H, 1] = f_t",
        "b_f",
    ):
        assert line in told
    assert told.index("f_pre_t = W_f x_t + U_f h_{t-1} + b_f") < told.index("f_t = σ(W_f x_t + U_f h_{t-1} + b_f)")


def test_backward_names_adjoints_and_what_it_reads_again():
    told = comments(gw.cells.lstm.source("cpu", target="avx512", backward=True))
    for line in ("value[H, 1]: f_t", "∂c_t", "∂f_pre_t", "adjoint[H, 1] = ∂f_pre_t", "total[b_f] = ∂f_pre_t"):
        assert line in told


def test_inputs_and_words_are_named():
    cell = gw.parse("h_t = tanh(W_h x_t + U_h h_{t-1}) + 0.25 x_{t-1}")
    text = cell.source("cpu", target="neon")
    assert {"input[1]: x_{t-1}", "0.25"} <= set(comments(text))
    assert "  ; units H\n" in text


def test_options_are_heard():
    cell = gw.cells.mgu
    plain = cell.source("cpu", target="avx512")
    assert "<16 x float>" in plain
    assert "<8 x double>" in cell.source("cpu", target="avx512", dtype=torch.float64)
    assert "<8 x float>" in cell.source("cpu", target="avx2")
    assert "forward, for training" in cell.source("cpu", target="avx512", train=True)
    assert 'define void @"backward"' in cell.source("cpu", target="avx512", backward=True)
    assert plain == cell.source("cpu", target="avx512")


@pytest.mark.parametrize("backward", [False, True])
def test_names_change_no_code(backward):
    """What is shown is what is compiled, to the last byte."""
    graph = gw.cells.peephole_lstm.graph.simplified()
    planned = plan(graph, train=backward)
    plain = Shared(Module("backward" if backward else "forward", "float", AVX512), planned, backward)
    (emit_backward if backward else emit_forward)(plain)
    shown = kernel_module(graph, planned, "float", AVX512, train=backward, backward=backward)
    assert "; " in str(shown)
    assert "; " not in re.sub("; ModuleID.*", "", str(plain.module))
    assert static_object(shown) == static_object(plain.module)


def test_it_is_a_module_that_llvm_reads():
    text = gw.cells.layer_norm_lstm.source("cpu", target="avx2", backward=True)
    llvm.parse_assembly(text, llvm.create_context()).verify()


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("cpuu", {}, "cell lstm: no code is generated by a backend 'cpuu'; it is by 'cpu'; did you mean 'cpu'?"),
        ("reference", {}, "cell lstm: no code is generated by a backend 'reference'; it is by 'cpu'"),
        (
            "cpu",
            {"target": "avx51"},
            "source: there is no target 'avx51'; there is avx512, avx2, baseline, neon; did you mean 'avx512'?",
        ),
        (
            "cpu",
            {"dtype": torch.float16},
            "source: kernels are made for torch.float32 and torch.float64, not for torch.float16",
        ),
    ],
)
def test_mistakes(backend, options, message):
    with pytest.raises(gw.CellError, match=f"^{re.escape(message)}$"):
        gw.cells.lstm.source(backend, **options)
