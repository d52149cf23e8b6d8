"""The network: padding never counts, what a stream says is what the beginning says, pooling is what it is called."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import gatewright as gw
from gatewright.tasks.classify.network import ClassifyNetwork, Convolution, Pooling
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import SettingsError

CONFIG = {"input": "numbers", "features": ["a", "b", "c"], "mean": [1.0, 2.0, 3.0], "scale": [2.0, 1.0, 0.5]}
CLASSES = CONFIG | {"labels": ["u", "v"], "target": None}
FRONTS = [{}, {"stack": 3}, {"conv_layers": 2, "conv_stride": 2, "conv_kernel": 4}, {"stack": 2, "conv_layers": 1}]
POOLS = ["last", "mean", "max", "attention"]


def network(config: dict[str, Any] | None = None, **settings: Any) -> ClassifyNetwork:
    torch.manual_seed(0)
    made = ClassifyNetwork(gw.cells.lstm, ClassifySettings(hidden_size=5, **settings), config or CLASSES)
    return made.double().eval()


@pytest.mark.parametrize(("front", "pooling"), [*itertools.product(FRONTS, POOLS)])
@pytest.mark.parametrize("normalize", ["data", "sequence"])
def test_what_stands_behind_an_end_never_counts(front: Any, pooling: Any, normalize: Any) -> None:
    made = network(pooling=pooling, normalize=normalize, **front)
    x, lengths = torch.randn(11, 4, 3, dtype=torch.float64), torch.tensor([11, 4, 1, 7])
    whole = made(x, lengths)
    for b, n in enumerate(lengths.tolist()):
        x[n:, b] = 1e6
        alone = made(x[:n, b : b + 1], lengths[b : b + 1])
        torch.testing.assert_close(whole[b], alone[0])
    torch.testing.assert_close(made(x, lengths), whole)


@pytest.mark.parametrize(("front", "pooling"), [*itertools.product(FRONTS, POOLS)])
def test_what_it_says_on_the_way_is_what_it_says_of_the_beginning(front: Any, pooling: Any) -> None:
    made = network(pooling=pooling, bidirectional=False, **front)
    stride = made.settings.stack * made.settings.conv_stride ** len(made.front)
    x = torch.randn(12, 2, 3, dtype=torch.float64)
    logits, ends = made.running(x, torch.tensor([12, 12]))
    assert ends.tolist() == [-(-12 // stride)] * 2
    for k in range(12 // stride):
        seen = stride * k + made.settings.stack  # the samples that step k has read
        torch.testing.assert_close(logits[k], made(x[:seen], torch.tensor([seen, seen])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bidirectional": True}, "bidirectional=False"),
        ({"bidirectional": False, "normalize": "sequence"}, "normalize"),
    ],
)
def test_what_needs_the_end_cannot_be_asked_on_the_way(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        network(**settings).running(torch.zeros(3, 1, 3, dtype=torch.float64), torch.tensor([3]))


def test_pooling_by_hand() -> None:
    y = torch.randn(5, 2, 3)
    lengths = torch.tensor([5, 2])
    pooled = {kind: Pooling(kind, 3, bidirectional=False)(y, lengths) for kind in ("last", "mean", "max")}
    torch.testing.assert_close(pooled["last"], torch.stack([y[4, 0], y[1, 1]]))
    torch.testing.assert_close(pooled["mean"], torch.stack([y[:, 0].mean(0), y[:2, 1].mean(0)]))
    torch.testing.assert_close(pooled["max"], torch.stack([y[:, 0].amax(0), y[:2, 1].amax(0)]))
    attention = Pooling("attention", 3, bidirectional=False)
    weights = attention.score(y[:2, 1]).softmax(0)
    torch.testing.assert_close(attention(y, lengths)[1], (weights * y[:2, 1]).sum(0))


def test_a_causal_convolution_sees_no_future_and_the_other_one_both_sides() -> None:
    for causal, reach in ((True, 0), (False, 2)):
        layer, x = Convolution(3, 4, 5, 1, causal=causal), torch.randn(9, 1, 3)
        before = layer(x, torch.tensor([9]))[0]
        changed = x.clone()
        changed[6] += 1
        differs = (layer(changed, torch.tensor([9]))[0] - before).abs().amax((1, 2)) > 1e-6
        assert differs.nonzero().flatten().tolist() == list(range(6 - reach, 9))


def test_features_are_read_at_mean_0_and_deviation_1() -> None:
    x = torch.tensor([[[3.0, 3.0, 3.5]]], dtype=torch.float64)
    assert network().standard(x, torch.tensor([1])).flatten().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("normalize", ["data", "sequence"])
def test_the_units_of_features_do_not_matter(normalize: Any) -> None:
    x, lengths = torch.randn(9, 2, 3, dtype=torch.float64), torch.tensor([9, 6])
    tiny = CLASSES | {name: [1e-13 * number for number in CLASSES[name]] for name in ("mean", "scale")}
    found = network(tiny, normalize=normalize)(x * 1e-13, lengths)
    torch.testing.assert_close(found, network(normalize=normalize)(x, lengths))


def test_half_precision_begins_behind_the_scales() -> None:
    """1000 ± 0.1 is one number in bfloat16."""
    config = CLASSES | {"mean": [1000.0] * 3, "scale": [0.1] * 3}
    made = network(config).bfloat16()
    found = made.standard(1000 + 0.1 * torch.tensor([-1.0, 0.0, 2.0]).reshape(1, 1, 3), torch.tensor([1]))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float().flatten(), torch.tensor([-1.0, 0.0, 2.0]), atol=0.01, rtol=0)


def test_a_cell_that_adds_its_input_to_its_state_gets_a_map_before_it() -> None:
    settings = ClassifySettings(hidden_size=5)
    plain = ClassifyNetwork(gw.cells.lstm, settings, CLASSES)
    mapped = ClassifyNetwork(gw.cells["sru"], settings, CLASSES)
    assert isinstance(plain.enter, torch.nn.Identity) and isinstance(mapped.enter, torch.nn.Linear)
    assert mapped(torch.randn(4, 2, 3), torch.tensor([4, 2])).shape == (2, 2)
