"""`gw.record` whatever a user does meanwhile: copies, threads, streams, checkpoints, compiled and vendors' models."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import gatewright as gw

STEPS, BATCH = 7, 4


def recorded(layer, x, backend, names=None):
    layer.backend = backend
    with gw.record(layer, names, grad=True) as tape:
        y, _ = layer(x)
    y.square().sum().backward()
    return tape


def test_a_copy_and_a_file_know_nothing_of_a_tape():
    layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3)
    with gw.record(layer) as tape:
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            other(x)
            assert not other.lenses
            assert not tape.tracks


def test_a_tape_is_closed_in_any_order_and_opened_again():
    layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3)
    first, second = gw.record(layer, ["f"]), gw.record(layer, ["i"])
    first.close()
    layer(x)
    second.close()
    second.close()
    assert not list(first)
    assert list(second) == ["i"]
    assert layer.lenses == ()
    with first:
        layer(x)
    assert list(first) == ["f"]


def test_threads_open_tapes_of_their_own():
    layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3)

    def shown(_: int) -> bool:
        with gw.record(layer, ["f"]) as tape:
            layer(x)
            return "f" in tape

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(shown, range(100)))
    assert layer.lenses == ()


def test_scalars_are_recorded_with_their_adjoints():
    @gw.cell
    def averaging(x, h):
        s = gw.mean(h)
        return gw.tanh(gw.affine(x, h) + s, name="h")

    layer = gw.Recurrent(averaging, 3, 5, dtype=torch.float64)
    x = torch.randn(STEPS, 2, 3, dtype=torch.float64)
    assert list(recorded(layer, x, "cpu")) == ["h"]
    found, expected = (recorded(layer, x, backend, ["s", "h"]) for backend in ("cpu", "reference"))
    assert found["s"].shape == found.grad["s"].shape == (STEPS, 2, 1)
    for name in found:
        torch.testing.assert_close(found[name], expected[name])
        torch.testing.assert_close(found.grad[name], expected.grad[name])


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_vendors_packed_sequences_are_seen(batch_first):
    layer = gw.LSTM(3, 5, batch_first=batch_first)
    packed = pack_padded_sequence(torch.randn(STEPS, BATCH, 3), [3, 7, 1, 5], enforce_sorted=False)
    tapes = []
    for layer.backend in ("cpu", "vendor"):
        with gw.record(layer, grad=True) as tape:
            y, _ = layer(packed)
        y.data.square().sum().backward()
        tapes.append(tape)
    for name in tapes[0]:
        torch.testing.assert_close(tapes[0][name], tapes[1][name])
        torch.testing.assert_close(tapes[0].grad[name], tapes[1].grad[name])


def test_a_vendors_empty_sequences_are_one_run():
    layer = gw.LSTM(3, 5, backend="vendor")
    with gw.record(layer, keep="all") as tape:
        layer(torch.randn(7, 2, 3), lengths=[0, 0])
    assert len(tape.track().runs) == 1


@pytest.mark.parametrize("backend", ["cpu", "reference", "vendor"])
def test_adjoints_alone_need_no_parameters(backend):
    layer = gw.LSTM(3, 5, backend=backend)
    x = torch.randn(7, 2, 3)
    with gw.record(layer, grad=True) as tape:
        y, _ = layer(x)
    tape.backward(y.sum(), retain_graph=True)
    assert all(p.grad is None for p in layer.parameters())
    alone = tape.grad["c"].clone()
    y.sum().backward()
    torch.testing.assert_close(tape.grad["c"], 2 * alone)
    layer.requires_grad_(False)
    with gw.record(layer, grad=True) as frozen:
        frozen.backward(layer(x)[0].sum())
    torch.testing.assert_close(frozen.grad["c"], alone)


def test_a_tape_without_adjoints_says_so():
    layer = gw.LSTM(3, 5)
    with gw.record(layer) as tape:
        y, _ = layer(torch.randn(7, 2, 3))
    with pytest.raises(RuntimeError, match="this tape records no adjoints; open it with grad=True"):
        tape.backward(y.sum())
    with pytest.raises(KeyError, match="no adjoint of 'c'"):
        tape.grad["c"]


def test_a_model_in_a_stream_is_recorded_step_by_step():
    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = gw.LSTM(3, 5), torch.nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    model, x = Tagger(), torch.randn(4, 2, 3)
    with gw.record(model) as whole:
        model(x)
    stream = gw.Stream(model)
    with gw.record(model, keep="all") as tape:
        for step in x:
            stream(step)
    assert [len(run["f"]) for run in tape.track().runs] == [1, 1, 1, 1]
    torch.testing.assert_close(torch.cat([run["f"] for run in tape.track().runs]), whole["f"])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_values_are_nobody_elses(backend):
    layer = gw.LSTM(3, 5, backend=backend)
    with torch.no_grad(), gw.record(layer) as tape:
        y, states = layer(torch.randn(7, 2, 3), states="all")
    before = {name: tape[name].clone() for name in tape}
    for t in (y, *states):
        t.zero_()
    assert all(torch.equal(tape[name], before[name]) for name in before)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")
def test_forward_mode_sees_too():
    layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3)
    with forward_ad.dual_level():
        given = forward_ad.make_dual(x, torch.ones_like(x))
        with gw.record(layer, ["f"], grad=["f"]) as tape:
            found = forward_ad.unpack_dual(layer(given)[0]).tangent
        torch.testing.assert_close(found, forward_ad.unpack_dual(layer(given)[0]).tangent)
    assert tape["f"].shape == (7, 2, 5)


def test_a_checkpointed_call_is_one_run():
    layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3, requires_grad=True)
    with gw.record(layer, grad=True) as tape:
        checkpoint(lambda x: layer(x)[0].tanh(), x, use_reentrant=False).sum().backward()
    with gw.record(layer, grad=True) as plain:
        layer(x)[0].tanh().sum().backward()
    torch.testing.assert_close(tape.grad["c"], plain.grad["c"])


COMPILED = """
import torch
import gatewright as gw

layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3)
whole = torch.compile(layer, backend="eager", fullgraph=True)
before, _ = whole(x)
with gw.record(whole) as tape:
    try:
        whole(x)
    except RuntimeError as refused:
        assert "nothing to see inside torch.compile" in str(refused)
assert not tape.tracks
torch.testing.assert_close(whole(x)[0], before)
program = torch.compile(layer, backend="eager")
with gw.record(program, grad=True) as tape:
    program(x)[0].sum().backward()
torch.testing.assert_close(tape["h"], before.detach())
assert tape.grad["c"].any()
with gw.clamp(program, h=0.0):
    assert not program(x)[0].any()
torch.testing.assert_close(program(x)[0], before)
"""


@pytest.mark.slow
def test_a_compiled_model_refuses_or_runs_plainly():
    """In a process of its own: Dynamo cannot look through the checks of types that tests put around backends."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)
