"""More of what stands around a layer in torch: meta tensors, manifolds, workers, threads, packing, fabric, averages."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, rnn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

import gatewright as gw
from cases import generator
from tolerances import assert_close

T, B, I, H = 5, 4, 3, 6
BACKENDS = ["cpu", "reference"]


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


# -- weights that come later ------------------------------------------------------------------------------

KINDS: dict[str, Any] = {
    "Recurrent": lambda: gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, learned_state=True),
    "LSTM": lambda: gw.LSTM(I, H, 2),
    "LSTMCell": lambda: gw.LSTMCell(I, H),
    "Deep": lambda: gw.Deep.of("gru", I, H, 2, highway=True, norm="pre"),
    "Ensemble": lambda: gw.Ensemble(gw.GRU(I, H), 3),
    "ConvRecurrent": lambda: gw.ConvRecurrent("gru", 2, 3, 3, dims=1),
}


def given_for(kind: str) -> Tensor:
    shapes = {"ConvRecurrent": (T, B, 2, 7), "LSTMCell": (B, I)}
    return torch.randn(shapes.get(kind, (T, B, I)), generator=generator(1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_without_memory_gets_it_later(kind):
    """Made on "meta", given memory by `to_empty`, and then a checkpoint's weights or new ones."""
    with torch.device("meta"):
        layer = KINDS[kind]()
    assert all(p.is_meta for p in layer.parameters())
    layer.to_empty(device="cpu")
    like, x = KINDS[kind](), given_for(kind)
    layer.load_state_dict(like.state_dict())
    assert torch.equal(layer(x)[0], like(x)[0])
    for p in layer.parameters():
        nn.init.constant_(p, torch.nan)
    for module in layer.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert layer(x)[0].isfinite().all()


def test_shapes_alone():
    """On "meta" the reference gives shapes; the kernels say that they cannot run there."""
    x = torch.empty(T, B, I, device="meta")
    y, h = gw.Recurrent("gru", I, H, device="meta")(x)
    assert y.is_meta and y.shape == (T, B, H) and h.shape == (1, B, H)
    with pytest.raises(ValueError, match="cannot run on meta"):
        gw.Recurrent("gru", I, H, device="meta", backend="cpu")(x)


# -- manifolds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_weight_stays_orthogonal_in_training(backend):
    layer = gw.RNN(I, H, backend=backend, dtype=torch.float64)
    parametrizations.orthogonal(layer, "weight_hh_l0")
    optimiser, x = torch.optim.SGD(layer.parameters(), 0.3), sample(T, B, I)
    before = layer.weight_hh_l0.detach().clone()
    for _ in range(3):
        optimiser.zero_grad()
        layer(x)[0].square().sum().backward()
        optimiser.step()
    U = layer.weight_hh_l0
    assert isinstance(U, Tensor) and not torch.allclose(U, before)
    assert_close(U @ U.T, torch.eye(H, dtype=torch.float64), 1e-10)
    plain = gw.RNN(I, H, backend="reference", dtype=torch.float64)
    parametrize.remove_parametrizations(layer, "weight_hh_l0")
    plain.load_state_dict(layer.state_dict())
    assert_close(layer(x)[0], plain(x)[0], 1e-12)


class EachGate(nn.Module):
    """A matrix of stacked gates, each of them orthogonal."""

    def forward(self, stacked: Tensor) -> Tensor:
        return torch.cat([torch.linalg.qr(U)[0] for U in stacked.split(stacked.shape[1])])


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_gates_matrix_is_orthogonal(backend):
    layer = gw.Recurrent("peephole_lstm", I, H, backend=backend, dtype=torch.float64)
    parametrize.register_parametrization(layer, "U_l0", EachGate())
    for gate in "ifgo":
        U = layer.weights()[f"U_{gate}"]
        assert_close(U @ U.T, torch.eye(H, dtype=torch.float64), 1e-10, gate)
    layer(sample(T, B, I))[0].sum().backward()
    assert layer.parametrizations.U_l0.original.grad.any()


# -- processes and threads ------------------------------------------------------------------------------


class Encoded(Dataset):
    """Sequences as a recurrent layer sees them: its kernels run in the loader's workers."""

    def __init__(self, backend: str):
        self.layer = gw.GRU(I, H, backend=backend).eval()
        self.xs = torch.randn(6, T, I, generator=generator(2))

    def __len__(self) -> int:
        return len(self.xs)

    def __getitem__(self, i: int) -> Tensor:
        with torch.no_grad():
            return self.layer(self.xs[i])[0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_loader_run_kernels(context):
    """Forked behind a call that used threads, and spawned, which pickles the layer."""
    torch.set_num_threads(2)
    data = Encoded("cpu")
    gw.LSTM(64, 128)(torch.randn(20, 32, 64))  # so that there are threads that a fork would lose
    with torch.no_grad():
        expected = data.layer(data.xs.transpose(0, 1))[0].transpose(0, 1)
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context=context)
    torch.testing.assert_close(torch.cat(list(loader)), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_threads_train_through_one_layer(backend):
    """Forward and backward at the same time: gradients come from `autograd.grad`, so nothing is shared but weights."""
    layer = gw.Recurrent("peephole_lstm", I, H, backend=backend, dtype=torch.float64)
    xs = [sample(T, B, I, seed=k) for k in range(2)]

    def gradients(x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters())))

    expected = [gradients(x) for x in xs]
    found: dict[int, list[list[Tensor]]] = {0: [], 1: []}
    threads = [
        threading.Thread(target=lambda k=k: [found[k].append(gradients(xs[k])) for _ in range(10)]) for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, each in found.items():
        assert len(each) == 10
        for mine in each:
            for g, wanted in zip(mine, expected[k], strict=True):
                assert_close(g, wanted, 1e-12)


# -- helpers of torch -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_helpers_of_torch_for_sequences(backend, enforce_sorted):
    """pack_sequence, pad_packed_sequence, pad_sequence, unpad_sequence (which turns what it is given, in place)."""
    layer = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, backend=backend, dtype=torch.float64)
    sizes = (5, 3, 1) if enforce_sorted else (3, 5, 1)
    sequences = [sample(n, I, seed=n) for n in sizes]
    packed, state = layer(rnn.pack_sequence(sequences, enforce_sorted=enforce_sorted))
    padded, lengths = rnn.pad_packed_sequence(packed)
    y, final = layer(rnn.pad_sequence(sequences), lengths=lengths)
    assert_close(padded, y, 1e-12)
    for mine, expected in zip(state, final, strict=True):
        assert_close(mine, expected, 1e-12)
    for mine, alone in zip(rnn.unpad_sequence(y.clone(), lengths), sequences, strict=True):
        assert_close(mine, layer(alone)[0], 1e-12)
    for mine, expected in zip(rnn.unpack_sequence(packed), rnn.unpad_sequence(y.clone(), lengths), strict=True):
        assert_close(mine, expected, 1e-12)


def test_an_average_of_models():
    layer, x = gw.Recurrent("gru", I, H, dtype=torch.float64), sample(T, B, I)
    average = AveragedModel(layer)
    for k in range(3):
        with torch.no_grad():
            for p in layer.parameters():
                p.fill_(k / 10)
        average.update_parameters(layer)
    with torch.no_grad():
        for p in layer.parameters():
            p.fill_(0.1)
    assert_close(average(x)[0], layer(x)[0], 1e-12)


def test_saved_values_may_wait_elsewhere():
    layer, x = gw.Recurrent("peephole_lstm", I, H, dtype=torch.float64), sample(T, B, I)
    expected = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    with torch.autograd.graph.save_on_cpu():
        y = layer(x)[0]
    with torch.autograd.set_detect_anomaly(True):
        found = torch.autograd.grad(y.sum(), list(layer.parameters()))
    for mine, wanted in zip(found, expected, strict=True):
        assert_close(mine, wanted, 1e-12)


@pytest.mark.filterwarnings("ignore")
def test_fabric_sets_a_layer_up():
    fabric_of = pytest.importorskip("lightning_fabric").Fabric
    fabric = fabric_of(accelerator="cpu", devices=1)
    layer = gw.LSTM(I, H)
    model, optimiser = fabric.setup(layer, torch.optim.SGD(layer.parameters(), 0.1))
    before = layer.weight_hh_l0.detach().clone()
    y, _ = model(torch.randn(T, B, I), lengths=torch.tensor([5, 0, 2, 1]))
    fabric.backward(y.square().sum())
    optimiser.step()
    assert not torch.equal(layer.weight_hh_l0, before)


# -- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["script", "symbolic_trace"])
def test_torchscript_and_fx_are_refused_by_torch(way):
    """As the page says; `torch.export` is what takes their place."""
    tried = {"script": torch.jit.script, "symbolic_trace": torch.fx.symbolic_trace}[way]
    with pytest.raises((RuntimeError, TypeError)):
        tried(nn.Sequential(gw.LSTM(I, H)))
