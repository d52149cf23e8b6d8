"""Taggers: they learn, are the same again, go on after a stop, and refuse what cannot be learnt."""

from __future__ import annotations

import json
import math
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gatewright as gw
from gatewright.tasks import trainer
from gatewright.tasks.errors import DataError, FolderError, SettingsError, TaskError, TextError
from gatewright.tasks.progress import Silent
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.tag.data import Sentences
from gatewright.tasks.tag.encode import Encoded, Vocabulary, collate
from gatewright.tasks.tag.job import Guess, TagCounts, TagJob
from gatewright.tasks.tag.network import TagNetwork
from gatewright.tasks.tag.settings import TagSettings
from gatewright.tasks.tag.spans import follows
from gatewright.tasks.tag.tagger import Tagger
from gatewright.tasks.tuning.tune import OneOf

SIZES = {"hidden_size": 12, "embedding_size": 10, "character_size": 6, "character_hidden": 6}
SMALL = {**SIZES, "batch_size": 8, "warmup": 2}
DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "nlu_intent_slots"
CITIES = ["Rome", "Oslo", "San Jose", "New York", "Bonn", "Las Palmas"]


def sentences(number: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]], list[str]]:
    """Flights between cities: a slot's type is told by the word before it, the intent by the first word."""
    random = np.random.default_rng(seed)
    words, tags, intents = [], [], []
    for _ in range(number):
        intent = str(random.choice(["fly", "fares"]))
        sentence, its = [intent], ["O"]
        for where in random.permutation(["from", "to"]):
            city = str(random.choice(CITIES)).split()
            sentence += [str(where), *city]
            its += ["O", f"B-{where}", *[f"I-{where}"] * (len(city) - 1)]
        words.append(sentence)
        tags.append(its)
        intents.append(intent)
    return words, tags, intents


TRAIN, VALID, TEST = sentences(60), sentences(12, 1), sentences(20, 2)


def fitted(cell: Any = "lstm", **settings: Any) -> Tagger:
    return Tagger(cell, **{**SMALL, "updates": 2, **settings}).fit(*TRAIN, validation=VALID)


def weights(model: Tagger) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def assert_same(one: Tagger, two: Tagger) -> None:
    assert weights(one).keys() == weights(two).keys()
    for name, weight in weights(one).items():
        assert torch.equal(weight, weights(two)[name]), name


@pytest.fixture(scope="module")
def learnt() -> Tagger:
    """A model that has learnt the task."""
    torch.set_num_threads(1)
    model = Tagger(**{**SMALL, "hidden_size": 16}, epochs=10, evaluate_every=40, learning_rate=0.02, dropout=0.2)
    return model.fit(*TRAIN, validation=VALID)


def test_it_learns_what_the_context_tells(learnt):
    figures = learnt.evaluate(*TEST)
    assert figures["f1"] > 0.95 and figures["intent_accuracy"] == 1.0, figures
    assert learnt.score(*TEST[:2]) == figures["f1"]
    assert learnt.predict(["fly to Atlantis from Rome"]) == [["O", "O", "B-to", "O", "B-from"]]
    assert learnt.predict_intent([["fares", "from", "Rome"]]) == ["fares"]
    found = learnt.annotate(["fly from San Jose to Oslo"])[0]
    assert [(s.type, s.start, s.stop) for s in found.spans] == [("from", 2, 4), ("to", 5, 6)]
    assert 0.5 < found.probability <= 1


def test_scores_by_type(learnt):
    assert learnt.by_type(*TEST[:2]).keys() == {"from", "to"}


def test_the_order_and_the_company_of_sentences_do_not_matter(learnt):
    together = learnt.annotate(TEST[0])
    alone = [learnt.annotate([sentence])[0] for sentence in TEST[0]]
    assert [a.tags for a in together] == [a.tags for a in alone]
    assert [a.probability for a in together] == pytest.approx([a.probability for a in alone], abs=1e-5)
    assert learnt.annotate([]) == []


def test_answers_are_json(learnt):
    answers = learnt.answer([{"text": "fly to Rome"}, {"words": ["fares", "from", "New", "York"]}])
    assert json.loads(json.dumps(answers)) == answers
    assert answers[1]["spans"] == [{"type": "from", "start": 2, "stop": 4, "text": "New York"}]
    assert learnt.answer([learnt.example()])[0]["intent"] in ("fly", "fares")
    assert learnt.answer([]) == []
    assert learnt.session() is None
    for wrong in ({"txt": "a"}, "a", {"text": "a", "words": ["a"]}, {}):
        with pytest.raises(DataError, match=re.escape('expected {"text": "…"} or {"words": ["…"]}, got')):
            learnt.answer([wrong])
    with pytest.raises(DataError, match="sentence 0: no word in it"):
        learnt.answer([{"text": "  "}])
    for wrong in ({"text": "to \ud83d"}, {"words": ["to", "\ud83d"]}):  # which an answer in UTF-8 could not repeat
        with pytest.raises(TextError, match="no UTF-8 form"):
            learnt.answer([wrong])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("fly to Rome", "sentences: expected a list of texts or of lists of words, got str"),
        ([7], "sentence 0: expected a text or a list of words, got int"),
        ([["fly", ""]], "sentence 0: expected words that are not empty, got ''"),
        ([{"text": "fly"}], "sentence 0: expected a text or a list of words, got dict"),
    ],
)
def test_what_cannot_be_tagged(learnt, given, message):
    with pytest.raises(DataError, match=re.escape(message)):
        learnt.predict(given)


def test_tags_and_intents_that_training_lacks_count_as_wrong(learnt):
    words, tags, intents = [["fly", "to", "Rome"]] * 2, [["O", "O", "B-to"], ["O", "O", "B-via"]], ["fly", "swim"]
    figures = learnt.evaluate(words, tags, intents)
    assert (figures["recall"], figures["intent_accuracy"], figures["sentence_accuracy"]) == (0.5, 0.5, 0.5)
    assert figures["loss"] == pytest.approx(learnt.evaluate(words[:1], tags[:1], intents[:1])["loss"], abs=1e-6)


# -- runs ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights():
    one, two, other = fitted(), fitted(), fitted(seed=1)
    assert_same(one, two)
    assert one.metrics["best"]["loss"] == two.metrics["best"]["loss"] != other.metrics["best"]["loss"]


def test_a_saved_model_is_the_same_model(tmp_path):
    model = Tagger(**SMALL, updates=4).fit(*TRAIN, validation=VALID, out=tmp_path / "m")
    loaded = Tagger.load(tmp_path / "m")
    assert_same(model, loaded)
    loaded.save(tmp_path / "copy")
    again = Tagger.load(tmp_path / "copy")
    assert again.predict(TEST[0]) == model.predict(TEST[0])
    assert again.evaluate(*TEST) == model.evaluate(*TEST)
    with pytest.raises(FolderError, match="no such model folder"):
        Tagger.load(tmp_path / "nowhere")


class StopAt(Silent):
    """Sends a signal to this process after some update, as Ctrl-C does."""

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        if number == 4:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_run_goes_on_to_the_same_end(tmp_path, monkeypatch):
    how = {**SMALL, "updates": 11, "evaluate_every": 3}
    whole = Tagger(**how).fit(*TRAIN, validation=VALID, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make_watcher", lambda style, unit: StopAt())
        stopped = Tagger(**how).fit(*TRAIN, validation=VALID, out=tmp_path / "m")
    assert stopped.stopped == "SIGINT"
    assert stopped.metrics["updates"] in (4, 5)
    with pytest.raises(SettingsError, match="data: this run was given a list"):
        Tagger.resume(tmp_path / "m")
    with pytest.raises(SettingsError, match="not the data that this run began with"):
        resume(tmp_path / "m", (TEST[0], TEST[1], TEST[2]))
    resume(tmp_path / "m", TRAIN)
    for name, weight in RunFolder(tmp_path / "whole").read()[0]["network"].items():
        assert torch.equal(weight, RunFolder(tmp_path / "m").read()[0]["network"][name]), name
    assert_same(whole, Tagger.load(tmp_path / "m"))


def resume(folder: Path, data: Any) -> Tagger:
    return Tagger.resume(folder, *data, validation=VALID)


EQUATIONS = "z = sigmoid(W_z x + U_z h + b_z)\nh = (1 - z) * h + z * tanh(W_h x + b_h)"


@pytest.mark.parametrize(("cell", "num_layers"), [("gru", 1), ("rnn", 1), ("sru", 1), ("sru", 2), (EQUATIONS, 1)])
def test_any_cell(cell, num_layers):
    model = fitted(cell, num_layers=num_layers)
    assert math.isfinite(model.metrics["best"]["loss"])
    assert len(model.predict(["fly to Rome"])[0]) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"crf": False},
        {"characters": "convolution"},
        {"characters": "none"},
        {"pooling": "max"},
        {"pooling": "mean"},
        {"intent_to_tags": False},
        {"num_layers": 2},
        {"recurrent_dropout": 0.3},
        {"dropout": 0.0},
        {"word_dropout": 0.0},
        {"lowercase": False},
        {"min_count": 20},
        {"intent_weight": 0.2},
        {"label_smoothing": 0.2},
        {"embedding_size": 7},
        {"character_hidden": 4},
        {"character_size": 3},
        {"hidden_size": 5},
    ],
    ids=str,
)
def test_every_setting_changes_the_run(settings):
    usual = usual_run()
    assert fitted(**settings).metrics["history"][-1]["train_loss"] != usual.metrics["history"][-1]["train_loss"]


USUAL: list[Tagger] = []


def usual_run() -> Tagger:
    if not USUAL:
        USUAL.append(fitted())
    return USUAL[0]


def test_digits_change_what_is_known():
    data = (Sentences("x", [["at", "7", "8"]], [["O", "B-t", "O"]]),)
    assert len(Vocabulary.build(*data, TagSettings()).words) + 1 == len(
        Vocabulary.build(*data, TagSettings(digits=False)).words
    )


def test_without_intents():
    model = Tagger(**SMALL, updates=2).fit(*TRAIN[:2], validation=VALID[:2])
    assert "intent_accuracy" not in model.metrics["best"]
    assert model.annotate(["fly"])[0].to_dict().keys() == {"words", "tags", "spans"}
    assert "intent_accuracy" not in model.evaluate(*TEST)
    with pytest.raises(TaskError, match="knows no intents"):
        model.predict_intent(["fly"])


def test_parts_of_speech_have_accuracy_and_no_spans():
    tags = [["VERB" if t == "O" else "NOUN" for t in sentence] for sentence in TRAIN[1]]
    model = Tagger(**SMALL, updates=2).fit(TRAIN[0], tags)
    assert {"accuracy", "sentence_accuracy"} <= model.metrics["best"].keys()
    assert "f1" not in model.metrics["best"]
    assert 0 <= model.score(TRAIN[0], tags) <= 1
    titles = [section.title for section in model.report().sections]
    assert "Types" not in titles and "What is taken for what" in titles
    assert model.annotate([TRAIN[0][0]])[0].spans == []
    by_tag = model.by_type(TRAIN[0], tags)  # each tag by itself
    assert set(by_tag) == {"NOUN", "VERB"}
    assert by_tag["NOUN"].gold == sum(sentence.count("NOUN") for sentence in tags)


def test_a_validation_part_is_drawn_by_the_seed():
    one = Tagger(**SMALL, updates=1)._prepare(data=TRAIN[0], tags=TRAIN[1])
    two = Tagger(**SMALL, updates=1, seed=1)._prepare(data=TRAIN[0], tags=TRAIN[1])
    assert (len(one.train), len(one.valid)) == (54, 6)
    assert one.sha256 != two.sha256
    assert one.sha256 == Tagger(**SMALL)._prepare(data=TRAIN[0], tags=TRAIN[1]).sha256


def test_several_processes_share_a_batch():
    """The shares of some processes are the batch of one, and the mean of their losses is its loss."""
    model = fitted()

    class Fabric:
        device = torch.device("cpu")

        def __init__(self, rank: int, world: int) -> None:
            self.global_rank, self.world_size = rank, world

    job = object.__new__(Tagger.job_type)
    job.prepared, job.settings, job.size, job.seed, job._order = model.prepared, model.settings, 8, 0, (-1, [])
    for world in (2, 3):  # of 8 sentences, 4 and 4, or 3, 3 and 2
        whole = job.batch(0, 1, Fabric(0, 1))
        shares = [job.batch(0, 1, Fabric(rank, world)) for rank in range(world)]
        assert sorted(whole[0].lengths.tolist()) == sorted(n for share, _ in shares for n in share.lengths.tolist())
        assert int(whole[0].words.sum()) == sum(int(share.words.sum()) for share, _ in shares)
        one, *parts = (job.loss(model.network.eval(), batch, None) for batch in (whole, *shares))
        assert np.mean([part.loss.item() for part in parts]) == pytest.approx(one.loss.item(), rel=1e-5)
        assert sum(part.items for part in parts) == one.items == int(whole[0].lengths.sum())
        assert sum(part.weight for part in parts) == pytest.approx(8) and one.weight == 8


def test_the_training_loss_is_of_a_sentence_as_that_of_validation():
    still = {"dropout": 0.0, "word_dropout": 0.0, "learning_rate": 1e-12}
    (row,) = Tagger(**SMALL, **still, epochs=1, evaluate_every=8).fit(*TRAIN, validation=TRAIN).metrics["history"]
    assert row["train_loss"] == pytest.approx(row["loss"], rel=1e-6)
    assert row["items"] == sum(map(len, TRAIN[0]))  # words


def columns(path: Path, part: Any) -> str:
    """Sentences as a file of columns."""
    lines = [[*map("\t".join, zip(words, tags, strict=True)), ""] for words, tags in zip(*part[:2], strict=True)]
    path.write_text("\n".join(line for sentence in lines for line in sentence))
    return path.name


def test_a_run_finds_its_vectors_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, out = columns(tmp_path / "data.txt", TRAIN), tmp_path / "m"
    (tmp_path / "vectors.txt").write_text("".join(f"{word} 0.5 -1 2\n" for word in ("fly", "fares", "rome")))
    begun = Tagger(**SMALL, updates=2, vectors="vectors.txt").fit(data, out=out)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Tagger.resume(out, updates=3).metrics["updates"] == 3
    assert "most frequent" in Tagger.load(out).report().html()
    with pytest.raises(DataError, match=r"vectors\.txt: cannot be read"):
        Tagger.resume(out, updates=4, vectors="vectors.txt")
    (tmp_path / "vectors.txt").rename("vectors.txt")  # it has moved, and is given again
    assert Tagger.resume(out, updates=4, vectors="vectors.txt").metrics["updates"] == 4
    assert begun.get_params()["vectors"] == "vectors.txt"


def test_a_path_as_a_string_is_tuned_on(tmp_path):
    pytest.importorskip("optuna", reason="optuna is not installed")
    columns(tmp_path / "data.txt", TRAIN)
    sources = {"data": str(tmp_path / "data.txt"), "validation": str(tmp_path / "data.txt")}
    model = Tagger(**SMALL, updates=2).tune(1, sources, search={"hidden_size": OneOf(6)}, out=tmp_path / "m")
    assert Tagger(**SMALL).tune(1, {}, out=tmp_path / "m", resume=True).tuning == model.tuning  # found again


@pytest.mark.slow
def test_two_processes_train_as_one():
    how = {**SMALL, "epochs": 1, "evaluate_every": 4, "dropout": 0.0, "word_dropout": 0.0, "accelerator": "cpu"}
    one, two = (Tagger(**how, devices=n).fit(*TRAIN, validation=VALID).metrics["history"] for n in (1, 2))
    for name in ("loss", "train_loss", "items"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-5)


def test_it_is_an_estimator_of_scikit_learn():
    clone = pytest.importorskip("sklearn.base").clone
    model = Tagger("gru", hidden_size=7, learning_rate=0.1)
    assert clone(model).get_params() == model.get_params()
    assert clone(model).set_params(hidden_size=9).settings.hidden_size == 9
    assert set(Tagger.search) <= model.get_params().keys()


def test_counts_of_processes_add_up():
    guess = Guess(["B-x", "O"], "a", 1.0, 0.5, 0.25)
    one, two, both = TagCounts(), TagCounts(), TagCounts()
    one.add(["B-x", "O"], "a", guess)
    two.add(["B-x", "B-y"], "b", guess)
    both.add(["B-x", "O"], "a", guess)
    both.add(["B-x", "B-y"], "b", guess)
    total = TagCounts.of(np.add(one.numbers(), two.numbers()).tolist())
    assert total.figures("BIO") == both.figures("BIO")
    assert both.figures("BIO") == pytest.approx(
        {"loss": 0.75, "f1": 0.8, "precision": 1.0, "recall": 2 / 3, "accuracy": 0.75, "intent_accuracy": 0.5,
         "sentence_accuracy": 0.5}
    )  # fmt: skip


# -- the network -----------------------------------------------------------------------------------------------------


def network(**settings: Any) -> tuple[TagNetwork, Encoded]:
    train = Sentences("x", *TRAIN)
    chosen = TagSettings(**{**SIZES, **settings})
    known = Vocabulary.build(train, chosen)
    torch.manual_seed(0)
    made = TagNetwork(gw.cells.lstm, chosen, {"vocabulary": known.to_dict()})
    return made.double(), Encoded.of(train, known)


@pytest.mark.parametrize("characters", ["recurrent", "convolution", "none"])
@pytest.mark.parametrize("pooling", ["attention", "max", "mean"])
def test_a_sentence_is_scored_alike_in_every_batch(characters, pooling):
    made, data = network(characters=characters, pooling=pooling)
    made.eval()
    rows = np.argsort(data.lengths)[[0, -1, 5]]
    out = made(collate(data, rows))
    for b, row in enumerate(rows):
        alone = made(collate(data, np.array([row])))
        n = data.lengths[row]
        assert torch.allclose(out.emissions[:n, b], alone.emissions[:, 0])
        assert torch.allclose(out.intents[b], alone.intents[0])
        assert torch.allclose(out.tag_loss[b], alone.tag_loss[0])


def test_what_training_lacks_has_no_loss():
    made, data = network()
    made.eval()
    batch = collate(data, np.arange(3))
    batch.tags[0, 1], batch.intents[2] = made.tags, made.intents  # numbers behind those that are known
    out = made(batch)
    assert (out.tag_loss > 0).tolist() == [True, False, True]
    assert (out.intent_loss > 0).tolist() == [True, True, False]


@pytest.mark.parametrize("crf", [True, False])
def test_every_weight_gets_a_gradient(crf):
    made, data = network(crf=crf)
    out = made(collate(data, np.arange(8)))
    (out.tag_loss + out.intent_loss).mean().backward()
    assert [name for name, w in made.named_parameters() if w.grad is None or not w.grad.any()] == []


def test_without_a_crf_the_loss_is_the_cross_entropy_of_the_words():
    made, data = network(crf=False)
    made.eval()
    batch = collate(data, np.array([3]))
    out = made(batch)
    wanted = torch.nn.functional.cross_entropy(out.emissions[:, 0], batch.tags[:, 0], reduction="sum")
    assert torch.allclose(out.tag_loss[0], wanted)


@pytest.mark.parametrize("crf", [True, False])
def test_predicted_tags_keep_to_bio_where_training_does(crf):
    for constrained in (True, False):
        made, data = network(crf=crf, constrained=constrained)
        made.eval()
        with torch.no_grad():
            made.emit.weight.mul_(50)  # an untrained network with strong opinions
        batch = collate(data, np.arange(60))
        tags = made.decode(made(batch), batch.lengths)
        named = [[data.tags[k] for k in tags[:n, b].tolist()] for b, n in enumerate(batch.lengths)]
        keeps = all(follows(a, z, "BIO") for s in named for a, z in zip([None, *s], [*s, None], strict=True))
        assert keeps == constrained


def test_rare_words_are_unknown_now_and_then_in_training_alone():
    made, data = network(word_dropout=5.0)
    words = torch.from_numpy(data.word)
    counts = made.counts[words]
    made.train()
    unknown = torch.stack([made._some_unknown(words) == 0 for _ in range(200)]).double().mean(0)
    assert torch.allclose(unknown, (5 / (5 + counts)).double(), atol=0.15)
    made.eval()
    assert torch.equal(made._some_unknown(words), words)


def test_intents_are_smoothed_in_training_alone():
    plain, data = network(dropout=0.0, word_dropout=0.0)
    smooth = network(dropout=0.0, word_dropout=0.0, label_smoothing=0.3)[0]
    smooth.load_state_dict(plain.state_dict())
    batch = collate(data, np.arange(20))
    out, smoothed = plain.train()(batch), smooth.train()(batch)
    spread = -out.intents.log_softmax(-1).mean(-1)
    assert torch.allclose(smoothed.intent_loss, 0.7 * out.intent_loss + 0.3 * spread)
    assert torch.equal(smooth.eval()(batch).intent_loss, plain.eval()(batch).intent_loss)


# -- vectors ---------------------------------------------------------------------------------------------------------


def test_given_vectors_begin_and_words_of_the_file_are_known(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("rome 1 2 3\nparis 1 2 4\nzurich 9 9 9\n")
    model = fitted(vectors=str(path), learning_rate=1e-9, updates=1)
    embedding, known = model.network.embedding.weight, model.vocabulary
    assert embedding.shape[1] == 3
    assert torch.allclose(embedding[known.word("Paris")], torch.tensor([1.0, 2.0, 4.0]), atol=1e-3)
    less = fitted(vectors=str(path), vector_words=1, updates=1)
    assert less.vocabulary.word("Rome") and not less.vocabulary.word("Paris")
    assert model.prepared.sha256 != fitted(updates=1).prepared.sha256


# -- bad input -------------------------------------------------------------------------------------------------------


def refused(message: str, *data: Any, validation: Any = None, **settings: Any) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        Tagger(**SMALL, **settings).fit(*data, validation=validation)


def test_what_cannot_be_learnt():
    words = [["a", "b"], ["c", "d"]]
    refused("every tag is 'O', so there is nothing to learn; give data with several tags", words, [["O", "O"]] * 2)
    tags = [["O", "B-x"]] * 2
    refused("every intent is 'i', so there is nothing to learn", words, tags, ["i", "i"])
    refused("no intents, and the sentences given has them", words, tags, ["i", "j"], validation=(words, tags))
    refused("1 sentences; some must be left for validation", words[:1], tags[:1])
    refused("validation: expected a path, (sentences, tags)", words, tags, validation=[words])


def test_broken_bio_is_counted_or_refused():
    tags = [["O", *sentence[1:-1], "I-to"] for sentence in TRAIN[1]]
    model = Tagger(**SMALL, updates=1).fit(TRAIN[0], tags, validation=VALID[:2])
    assert model.metrics["data"]["neighbours_that_break_bio"] > 0
    assert ("O", "I-to") in model.vocabulary.exceptions
    refused("breaks BIO; correct the tag, or take --invalid accept", TRAIN[0], tags, invalid="error")
    for number in (3, 7):  # the sentence's number in the data, though some are drawn for validation
        one = [tags[k] if k == number else sentence for k, sentence in enumerate(TRAIN[1])]
        refused(f"sentence {number + 1} ", TRAIN[0], one, invalid="error")


def test_a_loss_needs_something_that_training_knows(learnt):
    other = [["X"] * len(words) for words in VALID[0]]
    assert "loss" not in learnt.evaluate(VALID[0], other)
    refused("no validation sentence has tags that the training data have", *TRAIN[:2], validation=(VALID[0], other))
    unknown = ["other"] * len(VALID[0])
    refused("no validation sentence has intent that", *TRAIN, validation=(*VALID[:2], unknown))


def test_few_sentences_are_trained_on_for_more_epochs_in_smaller_batches(monkeypatch):
    monkeypatch.setattr(TagJob, "usual_epochs", 3)
    monkeypatch.setattr(TagJob, "least_updates", 30)
    model = Tagger(hidden_size=4, embedding_size=4, characters="none").fit(*(part[:20] for part in TRAIN))
    assert model.metrics["updates"] == 30 and model.metrics["epochs"] == 6  # not 3; of 18 sentences, 4 an update
    assert model.metrics["training"]["batch_size"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "dropout"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"validation": 0.0}, "validation"),
        ({"character_hidden": 7}, "character_hidden: expected an even number"),
        ({"pooling": "sum"}, "pooling"),
        ({"intent_weight": -1.0}, "intent_weight"),
        ({"hiden_size": 3}, "did you mean 'hidden_size'"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        Tagger(**settings)


# -- reports ---------------------------------------------------------------------------------------------------------


def test_the_report_shows_baselines_types_confusions_and_examples(learnt):
    report = learnt.report()
    assert report.missing == []
    titles = [section.title for section in report.sections]
    assert {"Scores", "Examples", "Types", "Gates"} <= set(titles)
    page = report.html()
    assert "most frequent" in page and "B-from" in page
    ours, baseline = learnt._findings(learnt.prepared).scores
    assert ours.figures["100 − F1"] < baseline.figures["100 − F1"]
    assert 0 < baseline.figures["right tags, %"] < 100


def test_the_baseline_is_each_words_most_frequent_tag():
    words, tags = [["a", "b"], ["a", "b"], ["a", "c"]], [["O", "B-x"], ["O", "B-x"], ["B-x", "O"]]
    model = Tagger(**SMALL, updates=1).fit(words, tags, validation=(words[:1] + words[2:], tags[:1] + tags[2:]))
    baseline = next(s for s in model._findings(model.prepared).scores if not s.ours)
    assert baseline.figures["right tags, %"] == pytest.approx(75)  # of the last sentence, "a" is wrong


def test_a_page_about_one_sentence(learnt, tmp_path):
    page = learnt.explain("fly from Rome to Atlantis")
    assert page.missing == []
    html = page.save(tmp_path / "page.html").read_text()
    assert "Atlantis" in html and "not in the vocabulary" in html and "p(these tags)" in html
    assert Tagger(**SMALL, updates=1, crf=False).fit(*TRAIN, validation=VALID).explain(["fly"]).missing == []


# -- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "atis").exists(), reason="ATIS is not in ../shared/data")
def test_atis_is_read_whole():
    prepared = Tagger()._prepare(data=DATA / "atis")
    assert (len(prepared.train), len(prepared.valid)) == (4478, 500)
    known = prepared.config["vocabulary"]
    assert (len(known["tags"]), len(known["intents"])) == (120, 21)
    assert prepared.valid.intents[-1] == "atis_airfare#atis_flight_time"
