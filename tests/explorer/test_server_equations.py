"""Typed equations: what is shown of them, what they may take, and how they are trained."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import gatewright as gw
from gatewright.explorer import jobs
from gatewright.explorer.app import application
from gatewright.explorer.opening import opened
from gatewright.explorer.refused import Refused
from gatewright.explorer.security import Policy

ADDRESS = "http://127.0.0.1:8765"
LSTM = str(gw.cells.lstm)


@pytest.fixture(scope="module")
def model():
    return opened()


@pytest.fixture(scope="module")
def client(model):
    with TestClient(application(model, Policy.for_host("127.0.0.1", None)), base_url=ADDRESS) as found:
        yield found


def told(answer, status):
    """The error of an answer: always in the one form."""
    assert answer.status_code == status, answer.text
    (form,) = answer.json().values()
    assert set(form) == {"message", "where", "line", "column", "remedy"} and form["message"]
    return form


# -- typed equations ---------------------------------------------------------------------------------------------


def test_equations_are_shown(client):
    found = client.post("/api/write", json={"equations": LSTM, "input_size": 8, "hidden_size": 16}).json()
    assert found["ok"] and found["cell"] == "lstm" and found["states"] == ["h", "c"]
    assert found["parameters"] == gw.cells.lstm.parameter_count(8, 16)
    assert found["latex"] == gw.cells.lstm.latex() and gw.parse(found["text"]) == gw.cells.lstm
    assert found["svg"].startswith("<svg") and "define" in found["kernel"] and 0 < found["step_us"] < 1e5


def test_a_mistake_has_its_column(client):
    form = told(client.post("/api/write", json={"equations": "f_t = σ(W_f x_t)\nh_t = f_t ⊙ ? h_{t-1}"}), 422)
    assert (form["line"], form["column"], form["where"]) == (2, 13, "equations")
    assert "line" not in form["message"] and "'?'" in form["message"]
    again = told(client.post("/api/write/train", json={"equations": "h_t = tanh("}), 422)
    assert again["line"] == 1
    form = told(client.post("/api/compare", json={"cells": ["lstm", "h_t = ? x_t"]}), 422)
    assert form["where"] == "cells[1]" and form["column"] == 7
    form = told(client.post("/api/compare", json={"cells": ["lsmt"]}), 422)
    assert "did you mean 'lstm'" in form["message"]


def many(count):
    """Equations without an end, one from the other."""
    lines = [f"a{k}_t = tanh(W_{k} x_t + {f'a{k - 1}_t' if k else 'h_{t-1}'})" for k in range(count)]
    return "\n".join([*lines, f"h_t = a{count - 1}_t"])


HOSTILE = {
    "deep brackets": "h_t = " + "(" * 9000 + "x_t" + ")" * 9000,
    "deep functions": "h_t = " + "tanh(" * 500 + "x_t" + ")" * 500,
    "names": "h_t = " + " + ".join(f"n{k}_t" for k in range(2500)),
    "powers": "h_t = x_t" + "^9" * 5000,
    "long name": "h_t = " + "a" * 19_000,
    "subscripts": "h" + "_{t" * 3000 + "}" * 3000 + " = x_t",
    "nothing": " \n ",
    "control": "h_t = x_t\x00\x1b[2J",
    "python": "__import__('os').system('touch /tmp/gatewright-was-here')",
    "latex": r"\def\a{\a}h_t = \a \input{/etc/passwd}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_equations_are_refused(name, client):
    began = time.perf_counter()
    told(client.post("/api/write", json={"equations": HOSTILE[name]}), 422)
    assert time.perf_counter() - began < 8
    assert not Path("/tmp/gatewright-was-here").exists()


@pytest.mark.parametrize(
    "question", [{"equations": "x" * 20_001}, {"equations": LSTM, "hidden_size": 10**6}, {"equations": 3}]
)
def test_sizes_have_limits(question, client):
    told(client.post("/api/write", json=question), 422)


@pytest.fixture
def worker():
    found = jobs.Worker()
    yield found
    found.stop()


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_told(worker):
    question = {"do": "write", "equations": many(250), "input_size": 4, "hidden_size": 4}
    began = time.perf_counter()
    worker.one({"do": "check", "equations": LSTM, "where": "equations"})
    found = worker.one(question, ("svg", "kernel", "step_us"), seconds=2)
    assert time.perf_counter() - began < 20
    assert found["svg"] is None and "longer than 2 seconds" in found["notes"][-1]
    with pytest.raises(Refused, match="longer than"):
        worker.one(question, seconds=0.01)
    assert (
        worker.one({"do": "check", "equations": LSTM, "where": "equations"})["name"] == "lstm"
    )  # the next one is well


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux heeds a limit of addresses")
def test_what_needs_too_much_memory_is_refused(worker):
    question = {"do": "race", "cells": {"lstm": LSTM}, "lag": 40_000_000, "seed": 0, "updates": 5}
    assert "memory" in str([answer.get("error") for answer in worker.ask(question)])
    assert worker.one({"do": "check", "equations": LSTM, "where": "equations"})["name"] == "lstm"


def test_a_worker_that_was_ended_is_replaced(worker):
    question = {"do": "check", "equations": LSTM, "where": "equations"}
    worker.one(question)
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert worker.one({"do": "check", "equations": LSTM, "where": "equations"})["name"] == "lstm"


# -- jobs --------------------------------------------------------------------------------------------------------


def events(client, job):
    with client.stream("GET", f"/api/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")]


def test_a_training_tells_of_every_cell(client):
    question = {"equations": "h_t = tanh(W x_t + U h_{t-1} + b)", "lag": 5, "updates": 10}
    started = client.post("/api/write/train", json=question).json()
    assert started["labels"] == ["cell", "lstm"]
    found = events(client, started["job"])
    assert {e["cell"] for e in found if e["kind"] == "progress"} == {"cell", "lstm"}
    assert found[-1] == {"kind": "done"}
    assert all(len(flow) == 7 for e in found if e["kind"] == "progress" for flow in e["flow"].values())
    assert found == events(client, started["job"])  # a second tab, or a second look


@pytest.mark.slow
def test_cells_of_one_name_are_told_apart(client):
    started = client.post("/api/compare", json={"cells": ["rnn", "rnn", "h_t = x_t + h_{t-1}"], "lag": 1, "updates": 5})
    assert started.json()["labels"] == ["rnn", "rnn 2", "cell"]
    assert events(client, started.json()["job"])[-1] == {"kind": "done"}


def test_jobs_are_few_and_can_be_stopped(client):
    question = {"cells": ["rnn"], "lag": 500, "updates": 6000}
    running = [client.post("/api/compare", json=question).json()["job"] for _ in range(jobs.RUNNING)]
    told(client.post("/api/compare", json=question), 429)
    for job in running:
        assert client.post(f"/api/jobs/{job}/stop", json={}).json() == {"stopped": True}
    for job in running:
        assert events(client, job)[-1] == {"kind": "stopped"}
    told(client.post("/api/jobs/none/stop", json={}), 404)
    assert client.post("/api/compare", json=question | {"updates": 5}).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are listed by Linux alone")
def test_no_process_outlives_the_server(model):
    before = children()
    with TestClient(application(model, Policy.for_host("127.0.0.1", None)), base_url=ADDRESS) as client:
        client.post("/api/compare", json={"cells": ["rnn"], "lag": 500, "updates": 6000})
        until = time.monotonic() + 20
        while len(children() - before) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(children() - before) == 2  # for equations, and for the training
    assert not children() - before


def children():
    """The processes that this one has started."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}
