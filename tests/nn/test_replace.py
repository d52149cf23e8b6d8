"""gw.replace: ours in torch's place, with the same parameters, in any model."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

import gatewright as gw
from tolerances import assert_close

T, B, I, H = 5, 3, 4, 6
OURS = (gw.LSTM, gw.GRU, gw.RNN)
# torch says once a process that oneDNN knows no projections.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


class Encoder(nn.Module):
    """A model with recurrences at several depths, two of them the same module."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.LSTM(I, H, 2, dropout=0.3), nn.GRU(H, H, bidirectional=True)])
        self.head = nn.ModuleDict({"last": nn.Sequential(nn.RNN(2 * H, I, nonlinearity="relu", bias=False))})
        self.again = self.layers[0]
        self.out = nn.Linear(I, 2)

    def forward(self, x):
        for layer in self.layers:
            x, _ = layer(x)
        x, _ = self.head["last"](x)
        x, _ = self.again(x)
        return x


def recurrences(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, (nn.RNNBase, *OURS))]


def test_a_nested_model():
    model = Encoder().eval()
    x = torch.randn(T, B, I)
    expected, parameters = model(x), dict(model.named_parameters())
    replaced = gw.replace(model)
    assert replaced is model
    assert [type(m) for m in recurrences(model)] == [gw.LSTM, gw.GRU, gw.RNN]
    assert_close(model(x), expected, 1e-6)
    assert {name: id(p) for name, p in model.named_parameters()} == {name: id(p) for name, p in parameters.items()}
    assert model.again is model.layers[0], "what was one module is one module"


OPTIONS = [
    (nn.LSTM, {"proj_size": 2, "bias": False}),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    (nn.GRU, {"num_layers": 2, "dropout": 0.5}),
    (nn.RNN, {"nonlinearity": "relu", "dtype": torch.float64}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_the_model_itself(kind, options):
    theirs = kind(I, H, **options).eval()
    x = torch.randn(T, B, I, dtype=options.get("dtype"))
    expected = theirs(x)[0]
    ours = gw.replace(theirs)
    assert type(ours) in OURS and not ours.training
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for field in ("mode", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert_close(ours(x)[0], expected, 1e-6)
    assert ours.weight_hh_l0 is theirs.weight_hh_l0


def test_nothing_to_do():
    model = nn.Sequential(nn.Linear(I, H), gw.LSTM(H, H))
    before = list(model)
    assert gw.replace(model) is model
    assert list(model) == before


def test_training_goes_on():
    """An optimiser with momentum does what it would have done."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.LSTM(I, H))
    twin = copy.deepcopy(model)
    optimisers = [torch.optim.AdamW(m.parameters(), lr=0.05) for m in (model, twin)]
    x, wanted = torch.randn(T, B, I), torch.randn(T, B, H)
    losses: list[list[float]] = [[], []]
    for update in range(6):
        if update == 3:
            gw.replace(model)
        for m, optimiser, found in zip((model, twin), optimisers, losses, strict=True):
            optimiser.zero_grad()
            loss = (m[0](x)[0] - wanted).pow(2).mean()
            loss.backward()
            optimiser.step()
            found.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0][-1] < losses[0][0]
    assert type(model[0]) is gw.LSTM


@pytest.mark.parametrize("training", [True, False])
def test_training_flags_are_kept(training):
    model = Encoder().train(training)
    model.layers[1].train(not training)
    gw.replace(model)
    assert [m.training for m in recurrences(model)] == [training, not training, training]


def test_frozen_and_tied_weights_stay_so():
    model = nn.ModuleList([nn.LSTM(I, H), nn.LSTM(I, H, 2)])
    model[1].weight_ih_l0 = model[0].weight_ih_l0  # between two modules
    model[1].weight_hh_l1 = model[1].weight_hh_l0  # and within one
    model[0].bias_hh_l0.requires_grad_(False)
    x = torch.randn(T, B, I)
    expected = model[1](x)[0]
    gw.replace(model)
    assert model[1].weight_ih_l0 is model[0].weight_ih_l0
    assert model[1].weight_hh_l1 is model[1].weight_hh_l0
    assert not model[0].bias_hh_l0.requires_grad
    assert_close(model[1](x)[0], expected, 1e-6)


def test_hooks_are_kept_and_can_be_removed():
    model = nn.Sequential(nn.GRU(I, H))
    seen = []
    handles = [
        model[0].register_forward_hook(lambda module, args, out: seen.append("after")),
        model[0].register_forward_hook(lambda module, args, kwargs, out: seen.append(tuple(kwargs)), with_kwargs=True),
        model[0].register_forward_pre_hook(lambda module, args: seen.append("before")),
        model[0].register_full_backward_hook(lambda module, given, out: seen.append("backward")),
    ]
    gw.replace(model)
    x = torch.randn(T, B, I, requires_grad=True)
    model[0](x, hx=torch.zeros(1, B, H))[0].sum().backward()
    assert seen == ["before", "after", ("hx",), "backward"]
    for handle in handles:
        handle.remove()
    model[0](x)
    assert len(seen) == 4


class Mine(nn.LSTM):
    """It may do something else."""


def test_subclasses_are_left_with_a_warning():
    model = nn.Sequential(nn.ModuleDict({"mine": Mine(I, H)}), nn.GRU(I, H))
    with pytest.warns(UserWarning, match=r"replace: 0\.mine is a Mine, a subclass of torch's: left as it is"):
        gw.replace(model)
    assert type(model[0]["mine"]) is Mine and type(model[1]) is gw.GRU
    itself = Mine(I, H)
    with pytest.warns(UserWarning, match="replace: the model is a Mine, a subclass of torch's: left as it is"):
        assert gw.replace(itself) is itself


def test_computed_weights_are_left_with_a_warning():
    """Weight norm in its old form puts a tensor where the parameter was."""
    model = nn.Sequential(nn.GRU(I, H))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have the new form, which makes a subclass
        nn.utils.weight_norm(model[0], "weight_hh_l0")
    with pytest.warns(UserWarning, match="replace: 0 has weights that are computed from others: left as it is"):
        gw.replace(model)
    assert type(model[0]) is nn.GRU


def test_dropout_on_one_layer_does_not_warn_again():
    with pytest.warns(UserWarning, match="dropout"):
        model = nn.Sequential(nn.LSTM(I, H, dropout=0.5))
    assert gw.replace(model)[0].dropout == 0.5


def test_packed_sequences_go_through():
    model = nn.Sequential(nn.LSTM(I, H))
    packed = nn.utils.rnn.pack_sequence([torch.randn(n, I) for n in (2, 5, 3)], enforce_sorted=False)
    expected, (h, _) = model[0](packed)
    found, (mine, _) = gw.replace(model)[0](packed)
    assert_close(found.data, expected.data, 1e-6)
    assert_close(mine, h, 1e-6)
