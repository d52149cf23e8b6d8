"""The explorer's answers: what a page is told is what gatewright says, for text and for numbers."""

import base64
import json
import math
import time

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import gatewright as gw
from gatewright.explorer import lag, reduce
from gatewright.explorer.app import application
from gatewright.explorer.opened import STEPS
from gatewright.explorer.opening import opened
from gatewright.explorer.refused import Refused
from gatewright.explorer.runs import Runs
from gatewright.explorer.security import Policy

ADDRESS = "http://127.0.0.1:8765"
KEYS = "the keys to the cabinet are on the table ."


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


@pytest.fixture(scope="module")
def run(page):
    return page("/api/run", {"text": KEYS})


@pytest.fixture(scope="module")
def tape(model):
    with torch.no_grad(), gw.record(model.model, model.recorded) as found:
        model.output(model.read(KEYS))
    return found.track()


def numbers(array):
    return np.frombuffer(base64.b64decode(array["base64"]), "<f4").reshape(array["shape"])


# -- a run ---------------------------------------------------------------------------------------------------------


def test_a_run_predicts_what_the_network_does(run, model):
    with torch.no_grad():
        logits, _ = model.network(model.read(KEYS)[:, None])
    p = logits[:, 0].softmax(-1)
    for t, likely in enumerate(run["predictions"]):
        assert likely[0]["token"] == model.token(int(p[t].argmax()))
        assert likely[0]["p"] == pytest.approx(float(p[t].max()), abs=1e-6)


@pytest.mark.parametrize("unit", [0, 17, "mean"])
def test_a_step_has_every_value(unit, run, page, tape):
    found = page(f"/api/run/{run['run']}/step", t=4, unit=unit)
    assert found["token"] == "cabinet"
    assert set(found["values"]) == {
        "i",
        "f",
        "g",
        "o",
        "c",
        "h",
        "i_pre",
        "f_pre",
        "g_pre",
        "o_pre",
        "h_prev",
        "c_prev",
    }
    for name, value in found["values"].items():
        row = tape[name][4, 0]
        assert value == pytest.approx(float(row.mean() if unit == "mean" else row[unit]), abs=1e-6)
    assert found["actual"]["token"] == "are" and found["actual"]["rank"] == 1


def test_the_last_step_has_nothing_that_came(run, page):
    assert page(f"/api/run/{run['run']}/step", t=run["T"] - 1)["actual"] is None


def test_a_heat_map_of_few_steps_is_the_values(run, page, tape):
    found = page(f"/api/run/{run['run']}/heat", name="f", layer="recurrent/0")
    assert np.array_equal(numbers(found["matrix"]), tape["f"][:, 0].T.numpy())
    assert found["rows"] == [[k] for k in range(96)] and (found["from"], found["to"], found["bin"]) == (0, run["T"], 1)


@pytest.mark.parametrize("sort", ["horizon", "mean", "first"])
def test_rows_are_sorted(sort, run, page, tape):
    found = page(f"/api/run/{run['run']}/heat", name="c", sort=sort, **{"from": 2, "to": 7})
    part = tape["c"][2:7, 0]
    key = {"mean": part.mean(0), "first": part[0], "horizon": gw.inside.memory_horizon(tape)}[sort]
    order = [unit for (unit,) in found["rows"]]
    assert sorted(order) == list(range(96))
    assert bool((key[order].diff() <= 0).all())
    assert np.array_equal(numbers(found["matrix"]), part.T[order].numpy())


def test_a_large_heat_map_is_means(run, page, tape):
    found = page(f"/api/run/{run['run']}/heat", name="h", width=4, height=10, range=True)
    value, matrix = tape["h"][:, 0].T.numpy(), numbers(found["matrix"])
    assert matrix.shape == (10, 4)
    for k, rows in enumerate(found["rows"]):
        for column in range(matrix.shape[1]):
            part = value[rows, column * found["bin"] : (column + 1) * found["bin"]]
            assert matrix[k, column] == pytest.approx(part.mean(), abs=1e-6)
            assert numbers(found["min"])[k, column] == part.min() and numbers(found["max"])[k, column] == part.max()


def test_a_units_history(run, page, tape):
    found = page(f"/api/run/{run['run']}/unit", names="f,c", unit=3, width=5)["names"]
    value = tape["c"][:, 0, 3].numpy()
    assert found["c"]["t"] == [0, 2, 4, 6, 8]
    assert found["c"]["hi"] == pytest.approx([value[t : t + 2].max() for t in found["c"]["t"]])
    assert found["c"]["lo"] == pytest.approx([value[t : t + 2].min() for t in found["c"]["t"]])
    means = [float(tape["f"][t : t + 2, 0, 3].mean()) for t in found["f"]["t"]]
    assert found["f"]["mean"] == pytest.approx(means, abs=1e-6)


def test_measures_are_those_of_inside(run, page, tape):
    found = page(f"/api/run/{run['run']}/measures")
    assert found["horizon"] == pytest.approx(gw.inside.memory_horizon(tape).tolist())
    assert found["saturation"]["f"]["high"] == pytest.approx(gw.inside.saturation(tape, "f").high.tolist())
    assert found["warnings"] == list(gw.inside.warnings(tape).lines)


def test_sensitivity_finds_what_matters(run, page, model):
    found = page(f"/api/run/{run['run']}/sensitivity", t=4)["values"]
    x = model.network.embedding(model.read(KEYS)[:5, None]).detach().requires_grad_()
    y, _ = model.network.recurrent(x)
    model.network.logits(y[-1, 0]).log_softmax(-1)[model.read("are")[0]].backward()
    assert found == pytest.approx(x.grad.norm(dim=-1)[:, 0].tolist(), rel=1e-4)


# -- clamps ----------------------------------------------------------------------------------------------------


def test_a_clamp_is_that_of_gatewright(page, model):
    clamps = [{"name": "f", "value": 0.25, "units": [3, 5], "from": 2, "to": 6}]
    found = page("/api/run", {"text": KEYS, "clamps": clamps})["run"]
    held = gw.clamp(model.model, f=0.25, units=[3, 5], steps=slice(2, 6))
    with torch.no_grad(), held, gw.record(model.model, ["f", "c"]) as tape:
        model.output(model.read(KEYS))
    for name in ("f", "c"):
        matrix = numbers(page(f"/api/run/{found}/heat", name=name)["matrix"])
        np.testing.assert_allclose(matrix, tape[name][:, 0].T.numpy(), atol=1e-6)
    assert not model.first.stack.lenses


def test_a_clamp_at_the_mean(page, tape):
    found = page("/api/run", {"text": KEYS, "clamps": [{"name": "o", "value": None}]})["run"]
    matrix = numbers(page(f"/api/run/{found}/heat", name="o")["matrix"])
    np.testing.assert_allclose(matrix, tape["o"][:, 0].mean(0)[:, None].expand(-1, matrix.shape[1]), atol=1e-6)


def test_ask_shows_both_sides(page, model):
    text = "i grew up in germany . the food was good . i speak fluent"
    found = page("/api/ask", {"text": text, "clamps": [{"name": "f", "value": 0, "from": 5}], "length": 2})
    assert found["plain"]["continuation"].split() == ["german", "."]
    assert not found["changed"]["continuation"].startswith("german")
    assert found["difference"][:5] == pytest.approx([0] * 5, abs=1e-6)
    assert 0.5 < found["difference"][-1] <= 1 + 1e-6
    assert found["plain"]["predictions"][-1][0]["token"] == "german"
    same = page("/api/ask", {"text": text, "clamps": []})
    assert same["plain"] == same["changed"] and max(same["difference"]) == 0
    assert model.language.generate(text, length=2, temperature=0).endswith("german .")


@pytest.mark.parametrize("where", [{"from": 1}, {"from": 6}, {"to": 5}], ids=str)
def test_a_continuation_is_under_the_clamp(where, page):
    """Token by token as a run of the whole text would have it, also where a clamp begins or ends behind the text."""
    clamps = [{"name": "c", "value": -1.0, "units": list(range(0, 96, 2)), **where}]
    found = page("/api/ask", {"text": "the keys to the", "clamps": clamps, "length": 5})["changed"]["continuation"]
    text = "the keys to the"
    for word in found.split():
        assert page("/api/run", {"text": text, "clamps": clamps})["predictions"][-1][0]["token"] == word
        text += f" {word}"


def test_find_shows_of_a_long_text_what_is_around_a_hit(page, model):
    text = " ".join([KEYS] * 150)
    hits = page("/api/find", {"name": "f", "unit": 3, "above": 0.9, "texts": [text]})["hits"]
    tokens = model.tokens(model.read(text))
    assert hits
    for hit in hits:
        assert len(hit["values"]) == len(hit["tokens"]) <= 320
        assert hit["tokens"] == tokens[hit["first"] : hit["first"] + len(hit["tokens"])]
        assert all(v > 0.9 for v in hit["values"][hit["from"] - hit["first"] : hit["to"] - hit["first"]])


def test_find_shows_where_a_unit_is_on(page, model):
    texts = [KEYS, "the girl who saw the boys said that she was tired ."]
    found = page("/api/find", {"name": "f", "unit": 3, "above": 0.9, "texts": texts})["hits"]
    seen = set()
    for hit in found:
        values = hit["values"]
        assert all(value > 0.9 for value in values[hit["from"] : hit["to"]])
        assert hit["to"] == len(values) or values[hit["to"]] <= 0.9
        seen |= {(hit["text"], t) for t in range(hit["from"], hit["to"])}
        with torch.no_grad(), gw.record(model.model, ["f"]) as tape:
            model.output(model.read(texts[int(hit["text"])]))
        assert values == pytest.approx(tape["f"][:, 0, 3].tolist())
        assert len(seen & {(hit["text"], t) for t, value in enumerate(values) if value > 0.9}) > 0
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)
    assert page("/api/find", {"name": "f", "unit": 3})["texts"] > 100
    for wrong in ({"name": "q", "unit": 3}, {"name": "f", "unit": 96}):
        with pytest.raises(AssertionError, match=r"value 'q'|units"):
            page("/api/find", wrong)


# -- long sequences, other models --------------------------------------------------------------------------------


def test_ten_thousand_steps_answer_quickly(page, model):
    """100 ms each is what the pages are told (docs/explorer.md); the bound here is for a busy machine."""
    text = " ".join([KEYS] * (STEPS // 10))
    found = page("/api/run", {"text": text})
    assert found["T"] == STEPS and found["predictions"] is None
    where = f"/api/run/{found['run']}"
    for path, query in (
        ("step", {"t": 7777}),
        ("heat", {"name": "f", "sort": "horizon"}),
        ("heat", {"name": "f"}),
        ("unit", {"names": "i,f,o,g,c,h", "unit": 3}),
    ):
        began = time.perf_counter()
        answer = page(f"{where}/{path}", **query)
        print(path, round(1e3 * (time.perf_counter() - began)), "ms")
        assert time.perf_counter() - began < 2
        assert len(json.dumps(answer)) < 1_000_000
    with pytest.raises(AssertionError, match="10001"):
        page("/api/run", {"text": f"{text} the"})


# -- what is kept ----------------------------------------------------------------------------------------------


def test_the_store_is_bounded(model):
    store = Runs(most=3)
    runs = [store.add(model, model.read("the sky")) for _ in range(3)]
    store.get(runs[0].id)
    store.add(model, model.read("the sky"))
    assert store.get(runs[0].id) is runs[0]
    with pytest.raises(Refused, match="no longer kept"):
        store.get(runs[1].id)
    small = Runs(kept=runs[0].size + 1)
    first, second = small.add(model, model.read("the sky")), small.add(model, model.read("the sky"))
    assert small.get(second.id)
    with pytest.raises(Refused):
        small.get(first.id)


def test_a_sequence_too_large_to_keep_is_refused(monkeypatch, model):
    equations = model._widths([name for name in model.recorded if name in "ifgoch"])
    monkeypatch.setattr("gatewright.explorer.opened.NUMBERS", 4 * equations)
    assert set(model.run(model.read("the sky is blue")).tracks["recurrent/0"]) == set("ifgoch")
    with pytest.raises(Refused, match="5 steps of this model are too much"):
        model.run(model.read("the sky is blue ."))


# -- reductions and the task -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "width"), [(1, 1), (7, 3), (10, 10), (11, 4), (100, 1)])
def test_bins_lose_no_step(steps, width):
    values = torch.randn(steps)
    found = reduce.history(values, 5, width)
    size = math.ceil(steps / width)
    parts = values.split(size)
    assert found["t"] == [5 + k * size for k in range(len(parts))] and len(parts) <= width
    assert found["mean"] == pytest.approx([float(part.mean()) for part in parts], abs=1e-6)
    assert found["hi"] == pytest.approx([float(part.max()) for part in parts])


def test_a_race_shows_gradients_that_vanish():
    cells = {"rnn": gw.cells.rnn, "lstm": gw.cells.lstm}
    events = [event for event in lag.race(cells, 60, updates=lag.EVERY) if event["kind"] == "progress"]
    ratio = {event["cell"]: event["flow"]["h"][1] / event["flow"]["h"][-1] for event in events}
    assert ratio["rnn"] < 1e-4
    assert len(events[0]["flow"]["h"]) == 62
    assert events[1]["flow"]["c"][0] / events[1]["flow"]["c"][-1] > 1e-3
    again = [event for event in lag.race(cells, 60, updates=lag.EVERY) if event["kind"] == "progress"]
    assert [e["loss"] for e in events] == [e["loss"] for e in again]


@pytest.mark.slow
def test_gates_learn_a_lag_that_a_plain_network_does_not():
    last = {}
    for event in lag.race({"rnn": gw.cells.rnn, "lstm": gw.cells.lstm, "gru": gw.cells.gru}, 100):
        if event["kind"] == "progress":
            last[event["cell"]] = event
    assert last["lstm"]["accuracy"] > 0.95 and last["gru"]["accuracy"] > 0.95
    assert last["rnn"]["accuracy"] < 0.8
