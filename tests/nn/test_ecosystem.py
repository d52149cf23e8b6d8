"""What stands around a layer in torch: processes, saved programs, files, parametrisations, checkpoints, optimisers."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

import gatewright as gw
from cases import generator
from tolerances import assert_close

T, B, I, H = 5, 4, 3, 6
BACKENDS = ["cpu", "reference"]
OPTIONS: dict[str, Any] = {"recurrent_dropout": 0.2, "zoneout": 0.2, "weight_drop": 0.2, "dropout": 0.3}


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def layer_of(name: str = "peephole_lstm", backend: str = "cpu", **options) -> gw.Recurrent:
    torch.manual_seed(5)
    return gw.Recurrent(name, I, H, 2, bidirectional=True, backend=backend, dtype=torch.float64, **options)


def gradients(model: nn.Module, x: Tensor, run=None) -> dict[str, Tensor]:
    y, *_ = (run or model)(x)
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad((y * sample(*y.shape, seed=9)).sum(), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert_close(value, expected[name], tolerance, name)


def run_each(*sources: str, folder: Path) -> None:
    """New processes, at the same time; each is given the folder."""
    begun = [
        subprocess.Popen([sys.executable, "-c", s, str(folder)], stderr=subprocess.PIPE, text=True) for s in sources
    ]
    said = [p.communicate(timeout=120)[1] for p in begun]
    assert [p.returncode for p in begun] == [0] * len(begun), "\n".join(said)


# -- other processes -------------------------------------------------------------------------------------

MODEL = """
import sys, torch
from torch import nn
import gatewright as gw

class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.below = gw.Recurrent("peephole_lstm", 3, 6, 2, bidirectional=True, recurrent_dropout=0.1)
        self.middle = gw.GRU(12, 5)
        self.above = nn.Linear(5, 2)

    def forward(self, x, lengths):
        y, _ = self.below(x, lengths=lengths)
        y, h = self.middle(y, lengths=lengths)
        return self.above(y), h
"""

EXPORTS = (
    MODEL
    + """
T, B = torch.export.Dim("T"), torch.export.Dim("B")
model = Tagger().eval()
given = torch.randn(4, 3, 3), torch.tensor([4, 0, 2])
program = torch.export.export(model, given, dynamic_shapes=({0: T, 1: B}, {0: B}))
torch.export.save(program, sys.argv[1] + "/model.pt2")
runs = []
for steps, batch in ((4, 3), (9, 2), (2, 7)):
    x, lengths = torch.randn(steps, batch, 3), torch.randint(0, steps + 1, (batch,))
    runs.append((x, lengths, *model(x, lengths)))
torch.save(runs, sys.argv[1] + "/runs.pt")
"""
)

RUNS = """
import sys, torch, gatewright
program = torch.export.load(sys.argv[1] + "/model.pt2")
called = [n for n in program.graph.nodes if n.target is torch.ops.gatewright.cpu_forward.default]
assert len(called) == 5, "every direction of every layer is one node"
assert all("i_t = σ(W_i x_t + U_i h_{t-1} + b_i + p_i ⊙ c_{t-1})" in n.args[0] for n in called[:4]), called[0].args
for x, lengths, *expected in torch.load(sys.argv[1] + "/runs.pt"):
    for mine, theirs in zip(program.module()(x, lengths), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
"""


@pytest.mark.slow
def test_a_program_with_any_time_and_batch_runs_in_another_process(tmp_path):
    run_each(EXPORTS, folder=tmp_path)
    run_each(RUNS, folder=tmp_path)


DISTRIBUTED = (
    MODEL
    + """
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

rank, folder = {rank}, sys.argv[1]
dist.init_process_group("gloo", init_method="file://" + folder + "/meet", rank=rank, world_size=2)
torch.manual_seed(1)
x, lengths, target = torch.randn(7, 6, 3), torch.tensor([7, 2, 0, 5, 7, 1]), torch.randn(7, 6, 2)
model = Tagger().eval()  # without random masks, which differ
spread = DistributedDataParallel(Tagger().eval())
first, second = (torch.optim.SGD(m.parameters(), 0.1) for m in (model, spread))
own = slice(rank, None, 2)
for _ in range(3):
    for m, optimiser, part in ((model, first, slice(None)), (spread, second, own)):
        optimiser.zero_grad()
        y, h = m(x[:, part], lengths[part])
        ((y - target[:, part]).square().mean() + h.square().mean()).backward()
        optimiser.step()
for (name, p), q in zip(model.named_parameters(), spread.module.parameters(), strict=True):
    torch.testing.assert_close(p.grad, q.grad, msg=lambda m: name + m)
    torch.testing.assert_close(p, q, msg=lambda m: name + m)
dist.destroy_process_group()
"""
)


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    """DistributedDataParallel over gloo: half of a batch each gives the steps of the whole batch."""
    run_each(*(DISTRIBUTED.format(rank=rank) for rank in (0, 1)), folder=tmp_path)


def test_shared_memory():
    layer, x = layer_of().share_memory(), sample(T, B, I)
    assert all(p.is_shared() for p in layer.parameters())
    assert torch.equal(layer(x)[0], layer_of()(x)[0])


# -- copies and files ------------------------------------------------------------------------------------

KINDS = {
    "Recurrent": lambda: gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, learned_state=True),
    "LSTM": lambda: gw.LSTM(I, H, 2, proj_size=2),
    "Deep": lambda: gw.Deep([gw.Recurrent("mgu", I, H), nn.Linear(H, H), gw.GRU(H, H)], residual=True),
    "Ensemble": lambda: gw.Ensemble(gw.Recurrent("slstm", I, H), 2),
    "ConvRecurrent": lambda: gw.ConvRecurrent("gru", 2, 3, kernel_size=3),
}


def given_for(kind: str) -> Tensor:
    return torch.randn(T, 2, 2, 4, 4) if kind == "ConvRecurrent" else torch.randn(T, B, I)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_can_be_copied_and_saved(kind, tmp_path):
    layer, x = KINDS[kind](), given_for(kind)
    y = layer(x)[0]
    torch.save(layer, tmp_path / "whole.pt")
    torch.save(layer.state_dict(), tmp_path / "weights.pt")
    save_file(layer.state_dict(), tmp_path / "weights.safetensors")
    whole = torch.load(tmp_path / "whole.pt", weights_only=False)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), whole):
        assert torch.equal(twin(x)[0], y)
    for weights in (
        torch.load(tmp_path / "weights.pt", weights_only=True),
        load_file(tmp_path / "weights.safetensors"),
    ):
        other = KINDS[kind]()
        assert not torch.equal(other(x)[0], y)
        assert other.load_state_dict(weights) == ([], [])
        assert torch.equal(other(x)[0], y)
    meta = KINDS[kind]().to("meta")
    meta.load_state_dict(load_file(tmp_path / "weights.safetensors"), assign=True)
    assert torch.equal(meta(x)[0], y)


# -- computed weights ------------------------------------------------------------------------------------

COMPUTED = {
    "weight_norm": lambda layer, name: parametrizations.weight_norm(layer, name),
    "spectral_norm": lambda layer, name: parametrizations.spectral_norm(layer, name),
    "pruned": lambda layer, name: prune.l1_unstructured(layer, name, amount=0.5),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", COMPUTED)
def test_a_computed_weight_is_the_one_that_runs(how, backend):
    layer, x = layer_of(backend=backend), sample(T, B, I)
    before = layer(x)[0]
    COMPUTED[how](layer, "U_l0")
    layer.eval()  # the spectral norm iterates in training
    y = layer(x)[0]
    plain = layer_of(backend="reference").eval()
    assert isinstance(layer.U_l0, Tensor)
    with torch.no_grad():
        plain.get_parameter("U_l0").copy_(layer.U_l0)
    assert_close(y, plain(x)[0], 1e-12)
    assert how == "weight_norm" or not torch.equal(y, before)
    for name, gradient in gradients(layer, x).items():
        assert gradient.isfinite().all() and gradient.any(), name
    if how == "pruned":
        assert not gradients(layer, x)["U_l0_orig"][layer.U_l0 == 0].any()
        prune.remove(layer, "U_l0")
    else:
        parametrize.remove_parametrizations(layer, "U_l0")
    assert_close(layer(x)[0], y, 1e-12)


# -- training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpointing_draws_the_same_again(backend, reentrant):
    layer, x = layer_of(backend=backend, **OPTIONS), sample(T, B, I).requires_grad_()
    torch.manual_seed(3)
    expected = gradients_in_backward(layer, x, layer)
    torch.manual_seed(3)
    found = gradients_in_backward(layer, x, lambda x: checkpoint(layer, x, use_reentrant=reentrant))
    assert_same(found, expected, 1e-12)


def gradients_in_backward(layer: nn.Module, x: Tensor, run) -> dict[str, Tensor]:
    layer.zero_grad()
    x.grad = None
    y, _ = run(x)
    (y * sample(*y.shape, seed=9)).sum().backward()
    assert x.grad is not None
    return {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None} | {"x": x.grad}


OPTIMISERS = {
    "plain": lambda p: torch.optim.Adam(p, 0.01, foreach=False),
    "foreach": lambda p: torch.optim.Adam(p, 0.01, foreach=True),
    "fused": lambda p: torch.optim.Adam(p, 0.01, fused=True),
}


@pytest.mark.parametrize("way", OPTIMISERS)
def test_optimisers_in_every_way(way):
    """The kernels see each step's weights; a clipped gradient is as long as was said."""
    layer, twin, x = layer_of(), layer_of(backend="reference"), sample(T, B, I)
    for model, make in ((layer, OPTIMISERS[way]), (twin, OPTIMISERS["plain"])):
        optimiser = make(model.parameters())
        for _ in range(3):
            optimiser.zero_grad(set_to_none=True)
            model(x)[0].square().sum().backward()
            clip_grad_norm_(model.parameters(), 0.5)
            length = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
            assert float(length) == pytest.approx(0.5, rel=1e-4)
            optimiser.step()
    assert_same(dict(layer.named_parameters()), dict(twin.named_parameters()), 1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hooks_of_every_kind_are_called(backend):
    layer, x, seen = layer_of(backend=backend), sample(T, B, I).requires_grad_(), []
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    layer.register_forward_hook(lambda *_: seen.append("behind"))
    layer.register_full_backward_hook(lambda _, given, __: seen.append(given[0].shape))
    weights, plain = dict(layer.named_parameters()), layer_of(backend=backend)
    weights["U_l1_reverse"].register_hook(lambda g: seen.append("weight") or 2 * g)
    weights["U_l0"].register_post_accumulate_grad_hook(lambda p: seen.append("gathered"))
    layer(x)[0].sum().backward()
    assert seen[:2] == ["before", "behind"] and {"weight", "gathered", x.shape} <= set(seen[2:])
    plain(x)[0].sum().backward()
    doubled, once = weights["U_l1_reverse"].grad, dict(plain.named_parameters())["U_l1_reverse"].grad
    assert doubled is not None and once is not None
    assert_close(doubled, 2 * once, 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inference_mode(backend):
    layer, x = layer_of(backend=backend), sample(T, B, I)
    with torch.inference_mode():
        y = layer(x)[0]
    assert y.is_inference() and torch.equal(y, layer(x)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_frozen_weights_and_gradients_that_gather(backend):
    layer, x = layer_of(backend=backend), sample(T, B, I)
    expected = gradients(layer, x)
    layer.W_l0.requires_grad_(False)
    for _ in range(2):
        y = layer(x)[0]
        (y * sample(*y.shape, seed=9)).sum().backward()
    assert layer.W_l0.grad is None
    for name, p in layer.named_parameters():
        if name != "W_l0":
            assert p.grad is not None
            assert_close(p.grad, 2 * expected[name], 1e-12, name)
