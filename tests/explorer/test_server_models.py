"""The models that the explorer opens: the shipped one and its sentences, layers, folders."""

import base64
import math

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import gatewright as gw
from gatewright.explorer import sentences
from gatewright.explorer.app import application
from gatewright.explorer.opening import opened
from gatewright.explorer.security import Policy
from gatewright.tasks.errors import FolderError

ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def model():
    return opened()


@pytest.fixture(scope="module")
def client(model):
    with TestClient(application(model, Policy.for_host("127.0.0.1", None)), base_url=ADDRESS) as found:
        yield found


@pytest.fixture(scope="module")
def page(client):
    """GET or POST that is answered well; the JSON of the answer."""

    def asked(path, question=None, **query):
        found = client.get(path, params=query) if question is None else client.post(path, json=question)
        assert found.status_code == 200, found.text
        return found.json()

    return asked


def numbers(array):
    return np.frombuffer(base64.b64decode(array["base64"]), "<f4").reshape(array["shape"])


# -- the model and its sentences -------------------------------------------------------------------------------


def test_the_model_is_described(page, model):
    found = page("/api/model")
    assert (found["name"], found["task"], found["cell"]) == ("sentences", "language", "lstm")
    assert gw.parse(found["equations"]) == gw.cells.lstm
    (layer,) = found["layers"]
    kinds = {value["name"]: value["kind"] for value in layer["names"]}
    assert kinds == {"i": "gate", "f": "gate", "g": "candidate", "o": "gate", "c": "state", "h": "state"}
    assert next(v for v in layer["names"] if v["name"] == "f")["range"] == [0, 1]
    assert len(layer["horizon"]) == layer["width"] == 96
    assert found["parameters"] == sum(p.numel() for p in model.model.parameters())
    assert [part["key"] for part in layer["story"]] and layer["equations"]
    assert all(example["why"] for example in found["examples"])


@pytest.mark.parametrize("example", sentences.EXAMPLES, ids=lambda e: e["id"])
def test_the_examples_show_what_they_say(example, page):
    """The word that had to be kept is the likeliest one."""
    answers = {"clouds": "sky", "fluent": "german", "france": "french", "keys": "are", "key": "is", "girl": "she"}
    found = page("/api/run", {"text": example["text"]})
    at = len(found["tokens"]) - 1 - found["tokens"][::-1].index(answers[example["id"]])
    assert found["predictions"][at - 1][0]["token"] == answers[example["id"]]


def test_typed_text_is_read_as_it_was_trained(page):
    assert page("/api/run", {"text": "The clouds are in the sky."})["tokens"] == "the clouds are in the sky .".split()
    assert page("/api/run", {"text": "the zeppelin is"})["tokens"] == ["the", "<unk>", "is"]


def test_the_shipped_file_is_small():
    assert sum(path.stat().st_size for path in sentences.FOLDER.iterdir()) <= 400_000


def test_the_shipped_model_knows_its_sentences(model):
    found = sentences.accuracy(model.language, sentences.some(300, 5, held_out=True))
    assert min(found["number"], found["country"], found["gender"]) >= 0.95


@pytest.mark.slow
def test_training_learns_agreement_first():
    """A fifth of the training that made the shipped file; the whole takes a minute."""
    torch.set_num_threads(1)
    found = sentences.accuracy(sentences.train(sentences.UPDATES // 5), sentences.some(1000, 2, held_out=True))
    assert found["number"] >= 0.9


def test_held_out_sentences_are_none_that_are_trained_on():
    trained = {made.text for made in sentences.some(2000, 1, held_out=False)}
    assert not trained & {made.text for made in sentences.some(500, 2, held_out=True)}


# -- other models ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """A file of a bidirectional layer of two, batch first, in float64."""
    torch.manual_seed(0)
    layer = gw.Recurrent("gru", 3, 6, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
    path = tmp_path_factory.mktemp("file") / "layer.safetensors"
    gw.save(layer, path)
    return layer, path


def test_a_file_of_a_layer(layers):
    layer, path = layers
    x = torch.randn(9, 3, dtype=torch.float64)
    with TestClient(application(opened(path), Policy.for_host("127.0.0.1", None)), base_url=ADDRESS) as client:
        told = client.get("/api/model").json()
        ids = [one["id"] for one in told["layers"]]
        assert ids == ["model/0", "model/0/reverse", "model/1", "model/1/reverse"]
        assert told["input"]["features"] == 3 and told["task"] == "layer"
        found = client.post("/api/run", json={"numbers": x.tolist()}).json()
        with torch.no_grad(), gw.record(layer, ["z"]) as tape:
            y, _ = layer(x[None].float().double())
        np.testing.assert_allclose(numbers(found["outputs"]), y[0].numpy(), atol=1e-6)
        for one, track in zip(ids, tape.tracks, strict=True):
            heat = client.get(f"/api/run/{found['run']}/heat", params={"name": "z", "layer": one}).json()
            np.testing.assert_allclose(numbers(heat["matrix"]), track["z"][0].T.numpy(), atol=1e-6)
        step = client.get(f"/api/run/{found['run']}/step", params={"t": 2}).json()
        assert step["inputs"]["x"] == pytest.approx(x[2].tolist()) and step["prediction"] is None
        assert len(client.get(f"/api/run/{found['run']}/sensitivity", params={"t": 4}).json()["values"]) == 5
        held = {"random": 12, "clamps": [{"name": "z", "value": 1, "layer": "model/1", "from": 3}]}
        difference = client.post("/api/ask", json=held).json()["difference"]
        assert difference[2] == 0 and difference[3] > 0
        assert client.post("/api/run", json={"numbers": [[1, 2]]}).status_code == 422


@pytest.mark.parametrize(
    "made",
    [
        lambda: gw.RNN(2, 4),
        lambda: torch.nn.Sequential(torch.nn.Embedding(9, 3), gw.GRU(3, 5)),
        lambda: gw.Recurrent("ea_lstm", (2, 3), 4),
        lambda: gw.Deep([gw.Recurrent("lstm", 2, 4), gw.Recurrent("gru", 4, 4)]),
    ],
    ids=["rnn", "embedding", "two inputs", "deep"],
)
def test_other_models(made):
    shown = opened(made())
    client = TestClient(application(shown, Policy.for_host("127.0.0.1", None)), base_url=ADDRESS)
    told = client.get("/api/model").json()
    question = {"random": 5}
    run = client.post("/api/run", json=question).json()
    for one in told["layers"]:
        measures = client.get(f"/api/run/{run['run']}/measures", params={"layer": one["id"]}).json()
        assert (measures["horizon"] is None) == (one["cell"] == "rnn")
        assert client.get("/api/diagram", params={"layer": one["id"]}).text.startswith("<svg")


def test_a_folder_of_a_language_model(tmp_path):
    gw.tasks.LanguageModel(hidden_size=8, batch_size=2, steps=8, updates=2).fit(
        "to be or not. " * 30, out=tmp_path / "m"
    )
    shown = opened(tmp_path / "m")
    assert shown.input["unit"] == "character" and shown.examples[0]["text"]
    client = TestClient(application(shown, Policy.for_host("127.0.0.1", None)), base_url=ADDRESS)
    found = client.post("/api/run", json={"text": "to be"}).json()
    assert found["tokens"] == ["t", "o", "␣", "b", "e"]


@pytest.mark.parametrize("content", [None, b"no model", b""])
def test_what_is_no_model_is_told(content, tmp_path):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FolderError, match=r"x\.safetensors"):
        opened(path)


def test_numbers_that_are_none_travel_as_null():
    layer = gw.RNN(1, 2)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(math.nan)
    client = TestClient(application(opened(layer), Policy.for_host("127.0.0.1", None)), base_url=ADDRESS)
    run = client.post("/api/run", json={"numbers": [[1.0]]})
    step = client.get(f"/api/run/{run.json()['run']}/step", params={"t": 0, "unit": 0})
    assert step.json()["values"]["h"] is None and b"NaN" not in step.content
