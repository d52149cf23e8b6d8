"""Beam search against a search through everything, and how generated text ends."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from gatewright.tasks import LanguageModel, SettingsError
from gatewright.tasks.language.beam import beam_search
from gatewright.tasks.language.sampling import Sampling, choose, penalised

PROSE = "abba cab.\nbad dad.\nacca bac.\n"


@pytest.fixture(scope="module", params=["lstm", "gru"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    settings: dict[str, Any] = {"hidden_size": 8, "batch_size": 4, "steps": 8, "updates": 100, "num_layers": 2}
    return LanguageModel(request.param, **settings, learning_rate=0.02, dropout=0.0).fit(PROSE * 30)


@torch.no_grad()
def log_p(model: LanguageModel, prompt: list[int], made: list[tuple[int, ...]]) -> list[float]:
    """Of continuations of one length, each read as a whole."""
    whole = torch.tensor([[*prompt, *m] for m in made]).T
    found = model.network(whole[:-1])[0][len(prompt) - 1 :].double().log_softmax(-1)
    return found.gather(-1, whole[len(prompt) :, :, None])[..., 0].sum(0).tolist()


def everything(model: LanguageModel, prompt: list[int], length: int) -> list[tuple[float, list[int]]]:
    """Every continuation without an unknown character, the likeliest first."""
    tokens = [t for t in range(model.tokenizer.size) if t != model.tokenizer.unknown]
    made = list(itertools.product(tokens, repeat=length))
    return sorted(zip(log_p(model, prompt, made), map(list, made), strict=True), reverse=True)


def test_a_beam_wide_enough_finds_the_best_there_are(model: LanguageModel) -> None:
    prompt = model.tokenizer.encode("bad").tolist()
    found = beam_search(model.network, prompt, width=600, length=3, banned=model.tokenizer.unknown)
    wanted = everything(model, prompt, 3)[:600]
    assert [b.tokens for b in found[:20]] == [made for _, made in wanted[:20]]
    assert [b.log_probability for b in found] == pytest.approx([p for p, _ in wanted], rel=1e-4)


def test_a_beam_of_one_takes_the_likeliest_token_at_every_step(model: LanguageModel) -> None:
    assert model.generate("ca", beams=1, length=30) == model.generate("ca", temperature=0.0, length=30)


def test_a_wider_beam_is_no_less_likely_and_says_what_it_is(model: LanguageModel) -> None:
    best = [model.beams("ab", beams=k, length=12)[0] for k in (1, 4, 30)]
    prompt = model.tokenizer.encode("ab").tolist()
    for one in best:
        made = tuple(model.tokenizer.encode(one.text[2:]).tolist())
        assert one.log_probability == pytest.approx(log_p(model, prompt, [made])[0], rel=1e-4)
    assert best[0].log_probability <= best[1].log_probability + 1e-9 <= best[2].log_probability + 2e-9


def test_n_best_are_different_and_in_order(model: LanguageModel) -> None:
    found = model.beams("ab", beams=5, length=8)
    assert len({f.text for f in found}) == 5
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)


def ends_anywhere(model: LanguageModel, prompt: list[int], length: int, alpha: float) -> list[int]:
    """The best continuation of all that end with a full stop, or are `length` long."""
    stop = int(model.tokenizer.encode(".")[0])
    best = (-1e9, [])
    for n in range(1, length + 1):
        for p, made in everything(model, prompt, n):
            if stop in made[:-1] or (n < length and made[-1] != stop):
                continue
            best = max(best, (p / ((5 + n) / 6) ** alpha, made))
    return best[1]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_ends_compete_by_their_length(model: LanguageModel, alpha: float) -> None:
    prompt = model.tokenizer.encode("bad").tolist()
    found = model.beams("bad", beams=200, length=4, until=".", length_penalty=alpha)[0]
    made = ends_anywhere(model, prompt, 4, alpha)
    assert found.text == "bad" + model.tokenizer.decode(made).split(".")[0]


def test_a_length_penalty_makes_texts_longer(model: LanguageModel) -> None:
    short, long = (
        model.beams("bad", beams=20, length=12, until=".", length_penalty=alpha)[0].text for alpha in (0.0, 8.0)
    )
    assert len(short) < len(long)


@pytest.mark.parametrize("tokenizer", ["chars", "bytes", "words"])
def test_text_ends_before_what_it_is_to_end_with(tokenizer: str) -> None:
    text = "über allen gipfeln ist ruh.\nin allen wipfeln spürest du.\n"
    settings: dict[str, Any] = {"hidden_size": 8, "batch_size": 4, "steps": 8, "updates": 60, "tokenizer": tokenizer}
    model = LanguageModel(**settings).fit(text * 40)
    for until in ("\n", "ü", "en"):
        free = model.generate("in", length=200, seed=3)
        ended = model.generate("in", length=200, seed=3, until=until)
        assert ended.rstrip(" ") == ("in" + free[2:].split(until, 1)[0]).rstrip(" ")
        assert until not in ended[2:]
        for found in model.beams("in", beams=3, length=40, until=until):
            assert until not in found.text[2:]


def test_repeating_can_be_made_less_likely(model: LanguageModel) -> None:
    tokens, penalty = model.tokenizer.encode("ab").tolist(), 40.0
    with torch.no_grad():
        for _ in range(25):
            logits = model.network(torch.tensor(tokens)[:, None])[0][-1, 0]
            for token in set(tokens):
                logits[token] *= penalty if logits[token] < 0 else 1 / penalty
            logits[model.tokenizer.unknown or 0] = -torch.inf
            tokens.append(int(logits.argmax()))
    repeated = model.generate("ab", length=25, temperature=0.0, repetition_penalty=penalty)
    assert repeated == model.tokenizer.decode(tokens) != model.generate("ab", length=25, temperature=0.0)
    assert repeated == model.generate("ab", length=25, beams=1, repetition_penalty=penalty)


def test_the_penalty_is_the_papers() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [4.0, 4.0, 4.0]])
    found = penalised(logits, [[0, 1, 0], []], 2.0)
    assert found.tolist() == [[1.0, -2.0, 0.5], [4.0, 4.0, 4.0]]
    how = Sampling(temperature=0.0, repetition_penalty=5.0)
    assert choose(logits[:1], how, torch.Generator(), before=[[0]]).tolist() == [2]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"beams": 0}, "setting beams: expected a number of at least 1"),
        ({"until": ""}, "setting until: expected some text, got an empty one; leave it out"),
        ({"repetition_penalty": 0.0}, "setting repetition_penalty: expected a number from 0.01 to 100"),
        ({"length_penalty": -1.0}, "setting length_penalty: expected a number from 0 to 10"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Sampling.from_dict(settings)


def test_no_length_is_the_prompt(model: LanguageModel) -> None:
    assert [f.text for f in model.beams("ab", beams=3, length=0)] == ["ab"]


class Chain:
    """A network whose next token depends on the last one alone: p of each, given each."""

    def __init__(self, p: list[list[float]]) -> None:
        self.log_p = torch.tensor(p).log()
        self.embedding = torch.nn.Embedding(len(p), 1)

    def eval(self) -> Chain:
        return self

    def step(self, last: torch.Tensor, state: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.log_p[last], torch.zeros(1, len(last), 1)


def test_a_search_goes_on_past_an_end_that_a_longer_text_may_overtake() -> None:
    chain: Any = Chain([[0.4, 0.6], [0.5, 0.5]])  # 1 ends a text, which is likelier at once than after another 0
    ended = lambda made: made[-1] == 1  # noqa: E731
    short = beam_search(chain, [0], width=1, length=6, ended=ended)[0]
    assert (short.tokens, short.log_probability) == ([1], pytest.approx(float(chain.log_p[0, 1])))
    steady: Any = Chain([[0.4, 0.6, 0.0], [0.3, 0.3, 0.4], [0.0, 0.02, 0.98]])
    steady.log_p[0] = torch.tensor([0.0, 0.6, 0.4]).log()
    long = beam_search(steady, [0], width=1, length=6, ended=ended, length_penalty=3.0)[0]
    assert long.tokens == [2] * 6
    assert long.score == pytest.approx(long.log_probability / (11 / 6) ** 3)
