"""What a served model answers: predictions, sessions, health, figures; and what it refuses."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from served_models import State, Sums
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

import gatewright as gw
from gatewright.serve import application
from gatewright.tasks.errors import FolderError, SettingsError, TaskError

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def model():
    return Sums()


@pytest.fixture(scope="module")
def client(model):
    with TestClient(application(model, max_sessions=50), base_url=ADDRESS) as found:
        yield found


@pytest.fixture
def serving():
    """A model and its client, with settings of their own."""
    opened = []

    def serve(**settings):
        model = Sums()
        client = TestClient(application(model, **settings), base_url=ADDRESS, raise_server_exceptions=False)
        client.__enter__()
        opened.append((model, client))
        return model, client

    yield serve
    for model, client in opened:
        model.go.set()
        client.__exit__(None, None, None)


def told(answer, status):
    """The error of an answer: always in the one form."""
    assert answer.status_code == status, answer.text
    (form,) = answer.json().values()
    assert set(form) == {"message", "where", "line", "column", "remedy"} and form["message"]
    return form


def post(client, path, value):
    return client.post(path, json=value)


def connect(client, path, **headers):
    return client.websocket_connect(f"ws{str(client.base_url)[4:].rstrip('/')}{path}", headers=headers)


def figure(client, name):
    """A number of /metrics."""
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    return float(lines.get(name, 0))


# -- predictions -------------------------------------------------------------------------------------------------


def test_one_item(model, client):
    answer = post(client, "/predict", {"x": [1.0, 2.0, 3.0]})
    assert answer.status_code == 200
    assert answer.json() == pytest.approx(direct(model, [1.0, 2.0, 3.0]), abs=1e-12)


def direct(model, x):
    import torch

    with torch.no_grad():
        return {"sum": model.answer([{"x": x}])[0]["sum"]}


def test_a_list_is_answered_in_its_order(model, client):
    sequences = [[float(k)] * (1 + k % 5) for k in range(30)]
    found = post(client, "/predict", [{"x": x} for x in sequences])
    assert found.status_code == 200
    for x, y in zip(sequences, found.json(), strict=True):
        assert y == pytest.approx(direct(model, x), abs=1e-12)


def test_a_hundred_clients_get_what_a_direct_call_gives(serving):
    model, client = serving(max_wait_ms=20)
    sequences = [[k / 100, -k / 50, 1.0][: 1 + k % 3] for k in range(100)]
    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda x: post(client, "/predict", {"x": x}).json(), sequences))
    for x, y in zip(sequences, found, strict=True):
        assert y == pytest.approx(direct(model, x), abs=1e-12)
    assert max(model.batches) > 4 and figure(client, "gatewright_batch_items_sum") == 100


@pytest.mark.parametrize("item", [{}, {"x": []}, False, 3, "text", {"x": "text"}])
def test_a_bad_item_is_told_what_is_wrong(item, client):
    assert "expected x, some numbers" in told(post(client, "/predict", item), 422)["message"]


def test_a_bad_item_of_a_list_fails_alone(model, client):
    found = post(client, "/predict", [{"x": [1.0]}, {"y": 1}, {"x": [2.0]}])
    assert found.status_code == 207
    good, bad, other = found.json()
    assert good == pytest.approx(direct(model, [1.0])) and other == pytest.approx(direct(model, [2.0]))
    assert bad["error"]["message"].startswith("expected x") and bad["error"]["where"] == "item"
    assert post(client, "/predict", [{"y": 1}, {}]).status_code == 422


def test_a_bad_item_does_not_harm_another_clients(serving):
    model, client = serving(max_wait_ms=200)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda item: post(client, "/predict", item), [{"x": [1.0]}, {}, {"x": [2.0]}, {}]))
    assert sorted(answer.status_code for answer in found) == [200, 200, 422, 422]
    assert max(model.batches) >= 2  # they did meet


def test_a_fault_of_the_model_is_not_shown_but_logged(model, client, caplog):
    found = post(client, "/predict", [{"x": [1.0], "crash": True}, {"x": [1.0]}])
    assert found.status_code == 207
    assert "fault" not in found.text and "log" in found.json()[0]["error"]["remedy"]
    assert "ZeroDivisionError: a fault of the model" in caplog.text
    assert post(client, "/predict", {"x": [1.0]}).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"x": [NaN]}', "NaN is no number in JSON; a value that is missing is null"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff", "not JSON"),
        (b"[]", "the list is empty"),
    ],
)
def test_what_is_no_request(body, message, client):
    found = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert message in told(found, 422)["message"]


def test_a_request_that_is_too_long(serving):
    _, client = serving(max_body="1KB")
    form = told(post(client, "/predict", {"x": [0.0] * 1000}), 413)
    assert "longer than 1 KB" in form["message"]
    assert post(client, "/predict", {"x": [0.0] * 50}).status_code == 200


def test_more_items_than_may_wait(serving):
    _, client = serving(max_queue=5)
    told(post(client, "/predict", [{"x": [1.0]}] * 6), 413)


def test_an_answer_that_takes_too_long(serving):
    model, client = serving(timeout=0.3)
    assert "no answer within 0.3 s" in told(post(client, "/predict", {"x": [1.0], "slow": True}), 504)["message"]
    assert "no answer" in told(post(client, "/predict", {"x": [1.0]}), 504)["message"]  # the model is still at it
    answered = len(model.batches)
    model.go.set()
    time.sleep(0.1)
    assert post(client, "/predict", {"x": [1.0]}).status_code == 200
    assert len(model.batches) == answered + 1  # the one that was given up was not computed


def test_requests_that_were_given_up_take_no_place(serving):
    _, client = serving(timeout=0.3, max_queue=2, max_wait_ms=0)
    told(post(client, "/predict", {"x": [1.0], "slow": True}), 504)
    for _ in range(2):
        found = post(client, "/predict", [{"x": [1.0]}] * 2).json()
        assert all("no answer" in one["error"]["message"] for one in found)
    assert figure(client, "gatewright_queue_items") == 0


def test_no_more_than_so_many_at_once(serving):
    _, client = serving(max_connections=2)
    keys = [begun(client) for _ in range(3)]
    with connect(client, f"/sessions/{keys[0]}/stream") as socket, connect(client, f"/sessions/{keys[1]}/stream"):
        late = post(client, "/predict", {"x": [1.0]})
        assert "2 requests and streams are open" in told(late, 503)["message"]
        assert late.headers["retry-after"] == "1" and late.headers["x-content-type-options"] == "nosniff"
        with pytest.raises(WebSocketDenialResponse) as refused, connect(client, f"/sessions/{keys[2]}/stream"):
            pass
        assert told(refused.value, 503) and refused.value.headers["retry-after"] == "1"
        assert client.get("/health").status_code == 200 and figure(client, "gatewright_connections") == 2
        socket.send_json({"x": [1.0]})
        assert "sum" in socket.receive_json()
    assert figure(client, 'gatewright_requests_total{method="POST",route="other",status="503"}') == 1
    assert figure(client, 'gatewright_requests_total{method="WEBSOCKET",route="other",status="503"}') == 1
    assert post(client, "/predict", {"x": [1.0]}).status_code == 200


def test_one_at_once_is_answered(serving):
    _, client = serving(max_connections=1)
    assert post(client, "/predict", {"x": [1.0]}).status_code == 200


def test_overload_is_turned_away(serving):
    model, client = serving(max_queue=2, max_wait_ms=0)
    with ThreadPoolExecutor(4) as pool:
        slow = pool.submit(post, client, "/predict", {"x": [1.0], "slow": True})
        assert model.begun.wait(10)
        waiting = [pool.submit(post, client, "/predict", {"x": [2.0]}) for _ in range(2)]
        deadline = time.monotonic() + 10
        while figure(client, "gatewright_queue_items") < 2:
            assert time.monotonic() < deadline
        late = post(client, "/predict", {"x": [3.0]})
        told(late, 503)
        assert int(late.headers["retry-after"]) >= 1
        model.go.set()
        assert [f.result().status_code for f in (slow, *waiting)] == [200] * 3


# -- sessions ----------------------------------------------------------------------------------------------------


def begun(client):
    answer = client.post("/sessions")
    assert answer.status_code == 201, answer.text
    return answer.json()["session"]


def test_a_session_carries_the_state(model, client):
    key, numbers = begun(client), [0.5, -1.0, 2.0]
    found = [post(client, f"/sessions/{key}/step", {"x": [x]}).json() for x in numbers]
    for t, y in enumerate(found):
        assert y == pytest.approx(direct(model, numbers[: t + 1]), abs=1e-9)
    assert post(client, f"/sessions/{key}/step", {"x": "wrong"}).status_code == 422
    assert client.get(f"/sessions/{key}").json()["steps"] == 3  # a step that is refused is none


def test_sessions_do_not_see_each_other(model, client):
    keys = [begun(client) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        for t in range(3):
            list(pool.map(lambda k, t=t: post(client, f"/sessions/{keys[k]}/step", {"x": [k + t / 10]}), range(9)))
    for k, key in enumerate(keys[:9]):
        sequence = [k + t / 10 for t in range(3)]
        last = post(client, f"/sessions/{key}/step", {"x": [0.0]}).json()
        assert last == pytest.approx(direct(model, [*sequence, 0.0]), abs=1e-9)


def test_a_bad_step_changes_nothing(model, client):
    key = begun(client)
    post(client, f"/sessions/{key}/step", {"x": [1.0]})
    told(post(client, f"/sessions/{key}/step", {"y": 1}), 422)
    told(client.post(f"/sessions/{key}/step", content=b"{", headers={"content-type": "application/json"}), 422)
    found = post(client, f"/sessions/{key}/step", {"x": [2.0]}).json()
    assert found == pytest.approx(direct(model, [1.0, 2.0]), abs=1e-9)


@pytest.mark.parametrize(
    ("error", "status", "goes_on"), [("TaskError", 422, True), ("CellError", 422, True), ("crash", 500, False)]
)
def test_a_session_goes_on_after_a_step_that_is_refused(error, status, goes_on, serving, monkeypatch):
    _, client = serving()
    key = begun(client)
    raised = {"TaskError": TaskError("no"), "CellError": gw.CellError("no"), "crash": UnicodeError("no")}[error]
    with monkeypatch.context() as patched:
        patched.setattr(State, "step", lambda *_: raise_(raised))
        told(post(client, f"/sessions/{key}/step", {"x": [1.0]}), status)
    assert (post(client, f"/sessions/{key}/step", {"x": [1.0]}).status_code == 200) is goes_on


def raise_(error):
    raise error


def test_a_session_that_was_ended_is_gone(client):
    key = begun(client)
    assert client.delete(f"/sessions/{key}").status_code == 204
    for answer in (post(client, f"/sessions/{key}/step", {"x": [1.0]}), client.delete(f"/sessions/{key}")):
        assert "there is no such session" in told(answer, 404)["message"]
    told(client.get("/sessions/none"), 404)


def test_a_session_ends_when_it_is_not_used(serving):
    _, client = serving(session_minutes=0.01)  # 0.6 s
    idle, used = begun(client), begun(client)
    for _ in range(4):
        time.sleep(0.25)
        assert post(client, f"/sessions/{used}/step", {"x": [1.0]}).status_code == 200
    assert "0.01 minutes" in told(post(client, f"/sessions/{idle}/step", {"x": [1.0]}), 404)["message"]
    assert figure(client, "gatewright_sessions") == 1


def test_idle_sessions_are_swept_while_nobody_asks(serving):
    _, client = serving(session_minutes=0.005)
    begun(client)
    time.sleep(0.8)
    assert figure(client, "gatewright_sessions") == 0


def test_there_are_so_many_sessions_and_no_more(serving):
    _, client = serving(max_sessions=3)
    keys = [begun(client) for _ in range(3)]
    late = client.post("/sessions")
    assert "3 sessions" in told(late, 429)["message"] and 0 < int(late.headers["retry-after"]) <= 600
    client.delete(f"/sessions/{keys[0]}")
    begun(client)


def test_a_step_that_hangs_ends_its_session(serving):
    model, client = serving(timeout=0.3)
    key, other = begun(client), begun(client)
    form = told(post(client, f"/sessions/{key}/step", {"x": [1.0], "slow": True}), 504)
    assert "state is not known" in form["remedy"]
    waits = told(post(client, f"/sessions/{other}/step", {"x": [1.0]}), 504)
    assert "not taken" in waits["remedy"]
    model.go.set()
    told(post(client, f"/sessions/{key}/step", {"x": [1.0]}), 404)
    time.sleep(0.1)
    found = post(client, f"/sessions/{other}/step", {"x": [2.0]}).json()
    assert found == pytest.approx(direct(model, [2.0]), abs=1e-9)


def test_a_model_without_a_stream_says_so(serving, monkeypatch):
    monkeypatch.setattr(Sums, "session", lambda self: None)
    _, client = serving()
    assert "not asked step by step" in told(client.post("/sessions"), 501)["message"]
    assert "/sessions" not in client.get("/").text


# -- WebSockets --------------------------------------------------------------------------------------------------


def test_a_stream_of_steps(model, client):
    key = begun(client)
    with connect(client, f"/sessions/{key}/stream") as socket:
        for t, x in enumerate(numbers := [1.0, -0.5, 0.25]):
            socket.send_json({"x": [x]})
            assert socket.receive_json() == pytest.approx(direct(model, numbers[: t + 1]), abs=1e-9)
    found = post(client, f"/sessions/{key}/step", {"x": [2.0]}).json()  # the session is still there
    assert found == pytest.approx(direct(model, [1.0, -0.5, 0.25, 2.0]), abs=1e-9)


def test_an_error_is_an_answer_and_the_stream_goes_on(model, client):
    key = begun(client)
    with connect(client, f"/sessions/{key}/stream") as socket:
        for bad, message in (("{", "not JSON"), ('{"y": 1}', "expected x")):
            socket.send_text(bad)
            assert message in socket.receive_json()["error"]["message"]
        socket.send_bytes(b"1")
        assert "a message of bytes" in socket.receive_json()["error"]["message"]
        socket.send_json({"x": [1.0]})
        assert socket.receive_json() == pytest.approx(direct(model, [1.0]), abs=1e-9)


def test_steps_that_are_sent_at_once_keep_their_order(model, client):
    key, numbers = begun(client), [k / 20 for k in range(20)]
    with connect(client, f"/sessions/{key}/stream") as socket:
        for x in numbers:
            socket.send_json({"x": [x]})
        found = [socket.receive_json() for _ in numbers]
    assert found[-1] == pytest.approx(direct(model, numbers), abs=1e-9)


def closed(socket):
    with pytest.raises(WebSocketDisconnect) as told:
        socket.receive_json()
    return told.value.code, told.value.reason


def test_a_stream_ends_with_its_session(serving):
    _, client = serving(timeout=0.3)
    deleted, hangs = begun(client), begun(client)
    with connect(client, f"/sessions/{deleted}/stream") as socket:
        client.delete(f"/sessions/{deleted}")
        assert closed(socket) == (1001, "the session has ended")  # without a message to it
    with connect(client, f"/sessions/{hangs}/stream") as socket:
        told(post(client, f"/sessions/{hangs}/step", {"x": [1.0], "slow": True}), 504)
        assert closed(socket) == (1001, "the session has ended")


def test_a_stream_without_steps_is_closed(serving):
    _, client = serving(session_minutes=0.005)
    with connect(client, f"/sessions/{begun(client)}/stream") as socket:
        assert closed(socket) == (1001, "the session has ended")


def test_a_stream_lives_as_long_as_its_session(model, serving):
    _, client = serving(session_minutes=0.01)  # 0.6 s
    key = begun(client)
    with connect(client, f"/sessions/{key}/stream") as socket:
        for _ in range(4):  # steps that take another way
            time.sleep(0.25)
            assert post(client, f"/sessions/{key}/step", {"x": [1.0]}).status_code == 200
        socket.send_json({"x": [1.0]})
        assert socket.receive_json() == pytest.approx(direct(model, [1.0] * 5), abs=1e-9)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/sessions/none/stream", {}, 404),
        ("/sessions/none/stream", {"origin": "http://evil.example"}, 403),
        ("/sessions/none/stream", {"host": "evil.example"}, 421),
    ],
)
def test_a_stream_that_is_not_opened(path, headers, status, client):
    with pytest.raises(WebSocketDenialResponse) as refused, connect(client, path, **headers):
        pass
    told(refused.value, status)


# -- who may ask -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(model):
    app = application(model, host="0.0.0.0", token="secret", names="models.example, other.example")
    with TestClient(app, base_url="http://192.168.0.7:8000") as found:
        yield found


@pytest.mark.parametrize("path", ["/", "/model", "/metrics", "/sessions/x", "/healthy"])
def test_beyond_this_machine_a_token_is_needed(path, far):
    answer = far.get(path)
    told(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    known = far.get(path, headers={"authorization": "Bearer secret"})
    assert known.status_code == (404 if path in ("/sessions/x", "/healthy") else 200)


def test_a_probe_needs_no_token(far):
    assert far.get("/health").json() == {"live": True, "ready": True, "state": "ready"}
    assert far.get("/health/live").status_code == far.get("/health/ready").status_code == 200


def test_a_browser_may_show_the_token_in_the_address(far):
    assert far.get("/?token=secret").status_code == 200
    told(far.get("/?token=wrong"), 401)
    told(far.get("/model?token=secret"), 401)  # where a header can be sent, it is
    key = far.post("/sessions", headers={"authorization": "Bearer secret"}).json()["session"]
    with connect(far, f"/sessions/{key}/stream?token=secret") as socket:
        socket.send_json({"x": [1.0]})
        assert "sum" in socket.receive_json()


def test_a_token_may_come_from_a_file(model):
    app = application(model, host="0.0.0.0", token="secret\n")
    with TestClient(app, base_url="http://192.168.0.7:8000") as client:
        assert client.get("/model", headers={"authorization": "Bearer secret"}).status_code == 200


@pytest.mark.parametrize("token", [None, "", " \n"])
def test_beyond_this_machine_a_token_has_to_be_given(model, token):
    with pytest.raises(SettingsError, match=r"token: expected one, for other machines reach 0\.0\.0\.0"):
        application(model, host="0.0.0.0", token=token)


def test_a_name_that_was_given_is_ours(far):
    known = {"authorization": "Bearer secret"}
    assert far.get("/model", headers=known | {"host": "other.example"}).status_code == 200
    told(far.get("/model", headers=known | {"host": "evil.example"}), 421)


def test_a_page_of_another_site_may_not_ask(client):
    told(client.post("/predict", json={"x": [1.0]}, headers={"origin": "http://evil.example"}), 403)
    told(client.post("/predict", content=b'{"x": [1.0]}', headers={"content-type": "text/plain"}), 415)
    told(client.post("/sessions", headers={"sec-fetch-site": "cross-site"}), 403)


# -- about the server --------------------------------------------------------------------------------------------


def test_the_model_is_described(model, client):
    about = client.get("/model").json()
    assert about["task"] == "sums" and about["cell"] == "lstm" and about["equations"] == model.equations
    assert about["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert about["limits"]["max_sessions"] == 50 and about["sessions"] is True
    assert post(client, "/predict", about["example"]).status_code == 200


def test_the_page_shows_model_and_request(client):
    page = client.get("/").text
    assert "curl" in page and "&quot;x&quot;: [0.5, -1.0]" in page and "<math" in page and "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://127.0.0.1:8000", "")
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 404


def test_requests_are_counted(serving):
    _, client = serving()
    for item in ({"x": [1.0]}, {"x": [1.0]}, {}):
        post(client, "/predict", item)
    key = begun(client)
    post(client, f"/sessions/{key}/step", {"x": [1.0]})
    client.get("/nothing")
    client.get("/model", headers={"host": "evil.example"})
    assert figure(client, 'gatewright_requests_total{method="POST",route="/predict",status="200"}') == 2
    assert figure(client, 'gatewright_requests_total{method="POST",route="/predict",status="422"}') == 1
    assert figure(client, 'gatewright_requests_total{method="GET",route="other",status="404"}') == 1
    assert figure(client, 'gatewright_requests_total{method="GET",route="other",status="421"}') == 1
    assert figure(client, 'gatewright_requests_total{method="POST",route="/sessions/{key}/step",status="200"}') == 1
    assert figure(client, 'gatewright_request_seconds_count{method="POST",route="/predict"}') == 3
    assert figure(client, 'gatewright_items_total{status="422"}') == 1
    assert figure(client, 'gatewright_steps_total{status="200"}') == 1
    assert figure(client, "gatewright_sessions") == 1 and figure(client, "gatewright_ready") == 1
    assert key not in client.get("/metrics").text


@pytest.mark.parametrize("log", ["json", "text", "none"])
def test_requests_are_written_down_where_that_is_wanted(log, serving, capfd):
    _, client = serving(log=log)
    key = begun(client)
    post(client, f"/sessions/{key}/step", {"x": []})
    with connect(client, f"/sessions/{key}/stream"):
        pass
    lines = capfd.readouterr().err.splitlines()
    if log == "json":
        found = [json.loads(line) for line in lines]
        assert [(x["method"], x["route"], x["status"]) for x in found] == [
            ("POST", "/sessions", 201),
            ("POST", "/sessions/{key}/step", 422),
            ("WEBSOCKET", "/sessions/{key}/stream", 101),
        ]
        assert all(x["ms"] > 0 and x["client"] and x["time"] for x in found)
    assert len(lines) == (0 if log == "none" else 3) and key not in str(lines)


def test_a_server_that_is_told_to_end_is_not_ready(model):
    from gatewright.serve.server import _made
    from gatewright.serve.settings import ServeSettings

    app, server = _made(model, "127.0.0.1", None, ServeSettings())
    with TestClient(app, base_url=ADDRESS) as client:
        assert client.get("/health").status_code == 200
        server.stopping = True
        answer = client.get("/health")
        assert answer.status_code == 503 and answer.json() == {"live": True, "ready": False, "state": "stopping"}
        assert client.get("/health/live").status_code == 200


# -- what cannot be served ---------------------------------------------------------------------------------------


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(FolderError, match="no such model folder"):
        application(tmp_path / "none")
    (tmp_path / "config.json").write_text('{"task": "soup"}')
    with pytest.raises(FolderError, match=r"expected a model of one of the tasks .*'language'.*, got 'soup'"):
        application(tmp_path)


def test_a_model_that_cannot_answer_its_own_example_is_not_served(monkeypatch):
    monkeypatch.setattr(Sums, "example", lambda self: {"y": 1})
    with pytest.raises(TaskError, match="expected x"):
        application(Sums())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch": 0}, "max_batch: expected a number of at least 1"),
        ({"max_body": "much"}, "max_body: expected a size like 1MB"),
        ({"max_body": "0"}, "max_body: expected a size above 0"),
        ({"timeout": 0}, "timeout: expected a number above 0"),
        ({"max_wait_ms": -1}, "max_wait_ms: expected a number of at least 0"),
        ({"log": "xml"}, "log: expected none, text, json"),
        ({"maxbatch": 1}, "did you mean 'max_batch'"),
    ],
)
def test_settings_that_are_wrong(settings, message):
    with pytest.raises(SettingsError, match=message):
        application(Sums(), **settings)


def test_a_missing_extra_is_named(monkeypatch):
    import sys

    from gatewright.tasks.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"needs prometheus_client.*gatewright\[serve\]"):
        application(Sums())


def test_a_request_that_comes_a_byte_at_a_time_is_not_waited_for(monkeypatch):
    from gatewright.explorer import security

    monkeypatch.setattr(security, "PATIENCE", 0.3)
    sent = []

    async def receive():
        await asyncio.sleep(0.05)  # each of them comes soon enough
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message):
        sent.append(message)

    async def never(*_):
        raise AssertionError("the question was passed on")

    headers = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}
    asyncio.run(security.Guard(never, security.Policy(security.LOOPBACK))(scope, receive, send))
    assert sent[0]["status"] == 408 and b"did not arrive in time" in sent[1]["body"]
