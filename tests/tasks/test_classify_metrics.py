"""Figures beside those of scikit-learn, and baselines that know what they can know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from gatewright.tasks.classify.data import prepare
from gatewright.tasks.classify.metrics import (
    baselines,
    class_table,
    confusion_of,
    from_confusion,
    from_errors,
    from_predictions,
)
from gatewright.tasks.classify.sequences import from_arrays
from gatewright.tasks.classify.settings import ClassifySettings


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_figures_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    truth, told = np.array(pairs).T
    confusion = confusion_of(told, truth, 4)
    assert (confusion == metrics.confusion_matrix(truth, told, labels=range(4))).all()
    found = from_confusion(confusion)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, told))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, told, average="macro"))
    recall = metrics.recall_score(truth, told, labels=np.unique(truth), average="macro")
    assert found["balanced_accuracy"] == pytest.approx(recall)
    by_class = metrics.precision_recall_fscore_support(truth, told, labels=range(4), zero_division=0.0)
    rows = class_table(confusion, range(4))
    for k, name in enumerate(("precision", "recall", "f1", "sequences")):
        assert [row[name] for row in rows] == pytest.approx(list(by_class[k]))


def test_losses_and_errors_are_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    p, truth = generator.dirichlet(np.ones(3), 50), generator.integers(0, 3, 50)
    assert from_predictions(p, truth, classes="abc")["loss"] == pytest.approx(metrics.log_loss(truth, p))
    y, told = generator.standard_normal(50) * 4 + 7, generator.standard_normal(50) * 4 + 7
    found = from_predictions(told, y, classes=None, scale=2.0)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, told))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, told))
    assert found["r2"] == pytest.approx(metrics.r2_score(y, told))
    assert found["loss"] == pytest.approx(metrics.mean_squared_error(y, told) / 4)
    sums = 50, ((told - y) ** 2).sum(), np.abs(told - y).sum(), (y - 5).sum(), ((y - 5) ** 2).sum()
    assert from_errors(*map(float, sums), scale=2.0) == pytest.approx(found)


def test_baselines() -> None:
    """The level of a sequence says its class; the linear model sees that, the commonest class does not."""
    generator = np.random.default_rng(0)
    y = np.array([0, 0, 1] * 40)
    found = from_arrays([generator.standard_normal((9, 2)) + 3 * label for label in y], labels=y)
    simple = baselines(prepare(found, None, ClassifySettings(), 0))
    assert simple["commonest class"][0]["accuracy"] == pytest.approx(2 / 3)
    assert simple["commonest class"][0]["loss"] == pytest.approx(0.6365, abs=0.01)
    assert simple["logistic regression"][0]["accuracy"] == 1.0
    texts = from_arrays(["good one" if label else "bad one" for label in y], labels=y)
    assert baselines(prepare(texts, None, ClassifySettings(), 0))["logistic regression"][0]["accuracy"] == 1.0
    numbers = from_arrays([generator.standard_normal((9, 2)) + k for k in range(40)], labels=np.arange(40.0))
    figures = baselines(prepare(numbers, None, ClassifySettings(kind="regression"), 0))
    assert figures["mean"][0]["r2"] < 0.1 and figures["ridge regression"][0]["r2"] > 0.9
