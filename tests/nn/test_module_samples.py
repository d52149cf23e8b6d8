"""torch's own samples of its recurrent modules: ours give its results, with its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

import gatewright as gw
from tolerances import TOLERANCE, assert_close

common_modules = pytest.importorskip(
    "torch.testing._internal.common_modules", reason="torch's own test tools are not there", exc_type=ImportError
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning"),  # torch's own
]

SEQUENCES, CELLS = ("LSTM", "GRU", "RNN"), ("LSTMCell", "GRUCell", "RNNCell")
DTYPES = (torch.float32, torch.float64)


def samples(name: str, dtype: torch.dtype, training: bool) -> Iterator:
    """torch's inputs for one of its modules."""
    (info,) = [info for info in common_modules.module_db if info.name == f"nn.{name}"]
    torch.manual_seed(0)
    yield from info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)


def run(module: Callable, sample) -> list[Tensor]:
    """All outputs, and the gradients of every input and weight along the same cotangents."""
    args, kwargs = tree_map(_leaf, (sample.forward_input.args, sample.forward_input.kwargs))
    outputs = tree_flatten(module(*args, **kwargs))[0]
    leaves = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor) and t.requires_grad]
    assert isinstance(module, nn.Module)
    along = [torch.arange(1.0, y.numel() + 1, dtype=y.dtype).reshape(y.shape).sin() for y in outputs]
    found = torch.autograd.grad(outputs, [*leaves, *module.parameters()], along)
    return [*outputs, *found]


def _leaf(value):
    return value.detach().clone().requires_grad_() if isinstance(value, Tensor) else value


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", ["cpu", "reference", "auto"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name, backend, dtype, training):
    count = 0
    for sample in samples(name, dtype, training):
        made = sample.constructor_input
        theirs = getattr(nn, name)(*made.args, **made.kwargs).to(dtype).train(training)
        ours = getattr(gw, name)(*made.args, backend=backend, **made.kwargs).to(dtype).train(training)
        ours.load_state_dict(theirs.state_dict())
        for mine, expected in zip(run(ours, sample), run(theirs, sample), strict=True):
            assert_close(mine, expected, TOLERANCE[dtype, "cpu"], sample.desc)
        count += 1
    assert count >= 16


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_cells(name, dtype):
    count = 0
    for sample in samples(name, dtype, training=True):
        made = sample.constructor_input
        theirs = getattr(nn, name)(*made.args, **made.kwargs).to(dtype)
        ours = getattr(gw, name)(*made.args, **made.kwargs).to(dtype)
        ours.load_state_dict(theirs.state_dict())
        for mine, expected in zip(run(ours, sample), run(theirs, sample), strict=True):
            assert_close(mine, expected, TOLERANCE[dtype, "cpu"], sample.desc)
        count += 1
    assert count >= 2
