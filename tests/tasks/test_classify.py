"""The classifier as its users meet it: fit, predict, probabilities, files, resumption, scikit-learn."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import cross_val_score

import gatewright as gw
from gatewright.tasks import SettingsError, TaskError, TrainingSettings
from gatewright.tasks.classify.classifier import ClassifyTraining
from gatewright.tasks.classify.job import ClassifyJob
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import DataError, TextError
from gatewright.tasks.run_folder import RunFolder
from gatewright.tasks.tuning.tune import OneOf

QUICK = {"hidden_size": 6, "batch_size": 8, "epochs": 2, "warmup": 2, "conv_layers": 0}


def waves(count: int = 24, *, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Slow and fast waves of several lengths, two features."""
    generator = np.random.default_rng(seed)
    labels = np.array(["slow", "fast"] * (count // 2))
    made = []
    for label in labels:
        t = np.arange(generator.integers(12, 30)) * (0.2 if label == "slow" else 0.9) + generator.uniform(0, 6)
        made.append(np.stack([np.sin(t), 50 + 10 * np.cos(t)], 1) + 0.05 * generator.standard_normal((len(t), 2)))
    return made, labels


@pytest.fixture(scope="module")
def fitted() -> gw.Classifier:
    x, y = waves(40)
    return gw.Classifier(hidden_size=8, batch_size=8, epochs=15, learning_rate=1e-2).fit(x, y)


def test_it_learns_what_differs_between_sequences(fitted: gw.Classifier) -> None:
    x, y = waves(30, seed=1)
    assert fitted.score(x, y) >= 0.95
    assert fitted.classes_.tolist() == ["fast", "slow"]
    p = fitted.predict_proba(x)
    assert p.shape == (30, 2) and np.allclose(p.sum(1), 1)
    assert (fitted.classes_[p.argmax(1)] == fitted.predict(x)).all()
    figures = fitted.evaluate(x, y)
    assert figures["accuracy"] == fitted.score(x, y) and figures["sequences"] == 30
    assert np.isclose(figures["loss"], -np.log(p[np.arange(30), (y == "slow").astype(int)]).mean(), rtol=1e-5)


def test_a_sequence_is_told_the_same_alone_and_among_others(fitted: gw.Classifier) -> None:
    x, _ = waves(30, seed=2)
    together = fitted.predict_proba(x)
    alone = np.concatenate([fitted.predict_proba([item]) for item in x])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    backwards = fitted.predict_proba(x[::-1])[::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-6)


def test_a_padded_array_and_a_frame_are_the_same_sequences(fitted: gw.Classifier) -> None:
    import pandas as pd

    x, _ = waves(6, seed=3)
    lengths = np.array([len(item) for item in x])
    padded = np.full((6, lengths.max(), 2), np.nan)
    for k, item in enumerate(x):
        padded[k, : len(item)] = item
    rows = [{"id": k, "x0": a, "x1": b} for k, item in enumerate(x) for a, b in item]
    wanted = fitted.predict_proba(x)
    np.testing.assert_array_equal(wanted, fitted.predict_proba(padded, lengths=lengths))
    np.testing.assert_array_equal(wanted, fitted.predict_proba(pd.DataFrame(rows)))


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("x0", "x1"), ("x1", "temp"), ("u, v", " w ")])
def test_columns_are_found_by_name(a: str, b: str) -> None:
    table = {"id": [1, 1, 2, 2, 3, 3, 4, 4], a: [0, 0, 5, 5] * 2, b: [1.0] * 8, "label": list("uuvv" * 2)}
    model = gw.Classifier(**QUICK).fit(table, validation=table)
    other = {"id": table["id"], "more": list("abcdefgh"), b: table[b], a: table[a]}
    np.testing.assert_array_equal(model.predict_proba(table), model.predict_proba(other))
    with pytest.raises(DataError, match=f"no column '{b}'"):
        model.predict({name: values for name, values in other.items() if name != b})


def test_features_that_were_chosen_stay_chosen() -> None:
    table = {"id": [k // 2 for k in range(16)], "x0": [k % 5 for k in range(16)], "x1": [1.0] * 16, "more": [2.0] * 16}
    table["label"] = ["uv"[k // 2 % 2] for k in range(16)]
    model = gw.Classifier(features="x0,x1", **QUICK).fit(table, validation=table)
    assert model.evaluate(table)["sequences"] == 8


def test_a_table_with_groups_is_read_the_same_without_them(tmp_path: Path) -> None:
    rows = [f"{k},{t % 3 + k % 2},{t},p{k % 6},{'uv'[k % 2]}" for k in range(18) for t in range(4)]
    path = tmp_path / "t.csv"
    for names in (["a", "b"], ["x0", "x1"]):
        path.write_text("\n".join([f"id,{','.join(names)},who,label", *rows]) + "\n")
        model = gw.Classifier(group="who", **QUICK).fit(path, validation=path)
        assert model.config is not None and model.config["features"] == names
        assert model.evaluate(path)["sequences"] == 18


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_other_precisions(precision: str) -> None:
    x, y = waves()
    backend = "reference" if precision == "bf16-true" else "auto"
    model = gw.Classifier(**{**QUICK, "conv_layers": 1}, precision=precision, backend=backend).fit(x, y)
    assert model.predict_proba(x).sum(1) == pytest.approx(1.0)
    assert not model.report().missing


def test_the_same_seed_gives_the_same_model_and_another_another() -> None:
    x, y = waves()
    noisy = {**QUICK, "noise": 0.1, "shift": 0.2, "warp": 0.1, "mask_time": 0.2}
    one, two, other = (gw.Classifier(seed=s, **noisy).fit(x, y) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))
    assert not np.array_equal(one.predict_proba(x), other.predict_proba(x))


def test_saved_and_loaded_it_says_the_same(fitted: gw.Classifier, tmp_path: Path) -> None:
    x, y = waves(10, seed=4)
    fitted.save(tmp_path / "model")
    loaded = gw.Classifier.load(tmp_path / "model")
    np.testing.assert_array_equal(fitted.predict_proba(x), loaded.predict_proba(x))
    assert loaded.evaluate(x, y) == fitted.evaluate(x, y)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["labels"] == ["fast", "slow"] and len(config["mean"]) == 2


def test_scales_come_from_the_training_part_alone() -> None:
    x, y = waves()
    far = [item + 1000 for item in x[:4]]
    model = gw.Classifier(**QUICK).fit(x, y, validation=(far, y[:4]))
    assert model.config is not None
    np.testing.assert_allclose(model.config["mean"], np.concatenate(x).mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.config["scale"], np.concatenate(x).std(0), rtol=1e-4)


def test_features_in_small_units_count() -> None:
    """As those of magnetoencephalography, in tesla."""
    x, y = waves()
    one, tesla = (gw.Classifier(**QUICK).fit([unit * item for item in x], y) for unit in (1.0, 1e-13))
    np.testing.assert_allclose(tesla.predict_proba([1e-13 * item for item in x]), one.predict_proba(x), atol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_numbers_that_are_large_and_hardly_differ(precision: str) -> None:
    """Features of 1000 ± 0.1 and targets of 1e9 ± 5 are learnt and told as those that are seen from their mean."""
    how = {"kind": "regression", "precision": precision, "backend": "reference", "pooling": "mean", **QUICK}
    x = [np.full((6, 1), k % 10 - 4.5) for k in range(40)]
    y = np.array([k % 10 - 4.5 for k in range(40)])
    near = gw.Classifier(**how).fit(x, y)
    far = gw.Classifier(**how).fit([1000 + 0.1 * item for item in x], 1e9 + y)
    rough = {"32-true": 1e-2, "bf16-true": 0.2}[precision]
    for name in ("train_loss", "loss"):
        found, wanted = ([row[name] for row in model.metrics["history"]] for model in (far, near))
        assert found == pytest.approx(wanted, rel=rough)
    told = far.predict([1000 + 0.1 * item for item in x]) - 1e9
    np.testing.assert_allclose(told, near.predict(x), atol=10 * rough)
    assert far.evaluate([1000 + 0.1 * item for item in x], 1e9 + y)["rmse"] == pytest.approx(
        near.evaluate(x, y)["rmse"], rel=rough
    )


def test_a_run_that_stops_and_goes_on_is_the_run_that_did_not(tmp_path: Path) -> None:
    x, y = waves()
    settings = {**QUICK, "epochs": None, "schedule": "constant", "evaluate_every": 3, "noise": 0.1}
    whole = gw.Classifier(updates=9, **settings).fit(x, y, out=tmp_path / "whole")
    gw.Classifier(updates=4, **settings).fit(x, y, out=tmp_path / "parts")
    with pytest.raises(SettingsError, match="data: this run was given a list"):
        gw.Classifier.resume(tmp_path / "parts", updates=9)
    with pytest.raises(SettingsError, match="not the data that this run began with"):
        gw.Classifier.resume(tmp_path / "parts", x[:-2], y[:-2], updates=9)
    parts = gw.Classifier.resume(tmp_path / "parts", x, y, updates=9)
    trees = [RunFolder(tmp_path / name).read()[0]["network"] for name in ("whole", "parts")]
    for name, weight in trees[0].items():
        if "_extra" not in name:
            assert weight.equal(trees[1][name]), name
    assert whole.metrics["updates"] == parts.metrics["updates"] == 9


def test_scikit_learn_takes_it() -> None:
    x, y = waves(32)
    model = gw.Classifier(hidden_size=8, batch_size=8, epochs=12, learning_rate=1e-2)
    assert is_classifier(model) and not is_regressor(model)
    assert is_regressor(gw.Classifier(kind="regression"))
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert cross_val_score(model, x, y, cv=2).mean() > 0.8


@pytest.mark.parametrize("cell", ["gru", "rnn", "sru", "mgu"])
def test_any_cell_does(cell: str) -> None:
    x, y = waves()
    model = gw.Classifier(cell, **QUICK).fit(x, y)
    assert model.predict(x).shape == (24,) and model.cell_name == cell


def test_a_cell_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "leaky.txt"
    path.write_text("f = sigmoid(W_f x + b_f)\nh = f * h + (1 - f) * tanh(W x + U h + b)\n")
    x, y = waves()
    gw.Classifier(path, **QUICK).fit(x, y, out=tmp_path / "run")
    assert gw.Classifier.load(tmp_path / "run").predict(x).shape == (24,)


def test_numbers_can_be_told_of_sequences() -> None:
    generator = np.random.default_rng(0)
    x = [generator.standard_normal((15, 1)) + k % 10 for k in range(60)]
    y = np.array([100.0 + 3 * (k % 10) for k in range(60)])
    model = gw.Classifier(kind="regression", hidden_size=8, batch_size=8, epochs=30, learning_rate=1e-2).fit(x, y)
    figures = model.evaluate(x, y)
    told = model.predict(x)
    assert figures["r2"] > 0.9 and model.score(x, y) == figures["r2"]
    assert np.isclose(figures["rmse"], np.sqrt(((told - y) ** 2).mean()))
    assert np.isclose(figures["mae"], np.abs(told - y).mean())
    with pytest.raises(AttributeError, match="predict_proba"):
        model.predict_proba(x)
    with pytest.raises(AttributeError, match="no classes"):
        _ = model.classes_
    assert model.answer([{"sequence": x[0].tolist()}])[0]["prediction"] == pytest.approx(told[0], rel=1e-5)


def test_a_label_that_is_no_number_is_named() -> None:
    x = [[float(k)] for k in range(12)]
    model = gw.Classifier(kind="regression", **QUICK).fit(x, np.arange(12.0))
    assert model.evaluate(x[:2], ["1.5", "2"])["sequences"] == 2
    with pytest.raises(DataError, match="sequence 1: expected a number to regress on, got the label 'high'; correct"):
        model.evaluate(x[:2], ["1.5", "high"])


def test_a_request_and_a_step_refuse_text_that_is_none() -> None:
    model = gw.Classifier(bidirectional=False, tokenizer="bytes", **QUICK).fit(["one two", "three"] * 6, [0, 1] * 6)
    session, other = model.session(), model.session()
    assert session is not None and other is not None
    session.step({"text": "one"})
    for ask in (session.step, lambda item: model.answer([item])):
        with pytest.raises(TextError, match="no UTF-8 form"):
            ask({"text": "\ud83d"})
    other.step({"text": "one"})
    assert session.step({"text": " two"}) == other.step({"text": " two"})


def test_it_is_tuned_with_the_arguments_of_fit() -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    x, y = waves()
    search = {"hidden_size": OneOf(6)}
    for sources in ({"X": x, "y": y}, {"data": x, "labels": y}):
        model = gw.Classifier(**QUICK).tune(1, sources, search=search)
        assert model.predict(x).shape == (24,)


def test_texts() -> None:
    texts = ["a good kind film", "great and lovely", "so bad and awful", "a terrible dull thing"] * 8
    model = gw.Classifier(hidden_size=8, batch_size=8, epochs=12, learning_rate=1e-2).fit(texts, [1, 1, 0, 0] * 8)
    assert model.predict(["lovely film", "dull thing", "words never seen"]).tolist()[:2] == [1, 0]
    assert model.answer([{"text": "lovely film"}])[0]["prediction"] == 1
    with pytest.raises(DataError, match="got numbers, and the model was trained on text"):
        model.predict([[1.0, 2.0]])


@pytest.mark.slow
def test_rare_classes_can_count_as_much() -> None:
    generator = np.random.default_rng(1)
    y = np.array([1 if k % 10 == 0 else 0 for k in range(120)])
    x = [generator.standard_normal((8, 1)) + 0.8 * label for label in y]
    recall = {}
    for balance in ("none", "weights", "sampling"):
        model = gw.Classifier(hidden_size=4, epochs=12, balance=balance, learning_rate=1e-2).fit(x, y)
        recall[balance] = model.by_class(x, y)[1]["recall"]
    assert recall["weights"] > recall["none"] + 0.2 and recall["sampling"] > recall["none"] + 0.2


def test_how_early_a_class_is_known() -> None:
    """The class shows in the second half alone: a one-directional model cannot know it before."""
    generator = np.random.default_rng(2)
    y = np.array([0, 1] * 30)
    x = [np.concatenate([generator.standard_normal(10), generator.standard_normal(10) + 4 * k])[:, None] for k in y]
    for both in (False, True):
        model = gw.Classifier(
            hidden_size=8, batch_size=8, epochs=12, learning_rate=1e-2, bidirectional=both, pooling="max"
        )
        curve = dict(model.fit(x, y).early(x, y, parts=4))
        assert list(curve) == [0.25, 0.5, 0.75, 1.0]
        assert curve[0.5] < 0.75 < 0.95 <= curve[1.0]
        assert curve[1.0] == model.score(x, y)


def test_the_report_has_what_a_reader_asks_for(tmp_path: Path) -> None:
    x, y = waves(40)
    model = gw.Classifier(**QUICK).fit(x, y, out=tmp_path / "run")
    report = model.report()
    titles = [section.title for section in report.sections]
    assert titles[:5] == ["Scores", "Training", "Confusions", "Early prediction", "Examples"]
    assert not report.missing and (tmp_path / "run" / "report.html").exists()
    assert "logistic regression" in report.html() and "commonest class" in report.html()
    loaded = gw.Classifier.load(tmp_path / "run")
    assert "no baselines" in loaded.report().html()
    assert not loaded.report(x, y).missing and "logistic regression" in loaded.report(x, y).html()
    with pytest.raises(SettingsError, match="not the data that this model was trained on"):
        loaded.report(x[:-4], y[:-4])


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"bidirectional": False}, {"conv_layers": 1, "conv_stride": 2}, {"stack": 2}])
def test_reports_of_other_networks(change: dict[str, Any]) -> None:
    x, y = waves()
    model = gw.Classifier(**{**QUICK, **change}).fit(x, y)
    assert not model.report().missing
    assert not model.explain(x, number=2).missing
    with pytest.raises(SettingsError, match="expected 0 to 23 for the data, got 24"):
        model.explain(x, number=24)


def test_reports_of_texts_and_of_numbers() -> None:
    texts = ["one two three", "four five", "six seven eight nine", "ten"] * 6
    told = gw.Classifier(**QUICK).fit(texts, list("abab") * 6)
    numbers = gw.Classifier(kind="regression", **QUICK).fit(waves()[0], np.arange(24.0))
    for model, x in ((told, texts), (numbers, waves()[0])):
        assert not model.report().missing and not model.explain(x).missing


def test_requests_and_sessions_agree() -> None:
    x, y = waves()
    model = gw.Classifier(**{**QUICK, "conv_layers": 2}, bidirectional=False, conv_stride=2, stack=2).fit(x, y)
    item = x[0][:28] if len(x[0]) >= 28 else np.resize(x[0], (28, 2))
    session = model.session()
    assert session is not None
    answers = [session.step({"frame": frame.tolist()}) for frame in item]
    assert answers[0] == {"prediction": None, "steps": 0}
    whole = model.answer([{"sequence": item.tolist()}])[0]
    for name, p in whole["probabilities"].items():
        assert answers[-1]["probabilities"][name] == pytest.approx(p, abs=1e-5)
    assert model.answer([model.example()])[0]["prediction"] in ("slow", "fast")
    with pytest.raises(DataError, match="step 2: frame: expected 2 finite numbers"):
        session_after(model, item[:16]).step({"frame": [1.0]})
    with pytest.raises(DataError, match="expected an object with 'frame'"):
        session.step({"text": "a"})
    assert gw.Classifier(**QUICK).fit(x, y).session() is None


def session_after(model: gw.Classifier, item: np.ndarray) -> Any:
    session = model.session()
    assert session is not None
    for frame in item:
        session.step({"frame": frame.tolist()})
    return session


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ([1, 2], "request: expected an object with 'sequence' alone, got list"),
        ({"text": "a"}, "request: expected an object with 'sequence' alone, got the keys text"),
        ({"sequence": "abc"}, "request: sequence: expected a list of numbers, got str"),
        ({"sequence": []}, "sequence 0: expected .* it is empty"),
        ({"sequence": [[1.0], [2.0]]}, "1 features .* trained on 2"),
        ({"sequence": [[1.0, float("nan")]]}, "sequence 0, row 0, feature 'x1': expected a finite number, got nan"),
        ({"sequence": [[1.0, 2.0], [3.0]]}, "sequence 0: expected numbers"),
    ],
)
def test_requests_that_cannot_be_answered(fitted: gw.Classifier, item: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fitted.answer([item])


def test_before_fit_everything_says_so() -> None:
    model = gw.Classifier()
    for call in (lambda: model.predict([[1.0]]), lambda: model.classes_, model.example):
        with pytest.raises(TaskError, match="no weights yet"):
            call()


# -- every setting changes something ---------------------------------------------------------------------------

CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "cell": ({}, "gru"),
    "kind": ({}, "regression"),
    "hidden_size": ({}, 7),
    "num_layers": ({}, 2),
    "bidirectional": ({}, False),
    "pooling": ({}, "mean"),
    "projection": ({"cell": "lstmp", "backend": "reference", "projection": 3}, 4),
    "heads": ({"cell": "peephole_lstm"}, 2),
    "stack": ({}, 2),
    "conv_layers": ({}, 1),
    "conv_channels": ({"conv_layers": 1}, 8),
    "conv_kernel": ({"conv_layers": 1}, 3),
    "conv_stride": ({"conv_layers": 1}, 2),
    "dropout": ({}, 0.6),
    "recurrent_dropout": ({}, 0.4),
    "normalize": ({}, "sequence"),
    "validation": ({}, 0.4),
    "balance": ({"uneven": True}, "weights"),
    "label_smoothing": ({}, 0.2),
    "noise": ({}, 0.3),
    "scaling": ({}, 0.3),
    "shift": ({}, 0.5),
    "warp": ({}, 0.5),
    "rotation": ({"three": True}, 45.0),
    "mask_time": ({}, 0.5),
    "mask_features": ({}, 0.9),
    "backend": ({}, "reference"),
}
TEXT = {"embedding_size": 5, "tokenizer": "chars", "vocabulary": 4, "drop_tokens": 0.6}
ELSEWHERE = {  # tried where audio and tables are
    "audio", "sample_rate", "bands", "coefficients", "frame_ms", "hop_ms", "trim_db",
    "sequence", "order", "label", "text", "file", "group", "features",
}  # fmt: skip


@functools.cache
def outcome(**settings: Any) -> Any:
    """A run's validation losses and the kernel it ran on."""
    uneven, three, texts = (settings.pop(name, False) for name in ("uneven", "three", "texts"))
    x, y = waves()
    x = [np.concatenate([item, item[:, :1] ** 2], 1) for item in x] if three else x
    labels: Any = (y == "slow").astype(int)
    if uneven:
        x, labels = x[:18] + x[19::2], [*labels[:18], *labels[19::2]]
    if texts:
        x = [f"a{'bcdefgh'[k % 7]} is {'good' if k % 2 else 'bad indeed'}" for k in range(24)]
    model = gw.Classifier(**{**QUICK, **settings}).fit(x, labels)
    return [row["loss"] for row in model.metrics["history"]], model.metrics["backend"]


def test_few_sequences_are_trained_on_for_more_epochs_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = waves(16)
    monkeypatch.setattr(ClassifyJob, "usual_epochs", 5)
    monkeypatch.setattr(ClassifyJob, "least_updates", 30)
    model = gw.Classifier(hidden_size=4, conv_channels=4, patience=0).fit(x, y)  # 14 of 16 are trained on
    assert model.metrics["updates"] == 32 and model.metrics["epochs"] == 8  # not 5, of 4 updates each
    assert [row["update"] for row in model.metrics["history"]] == [10, 20, 30, 32]
    assert model.metrics["training"]["batch_size"] is None and model.metrics["training"]["epochs"] is None
    job = ClassifyJob.__new__(ClassifyJob)
    for given, count, size in ((None, 14, 4), (None, 100, 12), (None, 10_000, 32), (7, 14, 7)):
        job.plan = SimpleNamespace(training=ClassifyTraining(batch_size=given))
        assert job.batch_size(count) == size
    assert gw.Classifier(**{**QUICK, "epochs": None}, updates=130).fit(x, y).metrics["updates"] == 130


def test_what_is_measured_is_read_by_convolutions_and_text_is_not() -> None:
    x, y = waves(12)
    assert len(gw.Classifier(hidden_size=4, updates=1).fit(x, y).network.front) == 2
    assert len(gw.Classifier(hidden_size=4, updates=1).fit(["one two", "three"] * 6, y).network.front) == 0


def test_every_setting_is_tried() -> None:
    own = {f.name for f in dataclasses.fields(ClassifySettings)}
    assert own == CHANGES.keys() | TEXT.keys() | ELSEWHERE
    assert not own & {f.name for f in dataclasses.fields(TrainingSettings)}


@pytest.mark.parametrize("name", [*CHANGES, *TEXT])
def test_a_setting_changes_something(name: str) -> None:
    besides, value = CHANGES.get(name) or ({"texts": True}, TEXT[name])
    assert outcome(**besides) != outcome(**{**besides, name: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "median"}, "setting pooling: expected last, mean, max, attention, got 'median'"),
        ({"hidden_size": 0}, "setting hidden_size: expected a number of at least 1, got 0"),
        ({"validation": 0.0}, "setting validation: expected a share above 0"),
        ({"warp": 1.0}, "setting warp: expected a number from 0 up to"),
        ({"kind": "regression", "balance": "weights"}, "setting balance: is for classes"),
        ({"kind": "regression", "label_smoothing": 0.1}, "setting label_smoothing: is for classes"),
        ({"hiden_size": 3}, "unknown setting 'hiden_size'; did you mean 'hidden_size'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        gw.Classifier(**settings)
