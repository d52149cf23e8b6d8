"""Units that follow something in a text: by the model, by the command, on words and characters."""

import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import gatewright as gw
from gatewright.cli.main import app
from gatewright.tasks.errors import SettingsError
from gatewright.tasks.language.units import next_of

SOURCE = "".join(f"def f{k}(x, y):\n    return g(x, [y, {k}]) + {k}\n" for k in range(60))
TOKENS = "a man with two dogs is here \n two men are out \n rain \n the big old dogs in town are".split(" ")


def test_which_word_comes_next():
    found = next_of(TOKENS, "is", "are")
    assert found[:5].tolist() == [0.0] * 5
    assert np.isnan(found[5:8]).all()
    assert found[8:10].tolist() == [1.0, 1.0]
    assert np.isnan(found[10:15]).all()
    assert found[15:21].tolist() == [1.0] * 6
    last = next_of(TOKENS, "is", "are", least=5, at_verb=True)
    assert np.flatnonzero(np.isfinite(last)).tolist() == [4, 20]


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A model with a unit that counts brackets by itself: its candidate is the bracket, and it never forgets."""
    model = gw.tasks.LanguageModel(hidden_size=8, embedding_size=4, updates=1, batch_size=2).fit(SOURCE * 2)
    network, ids = model.network, {c: int(model.tokenizer.encode(c)[0]) for c in "([])"}
    with torch.no_grad():
        network.embedding.weight[:, 0] = 0
        for character, step in {"(": 1.0, "[": 1.0, ")": -1.0, "]": -1.0}.items():
            network.embedding.weight[ids[character], 0] = step
        weights = network.recurrent.weights()
        for name, weight in weights.items():
            weight[5] = 40.0 if name.startswith(("b_i", "b_f")) else 0.0
        weights["W_g"][5, 0] = 0.2
    folder = tmp_path_factory.mktemp("counting") / "model"
    model.save(folder)
    return model, folder


def test_a_unit_that_counts_is_found(counting):
    model, _ = counting
    found = model.follow(SOURCE, "depth", top=3)
    best = found.units[0]
    assert (best.unit, best.sign) == (5, 1)
    assert best.score > 0.99
    assert found.tokens == list(SOURCE)
    assert model.follow(SOURCE).units[0].unit == 5
    assert found.picture(best, slice(40)).html().count("<span") >= 40


def test_the_command(counting, tmp_path):
    _, folder = counting
    (tmp_path / "held.py").write_text(SOURCE)
    picture = tmp_path / "units.html"
    arguments = ["language", "units", str(folder), str(tmp_path / "held.py"), "--follow", "depth", "--top", "2"]
    run = CliRunner().invoke(app, [*arguments, "--out", str(picture)])
    assert run.exit_code == 0, run.output
    lines = run.output.splitlines()
    assert "[5]: spearman" in lines[0]
    assert len(lines) == 3
    assert "unit 5" in picture.read_text(encoding="utf-8")
    run = CliRunner().invoke(app, [*arguments[:-3], "brakets"])
    assert run.exit_code == 2
    assert "there is nothing called 'brakets' to follow" in run.output + run.stderr


def test_nothing_to_follow(counting):
    model, _ = counting
    with pytest.raises(SettingsError, match="next:is,are: there is nothing of it in this text"):
        model.follow("x = (1)\n" * 30, "next:is,are")
    with pytest.raises(SettingsError, match="nothing called 'next:is'"):
        model.follow(SOURCE, "next:is")


def test_words():
    text = ("a dog is here\ntwo dogs are there\n" * 40).strip()
    model = gw.tasks.LanguageModel(tokenizer="words", hidden_size=8, updates=2, batch_size=2).fit(text)
    found = model.follow(text, "next:is,are", top=1)
    assert found.units[0].measure == "auc"
    assert math.isfinite(found.units[0].score)
    assert found.glue == " "
