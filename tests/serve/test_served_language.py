"""A language model behind HTTP: what it answers is what it answers in Python."""

import math

import pytest
import torch
from starlette.testclient import TestClient

from gatewright.explorer import sentences
from gatewright.serve import application
from gatewright.tasks import LanguageModel
from gatewright.tasks.errors import TaskError
from gatewright.tasks.language import serving


@pytest.fixture(scope="module")
def model():
    return LanguageModel.load(sentences.FOLDER)


@pytest.fixture(scope="module")
def chars():
    text = "To be, or not to be, that is the question. " * 40
    return LanguageModel(hidden_size=24, batch_size=4, updates=40, learning_rate=0.02, seed=1).fit(text)


@pytest.fixture(scope="module")
def client(model):
    with TestClient(application(sentences.FOLDER), base_url="http://127.0.0.1:8000") as found:
        yield found


def test_texts_that_are_drawn_side_by_side_are_those_drawn_alone(chars):
    items = [
        {"prompt": "To be", "length": 12, "seed": 1},
        {"prompt": "", "length": 30, "seed": 2, "temperature": 1.3},
        {"prompt": "not", "length": 5, "seed": 3, "top_k": 3},
        {"prompt": "that is", "length": 40, "seed": 4, "until": "e"},
        {"prompt": "or", "length": 0, "seed": 4},
        {"prompt": "quest", "length": 20, "temperature": 0.0, "repetition_penalty": 1.2},
    ]
    with torch.no_grad():
        found = chars.answer(items)
    for item, answer in zip(items, found, strict=True):
        assert answer["text"] == chars.generate(**item), item


def test_a_request_is_answered(client, model):
    item = {"prompt": "the keys", "length": 6, "seed": 3}
    assert client.post("/predict", json=item).json()["text"] == model.generate(**item)
    both = client.post("/predict", json=[item, {"text": "the keys to the cabinet are on the table ."}]).json()
    score = model.score("the keys to the cabinet are on the table .")
    assert both[1]["loss"] == pytest.approx(score.loss) and both[1]["tokens"] == score.predictions


def test_beams_are_searched_for(client, model):
    found = client.post("/predict", json={"prompt": "the", "length": 4, "beams": 3}).json()
    best = model.beams("the", beams=3, length=4)[0]
    assert found == {"text": best.text, "log_probability": pytest.approx(best.log_probability)}


def test_a_step_that_is_no_text_changes_nothing(client):
    key = client.post("/sessions").json()["session"]
    half = b'{"text": "\\ud83d"}'  # of a character that takes two
    found = client.post(f"/sessions/{key}/step", content=half, headers={"content-type": "application/json"})
    assert found.status_code == 422 and client.get(f"/sessions/{key}").json()["steps"] == 0
    assert client.post(f"/sessions/{key}/step", json={"text": "the"}).status_code == 200


def test_a_session_reads_a_text_as_a_whole_is_read(client, model):
    key = client.post("/sessions").json()["session"]
    nats = 0.0
    for piece in ("the keys", " to the", " cabinet are", " on the table ."):
        answer = client.post(f"/sessions/{key}/step", json={"text": piece, "top": 3}).json()
        nats += answer["nats"]
    score = model.score("the keys to the cabinet are on the table .")
    assert nats == pytest.approx(score.nats, rel=1e-5) and answer["read"] == score.predictions + 1
    p = [one["p"] for one in answer["next"]]
    assert len(p) == 3 and p == sorted(p, reverse=True) and 0 < sum(p) <= 1 + 1e-6


def test_what_is_expected_next_are_the_networks_probabilities(chars):
    session = chars.session()
    session.step({"text": "To be, or n"})
    answer = session.step({"text": "o", "top": 1000})
    with torch.no_grad():
        tokens = torch.tensor(chars.tokenizer.encode("To be, or no"))[:, None]
        p = chars.network(tokens)[0][-1, 0].softmax(-1)
    assert math.isclose(sum(one["p"] for one in answer["next"]), 1.0, rel_tol=1e-5)
    assert len(answer["next"]) == chars.tokenizer.size
    assert answer["next"][0]["p"] == pytest.approx(float(p.max()), rel=1e-4)
    assert answer["next"][0]["token"] == chars.tokenizer.decode([int(p.argmax())])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("text", 'expected {"prompt": …} or {"text": …}, got \'text\''),
        ({}, "a request: expected"),
        ({"prompt": "a", "text": "b"}, "a request: expected"),
        ({"prompt": 3}, "prompt: expected text, got 3"),
        ({"prompt": "a", "lenght": 3}, "did you mean 'length'"),
        ({"prompt": "a", "length": 5000}, "5000 tokens are more than the 4096 of one request"),
        ({"prompt": "a", "temperature": -1}, "setting temperature"),
        ({"text": "a", "length": 3}, "has nothing else"),
        ({"text": ""}, "empty|too short"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(item, message, client):
    answer = client.post("/predict", json=item)
    assert answer.status_code == 422
    told = answer.json()["error"]["message"]
    assert any(part in told for part in message.split("|")), told


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a", "a step: expected"),
        ({"text": "a", "temperature": 1}, "a step: expected"),
        ({"text": ""}, "is empty"),
        ({"text": 3}, "text: expected text, got 3"),
        ({"text": "a", "top": 0}, "top: expected a whole number"),
    ],
)
def test_a_wrong_step_changes_nothing(item, message, chars):
    session, other = chars.session(), chars.session()
    session.step({"text": "To b"})
    other.step({"text": "To b"})
    with pytest.raises(TaskError, match=message):
        session.step(item)
    assert session.step({"text": "e"}) == other.step({"text": "e"})


def test_the_page_shows_the_model(client):
    page = client.get("/").text
    assert "language" in page and "prompt" in page and "hidden_size" in page


def test_a_long_step_is_read_in_parts(chars, monkeypatch):
    text = "To be, or not to be, that is the question. " * 3
    whole = chars.session().step({"text": text})
    monkeypatch.setattr(serving, "LOGITS", 7 * chars.tokenizer.size)  # seven tokens at once, not all
    made = []
    logits = chars.network.logits
    monkeypatch.setattr(chars.network, "logits", lambda y: made.append(len(y)) or logits(y))
    parts = chars.session().step({"text": text})
    assert max(made) == 7 and parts["nats"] == pytest.approx(whole["nats"], rel=1e-6)
    assert parts["next"] == whole["next"]
