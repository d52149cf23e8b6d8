"""Weights from and to Keras, whose results are computed beside ours in a process of its own."""

from importlib.util import find_spec
from itertools import product

import pytest
from apart import apart

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")

KINDS = ["lstm", "gru", "gru_before", "rnn", "rnn_relu"]
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def keras():
    with apart() as call:
        yield lambda check, *arguments: call(f"keras_checks.{check}", *arguments)


ONE = [(kind, True, "float32", "cpu") for kind in KINDS]
FURTHER = [
    pytest.param(*case, marks=slow)
    for case in product(KINDS, (True, False), ("float32", "float64"), ("cpu", "reference"))
    if case not in ONE
]


@pytest.mark.parametrize(("kind", "bias", "dtype", "backend"), [*ONE, *FURTHER])
def test_from_one_direction(keras, kind, bias, dtype, backend):
    keras("from_one_direction", kind, bias, dtype, backend)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_lengths(keras, kind, bidirectional):
    keras("from_mask", kind, bidirectional)


@pytest.mark.parametrize("merge", ["concat", "sum", "ave"])
@pytest.mark.parametrize("kind", ["lstm", pytest.param("gru", marks=slow), pytest.param("rnn", marks=slow)])
def test_from_two_directions(keras, kind, merge):
    keras("from_two_directions", kind, merge)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru", *(pytest.param(k, marks=slow) for k in KINDS[2:])])
def test_from_a_stack(keras, kind, bidirectional):
    keras("from_stack", kind, bidirectional)


def test_from_a_layer_with_several_cells(keras):
    keras("from_cells")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("layers", "bidirectional", "bias", "merge"), [(1, False, False, "concat"), (2, True, True, "mean")]
)
def test_to_keras(keras, kind, layers, bidirectional, bias, merge):
    keras("to_keras", kind, layers, bidirectional, bias, merge)


@slow
def test_keras_on_jax(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with apart() as call:
        for kind in KINDS:
            call("keras_checks.from_one_direction", kind, True, "float32", "reference")


REFUSED = {
    "hard_sigmoid": ["recurrent_activation", "expected 'sigmoid'", "'hard_sigmoid'"],
    "elu": ["activation", "expected 'tanh'", "'elu'"],
    "relu_lstm": ["activation", "expected 'tanh'", "'relu'"],
    "unbuilt": ["built layer", "layer.build((None, None, features))"],
    "backwards": ["go_backwards", "x.flip(1)"],
    "mul": ["merge_mode", "'concat', 'sum' or 'ave'", "'mul'"],
    "dense": ["expected Keras's LSTM", "got Dense"],
    "unlike": ["layers[1]", "expected the recurrence LSTM", "gw.Deep"],
    "widths": ["layers[1]", "expected hidden size 5", "got 6"],
    "empty": ["at least one recurrent layer"],
    "misshapen": ["(3, 18), got (3, 15)", "(6, 18), got (5, 15)", "(2, 18), got (2, 15)"],
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_is_refused(keras, mistake):
    error, message, _ = keras("message_of", mistake)
    assert error == ("TypeError" if mistake == "dense" else "ValueError")
    assert not [part for part in REFUSED[mistake] if part not in message], message


@pytest.mark.parametrize(("setting", "said"), [("dropout", "dropout"), ("stateful", "stateful is left out")])
def test_what_is_left_out_is_said(keras, setting, said):
    error, message, warned = keras("message_of", setting)
    assert not error, message
    assert len(warned) == 1 and said in warned[0]
