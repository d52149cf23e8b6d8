"""Scores with a cache and with weights that follow the text, against the papers' formulas written out step by step."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gatewright.tasks import Cache, Dynamic, LanguageModel, SettingsError
from gatewright.tasks.language.cache import cache_score, choose_cache
from gatewright.tasks.language.dynamic import dynamic_score, gradient_rms
from gatewright.tasks.language.loss import linear_cross_entropy
from gatewright.tasks.language.score import score, stretches
from gatewright.tasks.tokenizers import Words


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    text = "the gates are written once and what they remember they carry from line to line.\n" * 30
    settings = {"hidden_size": 10, "batch_size": 4, "steps": 8, "updates": 60, "tokenizer": "words", "dropout": 0.0}
    return LanguageModel(**settings).fit(text)


@pytest.fixture(scope="module")
def tokens(model: LanguageModel) -> np.ndarray:
    return model.tokenizer.encode("they carry the gates from once to line.\nand they carry what they carry.\n" * 3)


def by_hand(model: LanguageModel, tokens: np.ndarray, cache: Cache) -> float:
    """Nats of a stream, one step after another."""
    network, state, history, nats = model.network.eval(), None, [], 0.0
    with torch.no_grad():
        for now, then in zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True):
            y, state = network.recurrent(network.embedding(torch.tensor([[now]])), state)
            h = y[0, 0].double()
            p = network.logits(y)[0, 0].double().softmax(0)
            if history:
                masses = torch.stack([torch.exp(cache.theta * (h @ past)) for past, _ in history])
                told = torch.zeros_like(p)
                for mass, (_, word) in zip(masses / masses.sum(), history, strict=True):
                    told[word] += mass
                p = (1 - cache.weight) * p + cache.weight * told
            nats -= math.log(float(p[then]))
            history = [*history, (h, then)][-cache.window :]
    return nats


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize("cache", [Cache(5, 0.7, 0.2), Cache(1, 2.0, 0.5), Cache(500, 0.0, 0.1)], ids=str)
def test_a_cache_is_the_papers_formula(model: LanguageModel, tokens: np.ndarray, cache: Cache, chunk: int) -> None:
    found = cache_score(model.network, [tokens], cache, chunk=chunk)
    assert found.nats == pytest.approx(by_hand(model, tokens, cache), rel=1e-5)
    assert found.predictions == len(tokens) - 1


def test_a_cache_of_no_weight_is_the_model_alone(model: LanguageModel, tokens: np.ndarray) -> None:
    alone = score(model.network, [tokens])
    assert cache_score(model.network, [tokens], Cache(weight=0.0)).nats == pytest.approx(alone.nats, rel=1e-6)


def test_the_chosen_cache_is_the_best_of_those_that_were_tried(model: LanguageModel, tokens: np.ndarray) -> None:
    thetas, weights = (0.0, 0.5, 2.0), (0.0, 0.1, 0.6)
    nats = {
        (theta, weight): cache_score(model.network, [tokens], Cache(9, theta, weight)).nats
        for theta in thetas
        for weight in weights
    }
    best = choose_cache(model.network, [tokens], window=9, thetas=thetas, weights=weights)
    assert nats[best.theta, best.weight] == min(nats.values())
    assert len({round(n, 6) for n in nats.values()}) > 6  # the settings matter


def test_a_cache_helps_where_a_text_repeats_what_the_model_does_not_expect(model: LanguageModel) -> None:
    odd = "line what gates once\n" * 40
    assert model.perplexity(odd) > 1.5 * model.score(odd, cache=Cache(50, 1.0, 0.3)).perplexity


def followed_by_hand(model: LanguageModel, tokens: np.ndarray, how: Dynamic, rms: list[torch.Tensor] | None) -> float:
    """Nats of a stream, a stretch after another, the weights written with plain loops."""
    twin = LanguageModel(**{k: v for k, v in model.get_params().items() if k != "cell"})
    twin._adopt(model.settings, model.cell_name, model.config or {}, model.network.state_dict())
    network, state, nats = twin.network.eval(), None, 0.0
    weights = list(network.parameters())
    trained = [w.detach().clone() for w in weights]
    for start in range(0, len(tokens) - 1, how.steps):
        piece = torch.from_numpy(tokens[start : start + how.steps + 1].astype(np.int64))[:, None]
        logits, state = network(piece[:-1], state)
        state = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), piece[1:].flatten())
        nats += loss.item() * (len(piece) - 1)
        grads = torch.autograd.grad(loss, weights)
        mean = 1.0 if rms is None else torch.cat([r.flatten() for r in rms]).mean()
        for k, weight in enumerate(weights):
            with torch.no_grad():
                if rms is None:
                    weight += how.decay * (trained[k] - weight) - how.learning_rate * grads[k]
                else:
                    pull = (how.decay * rms[k] / mean).clamp(max=1)
                    slope = grads[k] / (rms[k] + how.epsilon)
                    weight += pull * (trained[k] - weight) - how.learning_rate * slope
    return nats


@pytest.mark.parametrize(
    "how",
    [Dynamic("sgd", 0.2, 0.1, 3), Dynamic("rms", 0.01, 0.3, 5), Dynamic("rms", 0.02, 0.0, 4, 0.1)],
    ids=["sgd", "rms", "rms-epsilon"],
)
def test_dynamic_evaluation_is_the_papers_formula(model: LanguageModel, tokens: np.ndarray, how: Dynamic) -> None:
    train = model.prepared.corpus.train
    rms = None if how.kind == "sgd" else gradient_rms(model.network, train, how.steps)
    before = {name: w.clone() for name, w in model.network.state_dict().items() if w.is_floating_point()}
    found = dynamic_score(model.network, [tokens[:10], tokens[10:]], how, rms)
    assert found.nats == pytest.approx(followed_by_hand(model, tokens, how, rms), rel=1e-5)
    assert found.nats != pytest.approx(score(model.network, [tokens]).nats, rel=1e-4)
    assert all(torch.equal(w, model.network.state_dict()[name]) for name, w in before.items())


def test_the_gradients_usual_size_is_a_root_mean_square_over_batches(model: LanguageModel) -> None:
    train = np.asarray(model.prepared.corpus.train)[: 4 * 5 * 3 + 1]  # rows = 60 // (4 · 5) = 3, each of 20
    found = gradient_rms(model.network, train, 5)
    squares, state, weights = 0.0, None, list(model.network.parameters())
    for k in range(4):
        at = np.arange(5 * k, 5 * k + 6)[:, None] + 20 * np.arange(3)
        batch = torch.from_numpy(train[at].astype(np.int64))
        logits, state = model.network(batch[:-1], state)
        state = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[1:].flatten())
        squares = squares + torch.autograd.grad(loss, weights)[0] ** 2 / 4
    torch.testing.assert_close(found[0], squares**0.5, rtol=1e-4, atol=1e-7)


def test_weights_that_stand_still_score_as_the_model_does(model: LanguageModel, tokens: np.ndarray) -> None:
    still = dynamic_score(model.network, [tokens], Dynamic("sgd", 0.0, 0.5))
    assert still.nats == pytest.approx(score(model.network, [tokens]).nats, rel=1e-6)


def test_choosing_takes_what_is_best_on_the_text(model: LanguageModel) -> None:
    odd = "line what gates once\n" * 12
    chosen = model.choose_dynamic(odd, kind="sgd")
    others = [Dynamic("sgd", rate, chosen.decay) for rate in (0.03, 0.1, 0.3)]
    losses = [model.score(odd, dynamic=how).loss for how in others]
    assert model.score(odd, dynamic=chosen).loss == min(losses) < model.score(odd).loss


def test_rms_needs_the_training_text(model: LanguageModel, tmp_path: Any) -> None:
    text = "they carry the gates from line to line.\n" * 3
    here = model.score(text, dynamic=Dynamic())
    model.save(tmp_path / "m")
    loaded = LanguageModel.load(tmp_path / "m")
    with pytest.raises(
        SettingsError, match="expected the training text, which is not found again; give it as training"
    ):
        loaded.score(text, dynamic=Dynamic())
    train = "the gates are written once and what they remember they carry from line to line.\n" * 30
    assert loaded.score(text, dynamic=Dynamic(), training=train).loss == pytest.approx(here.loss, rel=1e-2)


def test_both_at_once_are_refused(model: LanguageModel) -> None:
    with pytest.raises(SettingsError, match="expected a cache or dynamic evaluation, got both"):
        model.score("they carry", cache=Cache(), dynamic=Dynamic())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Cache(window=0), "setting window: expected a number of at least 1"),
        (lambda: Cache(weight=1.0), "setting weight: expected a number from 0 up to"),
        (lambda: Cache(theta=-1.0), "setting theta: expected a number of at least 0"),
        (lambda: Dynamic(kind="adam"), "setting kind: expected rms, sgd, got 'adam'"),  # type: ignore[arg-type]
        (lambda: Dynamic(epsilon=0.0), "setting epsilon: expected a number above 0"),
        (lambda: Dynamic(steps=0), "setting steps: expected a number of at least 1"),
    ],
)
def test_settings_that_are_none(make: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make()


def test_papers_count_every_token(model: LanguageModel) -> None:
    text = "the gates are\nwritten once"  # five words and one end of line
    found = model.score(text, from_start=True)
    assert found.predictions == 6
    eos = model.tokenizer.encode("\n")
    whole = np.concatenate([eos, model.tokenizer.encode(text)])
    assert found.nats == pytest.approx(score(model.network, [whole]).nats, rel=1e-6)
    assert model.evaluate(text, from_start=True)["tokens"] == 6


def test_penn_treebank_has_the_papers_number_of_test_tokens() -> None:
    folder = Path(__file__).parents[2] / ".." / "shared" / "data" / "ptb"
    if not folder.exists():
        pytest.skip("Penn Treebank is not here: ../shared/data/ptb")
    packed = {name: (folder / f"ptb.{name}.txt.gz").read_bytes() for name in ("train", "test")}
    parts = {name: gzip.decompress(content).decode() for name, content in packed.items()}
    words = Words.build([parts["train"]], None)
    test = words.encode(parts["test"])
    assert (words.size, len(words.encode(parts["train"])), len(test)) == (10_000, 929_589, 82_430)
    assert int((test == words.encode("\n")[0]).sum()) == 3761  # one end a line
    assert int((test == words.unknown).sum()) == parts["test"].split().count("<unk>")  # no word is new


def test_stretches_do_not_depend_on_how_the_stream_is_cut() -> None:
    stream = np.arange(23)
    whole = [s.tolist() for s in stretches([stream], 4)]
    assert [s.tolist() for s in stretches(np.split(stream, [1, 1, 2, 9, 22]), 4)] == whole
    assert [len(s) - 1 for s in whole] == [4, 4, 4, 4, 4, 2]
    assert [target for s in whole for target in s[1:]] == list(range(1, 23))
    assert list(stretches([np.array([7])], 4)) == []


@pytest.mark.parametrize("rows", [1, 419, 420, 700])
def test_blocks_of_a_large_vocabulary_are_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from gatewright.tasks.language import loss as language_loss

    monkeypatch.setattr(language_loss, "LARGE", 1)
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*s, dtype=torch.float64) for s in ((rows, 6), (10_000, 6), (10_000,)))
    y = torch.randint(10_000, (rows,))
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    whole = torch.nn.functional.cross_entropy(x @ weight.T + bias, y)
    blocks = linear_cross_entropy(x, weight, bias, y)
    torch.testing.assert_close(blocks, whole, rtol=1e-12, atol=0)
    for one, other in zip(torch.autograd.grad(3 * blocks, leaves), torch.autograd.grad(3 * whole, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(x, weight, bias, y), whole, rtol=1e-12, atol=0)


def test_blocks_multiply_narrow_under_autocast_and_add_wide() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(500, 16), torch.randn(10_000, 16), torch.zeros(10_000)
    y = torch.randint(10_000, (500,))
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    exact = torch.autograd.grad(linear_cross_entropy(x, weight, bias, y), leaves)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(x, weight, bias, y)
    assert loss.dtype == torch.float32
    for one, other in zip(torch.autograd.grad(loss, leaves), exact, strict=True):
        assert one.dtype == torch.float32
        assert 1e-5 < float((one - other).norm() / other.norm()) < 2e-2
