"""ONNX's own tests of its operators LSTM, GRU and RNN, with their weights in our layers."""

import warnings
from functools import cache
from importlib import import_module

import numpy as np
import pytest
import torch

import gatewright as gw

NAMES = [
    *(f"test_lstm_{n}" for n in "defaults with_initial_bias with_peepholes batchwise reverse bidirectional".split()),
    *(f"test_gru_{n}" for n in "defaults with_initial_bias seq_length batchwise reverse bidirectional".split()),
    *(f"test_simple_rnn_{n}" for n in "defaults with_initial_bias batchwise reverse bidirectional".split()),
    "test_rnn_seq_length",
]


@cache
def cases():
    """collect_testcases() makes those of all operators, in a quarter of a minute; these modules make their own."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old types in their making
        for op in ("lstm", "gru", "rnn"):
            import_module(f"onnx.backend.test.case.node.{op}")
    made = [case for case in node._NodeTestCases if case.model.graph.node[0].op_type in ("LSTM", "GRU", "RNN")]
    return {case.name: case for case in made}


def test_all_of_them_are_here():
    assert sorted(cases()) == sorted(NAMES)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_node(name, backend):
    case = cases()[name]
    (node,) = case.model.graph.node
    ((inputs, expected),) = case.data_sets
    given = dict(zip((n for n in node.input if n), inputs, strict=True))
    layer = gw.convert.from_onnx(node, given)
    getattr(layer, "layer", layer).backend = backend
    found = run(layer, node, given)
    for output, values in zip((n for n in node.output if n), expected, strict=True):
        np.testing.assert_allclose(found[output], values, rtol=case.rtol, atol=1e-6, err_msg=output)


def run(layer, node, given):
    """A call of our layer, and its results in ONNX's layout."""
    batchwise = any(a.name == "layout" and a.i for a in node.attribute)
    tensors = {name: torch.from_numpy(np.array(a)) for name, a in given.items()}
    states = [tensors[n].transpose(0, 1) if batchwise else tensors[n] for n in ("initial_h", "initial_c") if n in given]
    hx = None if not states else states[0] if len(states) == 1 else tuple(states)
    y, final = layer(tensors["X"], hx, lengths=tensors.get("sequence_lens"))
    h, c = final if isinstance(final, tuple) else (final, None)
    D = h.shape[0]
    apart = y.unflatten(-1, (D, -1))  # (T, B, D, H), or (B, T, D, H) batchwise, which is ONNX's own layout=1
    return {
        "Y": (apart if batchwise else apart.transpose(1, 2)).detach().numpy(),
        "Y_h": (h.transpose(0, 1) if batchwise else h).detach().numpy(),
        "Y_c": None if c is None else (c.transpose(0, 1) if batchwise else c).detach().numpy(),
    }


def test_what_the_cases_set_is_known():
    """A new attribute in a newer onnx should be looked at."""
    assert {a.name for case in cases().values() for a in case.model.graph.node[0].attribute} == {
        "hidden_size",
        "layout",
        "direction",
    }
