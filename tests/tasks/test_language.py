"""The language model: its perplexity is the one computed by hand, and its text is the seed's."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gatewright as gw
from gatewright.tasks import LanguageModel
from gatewright.tasks.errors import SettingsError, TaskError, TextError
from gatewright.tasks.language.sampling import Sampling, choose
from gatewright.tasks.language.score import score

Settings = dict[str, Any]
SHAKESPEARE = Path(__file__).parents[2] / ".." / "shared" / "data" / "tinyshakespeare" / "input.txt"


@pytest.fixture
def model(small: Settings, prose: str) -> LanguageModel:
    return LanguageModel(**small, updates=10, num_layers=2).fit(prose)


def by_hand(model: LanguageModel, text: str) -> float:
    """Nats of every token but the first, one step at a time, in float64."""
    network = model.network.double()
    tokens, nats, state = model.tokenizer.encode(text), 0.0, None
    with torch.no_grad():
        for before, after in itertools.pairwise(tokens):
            logits, state = network(torch.tensor([[int(before)]]), state)
            exp = np.exp(logits[0, 0].numpy() - logits.max().item())
            nats -= math.log(exp[after] / exp.sum())
    model.network.float()
    return nats


def test_perplexity_is_the_one_computed_by_hand(model: LanguageModel, prose: str) -> None:
    text = prose[:200]
    nats = by_hand(model, text)
    found = model.evaluate(text)
    assert model.perplexity(text) == pytest.approx(math.exp(nats / 199), rel=1e-5)
    assert found["loss"] == pytest.approx(nats / 199, rel=1e-5)
    assert found["bits_per_token"] == pytest.approx(nats / 199 / math.log(2), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(nats / 200 / math.log(2), rel=1e-5)
    assert found["tokens"] == 199


@pytest.mark.parametrize("tokenizer", ["bytes", "pieces"])
def test_a_step_that_is_no_text_changes_nothing(small: Settings, prose: str, tokenizer: str) -> None:
    model = LanguageModel(**small, tokenizer=tokenizer, tied=False, updates=2).fit(prose)
    one, other = model.session(), model.session()
    for session in (one, other):
        session.step({"text": "the gates"})
    with pytest.raises(TextError, match="no UTF-8 form at character 1"):
        one.step({"text": "a\ud83d"})
    assert one.step({"text": " are"}) == other.step({"text": " are"})


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(model: LanguageModel, prose: str) -> None:
    for weight in model.network.parameters():
        torch.nn.init.zeros_(weight)
    assert model.perplexity(prose) == pytest.approx(model.tokenizer.size, rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 10_000])
def test_perplexity_does_not_depend_on_how_the_text_is_cut(model: LanguageModel, prose: str, chunk: int) -> None:
    tokens = model.tokenizer.encode(prose)
    whole = score(model.network, [tokens])
    cut = score(model.network, [tokens[:1], tokens[1:1], tokens[1:50], tokens[50:]], chunk=chunk)
    assert cut.predictions == whole.predictions == len(tokens) - 1
    assert cut.nats == pytest.approx(whole.nats, rel=1e-6)


def test_a_cell_that_looks_back_is_carried_over_a_cut(prose: str) -> None:
    model = LanguageModel("qrnn", hidden_size=16, batch_size=4, updates=2, steps=8).fit(prose)
    tokens = model.tokenizer.encode(prose)
    whole = score(model.network, [tokens])
    assert score(model.network, [tokens], chunk=3).nats == pytest.approx(whole.nats, rel=1e-6)
    assert model.generate("the ", length=20, seed=1).startswith("the ")


def test_unknown_tokens_are_counted(model: LanguageModel, prose: str) -> None:
    assert model.evaluate(prose[:50] + "ÄÖÜ")["unknown_tokens"] == 3


def test_generation_is_the_seeds(model: LanguageModel) -> None:
    one = model.generate("the ", length=50, seed=1)
    assert one == model.generate("the ", length=50, seed=1) != model.generate("the ", length=50, seed=2)
    assert one.startswith("the ")
    assert len(one) == 54
    torch.manual_seed(99)
    state = torch.get_rng_state()
    model.generate("the ", length=3)
    assert torch.equal(state, torch.get_rng_state())


def test_the_likeliest_text_goes_on_as_the_whole_sequence_says(model: LanguageModel) -> None:
    text = model.generate("the ", length=20, temperature=0)
    tokens = torch.from_numpy(model.tokenizer.encode(text).astype(np.int64))
    with torch.no_grad():
        logits, _ = model.network(tokens[:-1, None])
    logits[:, 0, model.tokenizer.unknown] = -torch.inf
    assert torch.equal(logits[3:, 0].argmax(1), tokens[4:])


def test_an_empty_prompt_and_no_length(model: LanguageModel) -> None:
    assert len(model.generate(length=7, seed=0)) == 7
    assert model.generate("abc", length=0) == "abc"
    with pytest.raises(TextError, match="no UTF-8 form"):
        model.generate("\ud800")
    for wrong in (3, None):
        with pytest.raises(TextError, match=f"expected text as a string, got {type(wrong).__name__}"):
            model.generate(wrong)  # type: ignore[arg-type]
    with pytest.raises(TextError, match="expected a text as a string or a path, got int"):
        model.perplexity(3)  # type: ignore[arg-type]


def test_a_model_of_words_puts_spaces_between_them(small: Settings, prose: str) -> None:
    model = LanguageModel(**{**small, "embedding_size": None}, tokenizer="words", updates=2).fit(prose)
    assert model.network.decoder is None  # tied
    text = model.generate("the gates", length=5, seed=3)
    assert text.startswith(("the gates ", "the gates\n"))
    assert "<unk>" not in text


@pytest.mark.parametrize("tokenizer", ["bytes", "pieces"])
def test_bytes_and_pieces_train(small: Settings, prose: str, tokenizer: str) -> None:
    values = {**small, "embedding_size": None, "tokenizer": tokenizer, "vocabulary": 270}
    model = LanguageModel(**values, updates=6, evaluate_every=3).fit(prose)
    losses = [row["loss"] for row in model.metrics["history"]]
    assert losses[-1] < losses[0]
    assert isinstance(model.generate("the é ", length=5), str)


def test_training_learns(small: Settings, prose: str) -> None:
    model = LanguageModel(**{**small, "hidden_size": 32}, updates=150, learning_rate=0.02).fit(prose)
    assert model.metrics["history"][-1]["train_loss"] < 1.5 < math.log(model.tokenizer.size)


def test_choosing() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    generator = torch.Generator().manual_seed(0)

    def seen(banned: int | None = None, **how: Any) -> set[int]:
        return {int(choose(logits, Sampling(**how), generator, banned)) for _ in range(200)}

    assert seen(temperature=0) == {0}
    assert seen(temperature=0, banned=0) == {1}
    assert seen(top_k=2) == {0, 1}
    assert seen(top_p=0.6, temperature=1) == {0, 1}
    assert seen(top_p=0.4, temperature=1) == {0}
    assert seen(temperature=1) == {0, 1, 2, 3}
    assert seen(temperature=1e-320) == {0}
    assert seen(temperature=1e300) == {0, 1, 2, 3}
    counts = [int(choose(logits, Sampling(temperature=1), generator)) for _ in range(4000)]
    assert np.bincount(counts) / 4000 == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_cells_of_every_kind(small: Settings, prose: str, tmp_path: Path) -> None:
    equations = "h_t = tanh(W x_t + U h_{t-1} + b)"
    (tmp_path / "my-cell.txt").write_text(equations)
    cells = [gw.cells.gru, "gru", equations, tmp_path / "my-cell.txt"]
    models = [LanguageModel(cell, **small, updates=1) for cell in cells]
    assert [m.cell_name for m in models[:2]] == ["gru", "gru"]
    assert models[3].cell_name == "my_cell"
    assert models[2].equations.splitlines()[1:] == models[3].equations.splitlines()[1:]
    models[3].fit(prose, out=tmp_path / "m")
    again = LanguageModel.load(tmp_path / "m")
    assert (again.equations, again.cell_name) == (models[3].equations, "my_cell")
    assert again.perplexity(prose) == models[3].perplexity(prose)


def test_a_string_is_a_name_then_equations_then_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lstm").write_bytes(b"")
    (tmp_path / "own.txt").write_text("h_t = tanh(W x_t + U h_{t-1} + b)")
    assert LanguageModel("lstm").equations == LanguageModel(gw.cells.lstm).equations
    assert LanguageModel("own.txt").equations == LanguageModel(Path("own.txt")).equations
    long = "h_t = tanh(W x_t + U h_{t-1} + b)" + " " * 300
    assert LanguageModel(long).equations.splitlines()[1:] == LanguageModel("own.txt").equations.splitlines()[1:]


def test_cells_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"setting cell: .*'lsmt'.*'?lstm'?"):
        LanguageModel("lsmt")
    with pytest.raises(SettingsError, match=r"setting cell: .*cannot be read as text"):
        LanguageModel(tmp_path / "none.txt")
    with pytest.raises(SettingsError, match="setting cell: expected a Cell, a name, equations or a path, got int"):
        LanguageModel(3)


def test_a_model_without_weights_says_so() -> None:
    with pytest.raises(TaskError, match="no weights yet; call fit"):
        LanguageModel().generate()
    with pytest.raises(TaskError, match="no weights yet; call fit"):
        LanguageModel().summary()


def test_a_model_without_metrics_has_no_summary(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    (tmp_path / "m" / "metrics.json").unlink()
    with pytest.raises(TaskError, match=r"came without metrics\.json"):
        LanguageModel.load(tmp_path / "m").summary()


def test_a_device_that_is_not_there(model: LanguageModel) -> None:
    with pytest.raises(SettingsError, match=r"device 'abacus': not usable here.*take cpu"):
        model.to("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_training_on_a_device_that_is_not_there(small: Settings, prose: str) -> None:
    with pytest.raises(SettingsError, match=r"accelerator cuda, devices 1: torch can use 0 CUDA device\(s\) here"):
        LanguageModel(**small, accelerator="cuda").fit(prose)


def test_the_metrics_are_json(small: Settings, prose: str, tmp_path: Path) -> None:
    LanguageModel(**small, updates=4, evaluate_every=2).fit(prose, out=tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["update"] for row in metrics["history"]] == [2, 4]
    assert metrics["state"] == "finished"
    assert metrics["training"]["updates"] == 4
    assert metrics["data"]["train_tokens"] > metrics["data"]["validation_tokens"] > 0


@pytest.mark.slow
def test_shakespeare_is_learned() -> None:
    if not SHAKESPEARE.exists():
        pytest.skip("needs ../shared/data/tinyshakespeare/input.txt")
    model = LanguageModel(hidden_size=128, updates=60, batch_size=32, steps=64, learning_rate=1e-2)
    model.fit(SHAKESPEARE)
    assert model.metrics["best"]["loss"] < 2.6
