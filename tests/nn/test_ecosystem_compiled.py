"""torch.compile without a break, of all layers but convolutions, by both backends; programs compiled ahead of time.

In processes of their own: Dynamo cannot look through the checks of types that tests put around the backends.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "ecosystem.md"

COMPILED = """
import sys
import torch
from torch import nn
import gatewright as gw

backend, compiler = sys.argv[1:3]
T, B, I, H = 4, 3, 3, 5
x, lengths = torch.randn(T, B, I), torch.tensor([4, 0, 2])
reset = torch.rand(T, B) < 0.4
options = {"backend": backend}


def same(name, module, *given, **how):
    '''Values and gradients of a program without a break are those of the module.'''
    torch._dynamo.reset()
    program = torch.compile(module, backend=compiler, fullgraph=True)
    found = []
    for run in (program, module):
        torch.manual_seed(4)
        outputs = [y for y in torch.utils._pytree.tree_leaves(run(*given, **how))]
        loss = sum((y.sin().sum() for y in outputs), torch.zeros(()))
        found.append([*outputs, *torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)])
    torch.testing.assert_close(*found, msg=lambda m: name + ": " + m)


masks = {"recurrent_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.2, "dropout": 0.3}
same("layer", gw.Recurrent("peephole_lstm", I, H, bidirectional=True, **options), x, lengths=lengths, reset=reset)
same("every state", gw.Recurrent("qrnn", I, H, 2, **options), x, lengths=lengths, states="all")
same("masks", gw.Recurrent("gru", I, H, 2, **masks, **options), x)
same("learned", gw.Recurrent("gru", I, H, learned_state=True, **options), x, reset=reset)
same("recompute", gw.Recurrent("mgu", I, H, recompute=2, **options), x)
for make in (gw.LSTM, gw.GRU, gw.RNN):
    same(make.__name__, make(I, H, batch_first=True, **options), x.transpose(0, 1), lengths=lengths)
same("LSTMCell", gw.LSTMCell(I, H, **options), x[0])
same("Deep", gw.Deep.of(["mgu", "gru"], I, H, residual=True, norm="post", dropout=0.2, **options), x, lengths=lengths)
same("Ensemble", gw.Ensemble(gw.LSTM(I, H, **options), 3), x, lengths=lengths)
print("all the same")
"""


def run(source: str, *arguments: str) -> str:
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", source, *arguments], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout


@pytest.mark.parametrize(
    ("backend", "compiler"),
    [
        pytest.param("cpu", "eager", marks=pytest.mark.slow),
        pytest.param("cpu", "aot_eager", marks=pytest.mark.slow),
        pytest.param("reference", "eager", marks=pytest.mark.slow),
    ],
)
def test_compiled_without_a_break(backend, compiler):
    assert run(COMPILED, backend, compiler).strip() == "all the same"


SIZES = """
import torch
import gatewright as gw

graphs = []
layer = gw.GRU(3, 5)
program = torch.compile(layer, fullgraph=True, dynamic=True, backend=lambda module, _: graphs.append(module) or module)
for steps, batch in ((5, 4), (7, 2), (300, 3), (4, 6)):
    x = torch.randn(steps, batch, 3)
    torch.testing.assert_close(program(x), layer(x))
print(len(graphs))
"""


def test_one_program_for_all_sizes():
    assert run(SIZES).strip() == "1"


AHEAD = """
import sys
import torch
import gatewright as gw

layer = gw.Recurrent("peephole_lstm", 3, 6).eval()
sizes = {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
program = torch.export.export(layer, (torch.randn(5, 4, 3),), dynamic_shapes=(sizes,))
path = torch._inductor.aoti_compile_and_package(program, package_path=sys.argv[1] + "/layer.pt2")
loaded, x = torch._inductor.aoti_load_package(path), torch.randn(8, 3, 3)
torch.testing.assert_close(loaded(x)[0], layer(x)[0])
print("the same")
"""


@pytest.mark.slow
def test_a_program_compiled_ahead_of_time(tmp_path):
    assert run(AHEAD, str(tmp_path)).strip() == "the same"


def blocks() -> list[str]:
    """The page's examples that need a process of their own."""
    return re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.S | re.M)


@pytest.mark.slow
@pytest.mark.parametrize("k", range(len(blocks())))
def test_examples_of_the_page(k, tmp_path):
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", blocks()[k]], capture_output=True, text=True, cwd=tmp_path
    )
    assert found.returncode == 0, found.stderr[-3000:]
