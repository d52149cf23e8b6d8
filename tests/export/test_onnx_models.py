"""Models around recurrent layers: lists of modules, stacks, and modules of the user's own."""

import pytest
import torch
from onnx_runs import assert_same, compare, flat, run, with_random_weights
from torch import nn
from torch.nn import functional as F

import gatewright as gw

T, B = 7, 3
LENGTHS = torch.tensor([7, 0, 3])


def test_modules_one_after_the_other(tmp_path):
    """Of a recurrent layer the output goes on."""
    first, second = gw.Recurrent("lstm", 6, 5, backend="reference"), gw.Recurrent("janet", 5, 5, backend="reference")
    between = nn.Sequential(nn.LayerNorm(5), nn.Dropout(0.5))
    model = nn.Sequential(nn.Embedding(11, 6), gw.LockedDropout(), first, between, second, nn.Linear(5, 2))
    with_random_weights(model).eval()
    tokens = torch.randint(11, (T, B))
    report = gw.export.onnx(model, tmp_path / "m", lengths=True)
    assert report.inputs == ("tokens", "lengths")
    assert report.outputs == ("y", "2.h_n", "2.c_n", "4.h_n")
    assert report.nodes == ("LSTM", "Scan")
    with torch.no_grad():
        y, (h, c) = first(model[0](tokens), lengths=LENGTHS)
        y, last = second(between(y), lengths=LENGTHS)
        assert_same(run(report.path, tokens, LENGTHS), [model[5](y), h, c, last])


MODULES = [
    nn.Tanh(), nn.Sigmoid(), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.3, 0.4), nn.LeakyReLU(0.2), nn.ELU(0.7),
    nn.Softplus(), nn.Softplus(beta=2.0), nn.Softsign(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Softmax(-1),
    nn.LogSoftmax(1), nn.LayerNorm(4), nn.LayerNorm((3, 4)), nn.LayerNorm(4, elementwise_affine=False),
    nn.LayerNorm(4, bias=False), nn.RMSNorm(4), nn.RMSNorm(4, eps=0.1, elementwise_affine=False), nn.Identity(),
    nn.Linear(4, 2, bias=False),
]  # fmt: skip


CASES = [(module, dtype) for module in MODULES for dtype in (torch.float32, torch.float64)]
CASES = [case for case in CASES if str(case) != str((nn.GELU(), torch.float64))]  # ONNX Runtime has no such Erf


@pytest.mark.parametrize(("module", "dtype"), CASES, ids=str)
def test_a_module(module, dtype, tmp_path):
    model = with_random_weights(nn.Sequential(nn.Linear(5, 4), module)).to(dtype)
    x = torch.randn(6, 3, 5, dtype=dtype)
    gw.export.onnx(model, tmp_path / "m")
    with torch.no_grad():
        assert_same(run(tmp_path / "m", x), [model(x)])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("options", [
    {"residual": True, "norm": "pre"}, {"highway": True, "norm": "post"}, {"residual": True, "dropout": 0.5}, {},
], ids=str)  # fmt: skip
def test_deep(options, batch_first, tmp_path):
    how = {"batch_first": batch_first, "backend": "reference"}
    layers = [
        gw.Recurrent("lstm", 6, 6, **how),
        gw.Recurrent("gru", 6, 8, bidirectional=True, merge="sum", **how),
        nn.Linear(8, 6),
        nn.Tanh(),
        gw.Recurrent("mgu", 6, 6, **how),
    ]
    deep = with_random_weights(gw.Deep(layers, **options))
    x = torch.randn(*((B, T) if batch_first else (T, B)), 6)
    reset = torch.rand(x.shape[:2]) < 0.3
    assert compare(deep, tmp_path / "m", (x,), lengths=LENGTHS).nodes == ("LSTM", "GRU", "Scan")
    compare(deep, tmp_path / "m", (x,), lengths=LENGTHS, reset=reset)


# -- modules of the user's own ---------------------------------------------------------------------------------


class Tagger(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.recurrent = gw.Recurrent(
            cell, 6, 5, 2, bidirectional=True, batch_first=True, dropout=0.5, backend="reference"
        )
        self.head = nn.Linear(10, 4)

    def forward(self, tokens, lengths):
        y, _ = self.recurrent(F.dropout(self.embedding(tokens), 0.5, self.training), lengths=lengths)
        return F.log_softmax(self.head(F.relu(y) + y * 2), dim=-1)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent = gw.LSTM(6, 5, backend="reference")
        self.head = nn.Sequential(nn.LayerNorm(10), nn.Linear(10, 4), nn.GELU())

    def forward(self, x, start=None):
        y, (h, c) = self.recurrent(x) if start is None else self.recurrent(x, start)
        return self.head(torch.cat([y[-1], h[-1]], -1)), c


class Carrying(nn.Module):
    def __init__(self):
        super().__init__()
        self.lower = gw.LSTM(6, 5, batch_first=True, backend="reference")
        self.upper = gw.GRU(5, 4, batch_first=True, backend="reference")

    def forward(self, x, state, h, reset):
        y, state = self.lower(x, state, reset=reset)
        y, h = self.upper(y, h)
        return {"y": y[:, -1], "state": (state, h), "mean": y[..., 1:3].mean(1)}


def compare_own(model, path, *given):
    with_random_weights(model)
    report = gw.export.onnx(model.train(), path)
    assert model.training
    model.eval()
    with torch.no_grad():
        expected = model(*given)
    expected = list(expected.values()) if isinstance(expected, dict) else expected
    assert_same(run(path, *flat(given)), flat(expected))
    return report


@pytest.mark.parametrize("cell", ["lstm", "mgu"])
def test_a_tagger(cell, tmp_path):
    report = compare_own(Tagger(cell), tmp_path / "m", torch.randint(11, (B, T)), LENGTHS)
    assert report.inputs == ("tokens", "lengths")
    assert report.outputs == ("y",)


def test_a_classifier_that_keeps_its_default(tmp_path):
    report = compare_own(Classifier(), tmp_path / "m", torch.randn(T, B, 6))
    assert (report.inputs, report.outputs) == (("x",), ("y_0", "y_1"))


def test_states_that_are_carried(tmp_path):
    state = torch.randn(1, B, 5), torch.randn(1, B, 5)
    given = torch.randn(B, T, 6), state, torch.randn(1, B, 4), torch.rand(B, T) < 0.3
    report = compare_own(Carrying(), tmp_path / "m", *given)
    assert report.inputs == ("x", "state.h", "state.c", "h", "reset")
    assert report.nodes == ("Scan", "GRU")


def test_tied_weights_of_a_language_model(tmp_path):
    from gatewright.tasks import LanguageSettings
    from gatewright.tasks.language.network import LanguageNetwork

    network = LanguageNetwork(gw.cells.lstm, 20, LanguageSettings(hidden_size=16))
    compare_own(network, tmp_path / "m", torch.randint(20, (T, B)))


# -- what cannot be exported -----------------------------------------------------------------------------------


class Sums(Classifier):
    def forward(self, x):
        return torch.cumsum(self.recurrent(x)[0], 0)


class Branches(Classifier):
    def forward(self, x):
        y, _ = self.recurrent(x)
        return y if y.sum() > 0 else -y


class Reshapes(Classifier):
    def forward(self, x):
        return self.recurrent(x * 2)[0]


REFUSED = [
    (Sums(), r"forward: expected functions that can be exported, got cumsum; known are abs, add"),
    (Branches(), r"model: expected a forward that does the same whatever its input, .*control flow"),
    (Reshapes(), r"forward, argument x: expected it to go into a recurrent layer.*it goes into .*mul"),
    (nn.Sequential(nn.LSTM(3, 4)), r"got LSTM; gw.replace makes a layer of gatewright of it"),
    (nn.Sequential(nn.Linear(3, 4), nn.Bilinear(3, 4, 5)), r"expected a recurrent layer of .* or one of Linear"),
    (nn.Sequential(nn.Tanh()), r"model: expected weights in float32, or all in float64, got a model without weights"),
    (nn.Sequential(gw.GRU(3, 4), gw.GRU(4, 4, batch_first=True)), r"model: expected batch_first to be the same"),
    (gw.LSTM(3, 4, dtype=torch.bfloat16), r"expected weights in float32, .*got torch.bfloat16; model.float\(\)"),
    (nn.Sequential(nn.Linear(3, 3), nn.Softmax(None)), r"expected a dim, got None"),
]


@pytest.mark.parametrize(("model", "message"), REFUSED, ids=lambda v: type(v).__name__)
def test_models_that_are_refused(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        gw.export.onnx(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_arguments_for_a_module_of_ones_own(tmp_path):
    with pytest.raises(ValueError, match="let forward take lengths and hand them to its layers"):
        gw.export.onnx(Tagger("lstm"), tmp_path / "m", lengths=True)
