"""The AWD-LSTM recipe: what each part does, and that a run with all of them is resumed bit for bit."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gatewright as gw
from gatewright.tasks import LanguageModel, LanguageSettings, SettingsError, trainer
from gatewright.tasks.averaging import Average, triggered
from gatewright.tasks.language.job import drawn_starts
from gatewright.tasks.language.network import LanguageNetwork
from gatewright.tasks.language.settings import RECIPES, with_recipe
from gatewright.tasks.progress import Silent
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.settings import TrainingSettings

AWD: dict[str, Any] = {"recipe": "awd", "hidden_size": 12, "embedding_size": 8, "batch_size": 4, "steps": 8}


def network(**settings: Any) -> LanguageNetwork:
    torch.manual_seed(0)
    made = {"hidden_size": 10, "tokenizer": "words", "dropout": 0.0, **settings}
    return LanguageNetwork(gw.cells.lstm, 30, LanguageSettings(**made))


def tokens(steps: int = 12, rows: int = 3) -> torch.Tensor:
    return torch.randint(30, (steps, rows), generator=torch.Generator().manual_seed(1))


# -- the network ---------------------------------------------------------------------------------------------------


def test_the_last_layer_has_the_embeddings_width() -> None:
    model = LanguageModel(**AWD, num_layers=3)
    made = model.make_network(model.cell, model.settings, {"tokenizer": {"kind": "bytes"}})
    first, last = (m for m in made.modules() if isinstance(m, gw.Recurrent))
    assert (first.input_size, first.hidden_size, first.num_layers) == (8, 12, 2)
    assert (last.input_size, last.hidden_size, last.num_layers) == (12, 8, 1)
    assert made.matrix is made.embedding.weight
    assert made.matrix.shape == (256, 8)


def test_layers_of_two_widths_go_on_from_a_state_and_step_by_step() -> None:
    made = network(last_size=6, num_layers=2).eval()
    whole, state = made(tokens())
    first, carried = made(tokens()[:5])
    second, carried = made(tokens()[5:], carried)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    one, _ = made.step(tokens()[5], made(tokens()[:5])[1])
    torch.testing.assert_close(one, whole[5])
    torch.testing.assert_close(carried, state)


@pytest.mark.parametrize(
    ("kind", "alike"), [("locked", True), ("fresh", False)], ids=["once an update", "at each step"]
)
@pytest.mark.parametrize("where", ["dropout_embedding", "dropout_output", "dropout_between"])
def test_locked_dropout_is_one_mask_for_all_steps(where: str, kind: str, alike: bool) -> None:
    made = network(**{where: 0.5, "dropout_kind": kind}, num_layers=2).train()
    seen: list[torch.Tensor] = []
    if where == "dropout_embedding":
        made.recurrent.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    elif where == "dropout_output":
        made.logits = lambda y: seen.append(y) or y  # type: ignore[method-assign]
    else:
        assert (made.recurrent.dropout, made.recurrent.dropout_kind) == (0.5, kind)
        return
    made(tokens())
    zero = seen[0] == 0
    assert 0.2 < zero.float().mean() < 0.8
    assert bool((zero == zero[:1]).all()) is alike


def test_a_dropped_word_is_dropped_everywhere() -> None:
    made = network(dropout_words=0.5).train()
    vectors = made.embedding(tokens(40, 4))
    gone = (vectors == 0).all(-1)
    ids = tokens(40, 4)
    for word in ids.unique():
        assert len(gone[ids == word].unique()) == 1
    assert 0.1 < gone.float().mean() < 0.9
    assert not (made.eval().embedding(ids) == 0).all(-1).any()


def test_weights_are_dropped_in_training_alone() -> None:
    made = network(weight_drop=0.5)
    one, two = (made.train()(tokens())[0] for _ in range(2))
    assert not torch.equal(one, two)
    assert torch.equal(made.eval()(tokens())[0], network().eval()(tokens())[0])


def test_the_loss_of_targets_is_that_of_the_logits_and_the_penalties_are_the_papers() -> None:
    made = network(activation=2.0, temporal_activation=3.0, dropout_output=0.4).train()
    ids = tokens(13)
    torch.manual_seed(5)
    losses, _ = made(ids[:-1], None, ids[1:])
    torch.manual_seed(5)
    logits, _ = made(ids[:-1])
    whole = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[1:].flatten())
    torch.testing.assert_close(losses.entropy, whole)
    y, _ = made.outputs(ids[:-1])
    torch.manual_seed(5)
    dropped = torch.nn.functional.dropout(y, 0.4)
    wanted = 2 * dropped.square().mean() + 3 * (y[1:] - y[:-1]).square().mean()
    torch.testing.assert_close(losses.penalty, wanted)
    assert network()(ids[:-1], None, ids[1:])[0].penalty is None


def test_penalties_are_trained_on_and_are_no_part_of_the_figures(prose: str) -> None:
    settings: dict[str, Any] = {"hidden_size": 8, "batch_size": 4, "steps": 8, "updates": 1, "dropout": 0.0}
    plain = LanguageModel(**settings).fit(prose)
    penalised = LanguageModel(**settings, activation=5.0).fit(prose)
    assert plain.metrics["best"]["train_loss"] == penalised.metrics["best"]["train_loss"]
    assert plain.metrics["best"]["loss"] != penalised.metrics["best"]["loss"]


# -- windows -------------------------------------------------------------------------------------------------------


def test_windows_are_drawn_as_in_the_paper() -> None:
    starts = drawn_starts(200_000, 70, np.random.default_rng(0))
    lengths = np.diff(starts)
    long = lengths > 52
    assert starts[0] == 0 and starts[-1] < 200_000 and lengths.min() >= 5
    assert np.mean(~long) == pytest.approx(0.05, abs=0.015)
    assert lengths[long].mean() == pytest.approx(69.5, abs=0.5) and lengths[long].std() == pytest.approx(5, abs=0.5)
    assert lengths[~long].mean() == pytest.approx(34.5, abs=1.5)


def test_an_epoch_of_drawn_windows_reads_every_token_once_and_scales_the_rate(
    prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, torch.Tensor, float]] = []
    loss = LanguageModel.job_type.loss

    def watched(self: Any, network: Any, batch: torch.Tensor, carried: Any) -> Any:
        result = loss(self, network, batch, carried)
        seen.append((len(batch) - 1, batch, result.rate))
        return result

    monkeypatch.setattr(LanguageModel.job_type, "loss", watched)
    settings: dict[str, Any] = {"hidden_size": 8, "batch_size": 4, "epochs": 2, "schedule": "constant", "warmup": 0}
    model = LanguageModel(**settings, steps=20, variable_steps=True, learning_rate=0.01, evaluate_every=1).fit(prose)
    assert len({n for n, _, _ in seen}) > 3
    assert all(rate == n / 20 for n, _, rate in seen)
    rates = [row["learning_rate"] for row in model.metrics["history"]]
    assert rates == pytest.approx([0.01 * rate for _, _, rate in seen])
    train, epoch = np.asarray(model.prepared.corpus.train), 0
    epochs: list[list[torch.Tensor]] = [[]]
    for n, batch, _ in seen:
        if sum(len(b) - 1 for b in epochs[-1]) + n > (len(train) - 1) // 4:
            epochs.append([])
        epochs[-1].append(batch)
    for epoch in epochs:
        for before, after in itertools.pairwise(epoch):
            assert torch.equal(before[-1], after[0])
        row = torch.cat([epoch[0][:1], *[b[1:] for b in epoch]])[:, 0].numpy()
        at = next(k for k in range(40) if np.array_equal(train[k : k + len(row)], row))
        assert len(row) - 1 == (len(train) - 1 - at) // 4
    assert [len(b) for b in epochs[0]] != [len(b) for b in epochs[1]]


# -- averaging -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "n", "begins"),
    [
        ([3, 2, 1, 1.5], 1, False),  # better than 3 and 2; the 1 before it does not count
        ([3, 2, 1, 1.5, 1.2], 1, True),
        ([3, 2, 1, 1.5, 1.2], 2, False),
        ([3, 2, 1, 1.5, 1.2, 1.1], 2, True),
        ([3, 2, 1, 1.5, 0.9], 1, False),
        ([1, 2], 1, False),
        ([1, 2, 3], 1, True),
        ([1, 1, 1, 1], 2, False),
    ],
)
def test_the_trigger_looks_past_the_last_few(losses: list[float], n: int, begins: bool) -> None:
    assert triggered(losses, n) is begins


def test_an_average_is_the_mean_since_it_began() -> None:
    layer = torch.nn.Linear(2, 1)
    average, seen = Average(layer), []
    average.update()
    assert not average.running and average.tree() is None
    average.begin()
    for k in range(5):
        with torch.no_grad():
            layer.weight.fill_(float(k * k))
        average.update()
        seen.append(layer.weight.detach().clone())
    other = Average(layer)
    other.restore(average.tree())
    with other.applied():
        torch.testing.assert_close(layer.weight.detach(), torch.stack(seen).mean(0))
    assert torch.equal(layer.weight, seen[-1])


def awd_run(path: Path, text: Path, **changes: Any) -> LanguageModel:
    settings = {**AWD, "updates": 60, "evaluate_every": 5, "averaging": 1, "learning_rate": 15.0, **changes}
    return LanguageModel(**settings).fit(text, out=path)


def average_of(path: Path) -> Any:
    return RunFolder(path).read()[0]["average"]


def test_averaged_weights_are_what_is_evaluated_and_saved(
    tmp_path: Path, prose_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, seen = iter([2.0, 2.1, 2.5, 1.9, 1.8]), []

    def evaluate(self: Any, fabric: Any) -> dict[str, float]:
        seen.append({name: w.detach().clone() for name, w in self.network.named_parameters()})
        return {"loss": next(losses), "perplexity": 1.0}

    monkeypatch.setattr(LanguageModel.job_type, "evaluate", evaluate)
    model = awd_run(tmp_path / "m", prose_file, updates=25)
    tree = RunFolder(tmp_path / "m").read()[0]
    assert tree["average"]["count"] == 10  # it began at the third evaluation, after 15 updates
    for name, mean in tree["average"]["mean"].items():
        assert torch.equal(seen[-1][name], mean), name
        assert torch.equal(dict(model.network.named_parameters())[name], mean), name
    assert not torch.equal(tree["network"]["embedding.weight"], tree["average"]["mean"]["embedding.weight"])
    assert tree["progress"]["stale"] == 0


class StopAt(Silent):
    def __init__(self, number: int) -> None:
        self.number = number

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        if number == self.number:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("stops", [[8, 21], [44, 51]], ids=["before it averages", "while it averages"])
def test_stopped_and_resumed_is_the_run_that_was_not_stopped(
    stops: list[int], tmp_path: Path, prose_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = awd_run(tmp_path / "whole", prose_file)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make_watcher", lambda *_: StopAt(stops[0]))
        assert awd_run(tmp_path / "parts", prose_file).stopped == "SIGINT"
        patch.setattr(trainer, "make_watcher", lambda *_: StopAt(stops[1]))
        assert LanguageModel.resume(tmp_path / "parts").stopped == "SIGINT"
    resumed = LanguageModel.resume(tmp_path / "parts")
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name]), name
    one, two = average_of(tmp_path / "whole"), average_of(tmp_path / "parts")
    assert one["count"] == two["count"] > 0
    for name, mean in one["mean"].items():
        assert torch.equal(mean, two["mean"][name]), name
    losses = [[row["loss"] for row in m.metrics["history"]] for m in (whole, resumed)]
    assert losses[0] == losses[1]


# -- the recipe ----------------------------------------------------------------------------------------------------


def test_every_part_of_the_recipe_is_a_setting_and_may_be_set() -> None:
    known = LanguageSettings().to_dict() | TrainingSettings().to_dict()
    assert RECIPES["awd"].keys() <= known.keys()
    for name, value in RECIPES["awd"].items():
        assert value != known[name], name  # what is as usual anyway does not belong there
    model = LanguageModel(recipe="awd", weight_drop=0.3, optimizer="adamw", learning_rate=1e-3, minutes=5)
    assert (model.settings.weight_drop, model.settings.activation) == (0.3, 2.0)
    assert (model.training.optimizer, model.training.epochs, model.training.averaging) == ("adamw", None, 5)
    assert model.settings.recipe == "awd"
    assert LanguageModel(recipe="awd").training.epochs == 500


def test_the_last_layer_of_the_recipe_follows_the_sizes_that_are_given() -> None:
    assert with_recipe({"recipe": "awd"})["last_size"] == 400
    assert with_recipe({"recipe": "awd", "hidden_size": 100})["last_size"] == 100
    assert with_recipe({"recipe": "awd", "embedding_size": 64})["last_size"] == 64
    assert with_recipe({"recipe": "awd", "num_layers": 1})["last_size"] is None
    assert with_recipe({"hidden_size": 3}) == {"hidden_size": 3}


def test_a_recipe_that_is_set_later_is_the_recipe() -> None:
    own: dict[str, Any] = {"weight_drop": 0.3, "minutes": 5.0, "hidden_size": 200}
    plain, awd = LanguageModel("gru", **own), LanguageModel("gru", **own, recipe="awd")
    assert (awd.settings.last_size, awd.training.optimizer, awd.training.epochs) == (200, "sgd", None)
    changed = LanguageModel("gru", weight_drop=0.3, hidden_size=200).set_params(recipe="awd", minutes=5.0)
    assert changed.get_params() == awd.get_params()
    assert changed.set_params(recipe="none").get_params() == plain.get_params()
    assert LanguageModel().set_params(**awd.get_params()).get_params() == awd.get_params()
    assert awd.set_params(dropout=0.1).settings.weight_drop == 0.3


def test_a_recipe_survives_cloning_and_loading(tmp_path: Path, prose_file: Path) -> None:
    model = LanguageModel("gru", **AWD, updates=2).fit(prose_file, out=tmp_path / "m")
    assert type(model)(**model.get_params()).get_params() == model.get_params()
    loaded = LanguageModel.load(tmp_path / "m")
    assert loaded.settings == model.settings
    assert loaded.perplexity("the gates are") == model.perplexity("the gates are")
    assert loaded.generate("the ", length=3, seed=0) == model.generate("the ", length=3, seed=0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"recipe": "best"}, "setting recipe: expected none, awd, got 'best'"),
        ({"last_size": 4}, "setting last_size: expected several layers, got num_layers 1; set hidden_size alone"),
        ({"last_size": 4, "num_layers": 2, "projection": 3}, "setting last_size: expected no projection beside it"),
        ({"weight_drop": 1.0}, "setting weight_drop: expected a number from 0 up to"),
        ({"dropout_kind": "wild"}, "setting dropout_kind: expected fresh, locked, got 'wild'"),
        ({"activation": -1.0}, "setting activation: expected a number of at least 0"),
        ({"averaging": -1}, "setting averaging: expected a number of at least 0"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        LanguageModel(**settings)


def test_tied_widths_that_do_not_fit(prose: str) -> None:
    with pytest.raises(
        SettingsError, match="got 5; leave it out, or set last_size to 5 where there are several layers"
    ):
        LanguageModel(tokenizer="words", hidden_size=8, embedding_size=5, batch_size=2).fit(prose)
