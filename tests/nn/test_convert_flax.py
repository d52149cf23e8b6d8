"""Weights from and to Flax, whose results are computed beside ours in a process of its own."""

from importlib.util import find_spec

import pytest
from apart import apart

pytestmark = pytest.mark.skipif(find_spec("flax") is None, reason="flax is not installed")

CELLS = ["LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell", "SimpleCell_relu"]
slow = pytest.mark.slow
SOME = [pytest.param(name, marks=[] if name in ("OptimizedLSTMCell", "GRUCell") else slow) for name in CELLS]


@pytest.fixture(scope="module")
def flax():
    with apart() as call:
        yield lambda check, *arguments: call(f"flax_checks.{check}", *arguments)


@pytest.mark.parametrize(("time_major", "backend"), [(False, "cpu"), pytest.param(True, "reference", marks=slow)])
@pytest.mark.parametrize("name", CELLS)
def test_from_one_direction(flax, name, time_major, backend):
    flax("from_one_direction", name, time_major, backend)


@pytest.mark.parametrize("directions", [pytest.param(1, marks=slow), 2])
@pytest.mark.parametrize("name", SOME)
def test_lengths(flax, name, directions):
    flax("from_lengths", name, directions)


@slow
@pytest.mark.parametrize("name", CELLS)
def test_from_reverse(flax, name):
    flax("from_reverse", name)


@slow
@pytest.mark.parametrize("name", CELLS)
def test_from_a_stack(flax, name):
    flax("from_stack", name)


@pytest.mark.parametrize(
    "name",
    [pytest.param("LSTMCell", marks=slow), "OptimizedLSTMCell", "GRUCell", pytest.param("SimpleCell", marks=slow)],
)
def test_from_parameters(flax, name):
    flax("from_params", name)


@pytest.mark.parametrize("bias", [pytest.param(True, marks=slow), False])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_to_flax(flax, kind, bias):
    flax("to_flax", kind, bias)


def test_bfloat16_stays_bfloat16(flax):
    flax("bfloat16")


REFUSED = {
    "hard_sigmoid": ["gate_fn", "expected sigmoid", "got hard_sigmoid"],
    "elu": ["activation_fn", "expected tanh", "got elu"],
    "residual": ["residual", "gw.affine(x, h) + h"],
    "order": ["keep_order", "True where reverse=True"],
    "merge_fn": ["merge_fn", "side by side"],
    "unlike": ["layers[1]", "got LSTM", "gw.Deep"],
    "linear": ["expected one of LSTMCell", "got Linear"],
    "unknown": ["params", "dense_i and dense_h", "got weight"],
    "misshapen": ["dense_i.kernel: expected (3, 20), got (3, 18)", "dense_i.bias: expected (20,), got (7,)"],
    "rows": ["dense_h.kernel", "H = 5", "(5, 21)"],
    "b_n_h": ["b_n_h", "expected zeros", "Flax"],
    "before": ["one that Flax has", "resets before the product"],
    "float64": ["dtype", "jax_enable_x64"],
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_is_refused(flax, mistake):
    error, message = flax("message_of", mistake)
    assert error == ("TypeError" if mistake == "linear" else "ValueError")
    assert not [part for part in REFUSED[mistake] if part not in message], message
