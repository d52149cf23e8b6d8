"""A model of each task behind HTTP: an item that is wrong fails alone, with a message, and nobody else notices."""

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import gatewright as gw
from gatewright.serve import application
from gatewright.serve.batching import each
from gatewright.tasks.errors import TaskError

SMALL = {"hidden_size": 4, "batch_size": 4, "updates": 2, "seed": 1}
STARTED = {"start": "2020-01-01"}


def language():
    return gw.tasks.LanguageModel(**SMALL).fit("To be, or not to be, that is the question. " * 20)


def forecast():
    day = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    return gw.Forecaster("gru", horizon=2, **SMALL).fit({"day": day, "y": np.sin(np.arange(60.0))})


def classify():
    steps = [np.sin(0.2 + 0.5 * (k % 2) * np.arange(10 + k % 3)) for k in range(20)]
    return gw.Classifier(**SMALL).fit(steps, ["slow", "fast"] * 10)


def tag():
    words = [["fly", "to", "Rome"], ["fares", "to", "Oslo"]] * 8
    return gw.Tagger(**SMALL).fit(words, [["O", "O", "B-city"]] * 16, ["book", "price"] * 8)


WRONG = {
    language: [
        {"prompt": 5},
        {"prompt": "\ud800"},
        {"text": "a"},
        {"prompt": "a", "seed": 2**64},
        {"prompt": "a", "temperature": 1e400},
        {"prompt": "a", "length": 3, "until": "\ud800"},
        {"prompt": "a", "length": 3, "beams": 2, "length_penalty": 1e308},
        {"prompt": "a", "length": 3, "beams": 10**9},
        {"prompt": "a", "length": 3, "repetition_penalty": 1e-320},
        {"prompt": "a", "length": 9, "repetition_penalty": 1e308},
    ],
    forecast: [
        {"y": "1, 2"},
        {"y": [1.0, 1e400], **STARTED},
        {"y": [1.0, 10**400], **STARTED},
        {"y": [1e300, 2.0], **STARTED},
        {"y": [None, None], **STARTED},
        {"y": [1.0], "start": 10**30},
        {"y": [1.0], "start": True},
        {"y": [1.0], "start": ""},
        {"y": [1.0], "start": "NaT"},
        {"y": [1.0], "start": "now"},
        {"y": [1.0], "quantiles": "a", **STARTED},
        {"y": [1.0], "quantiles": 0.5, **STARTED},
        {"y": [1.0], "quantiles": [None], **STARTED},
        {"y": [1.0], "quantiles": [[0.1]], **STARTED},
        {"y": [1.0], "quantiles": [2], **STARTED},
    ],
    classify: [
        {"sequence": 5},
        {"sequence": "abc"},
        {"sequence": None},
        {"sequence": [1.0, 10**400]},
        {"sequence": [1.0, 1e300]},
        {"sequence": [1.0, None]},
        {"sequence": [[1.0, 2.0]]},
        {"sequence": [1.0], "lenght": 3},
    ],
    tag: [
        {"text": 5},
        {"text": " "},
        {"words": "Rome"},
        {"words": ["to", 5]},
        {"words": []},
        {"text": "a", "length": 3},
    ],
}
ALL = [None, 1, "x", [], {}, {"another": 1}]


@pytest.fixture(scope="module", params=list(WRONG), ids=lambda make: make.__name__)
def served(request):
    return request.param(), WRONG[request.param]


def test_an_item_that_is_wrong_fails_alone(served):
    model, wrong = served
    good = model.example()
    with torch.no_grad():
        (alone,) = model.answer([good])
        for item in [*ALL, *wrong]:
            before, refused, after = each(model.answer, [good, item, good])
            assert before == alone == after, item
            assert isinstance(refused, TaskError), (item, refused)


def test_a_list_over_http_has_an_error_where_an_item_is_wrong(served):
    model, wrong = served
    with TestClient(application(model), base_url="http://127.0.0.1:8000") as client:
        good = client.get("/model").json()["example"]
        alone = client.post("/predict", json=good)
        assert alone.status_code == 200
        mixed = client.post("/predict", json=[good, wrong[0], good])
        assert mixed.status_code == 207
        assert mixed.json()[0] == alone.json() == mixed.json()[2]
        assert mixed.json()[1]["error"]["message"]
        assert client.post("/predict", json=wrong[0]).status_code == 422
