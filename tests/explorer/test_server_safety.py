"""Who may ask the explorer, how much, and how it starts and ends."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gatewright.explorer import security, serve
from gatewright.explorer.app import application
from gatewright.explorer.listening import listening_at
from gatewright.explorer.opening import opened
from gatewright.explorer.security import Policy
from gatewright.tasks.errors import MissingExtra, SettingsError

ADDRESS = "http://127.0.0.1:8765"


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


# -- hosts, origins, tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "a@127.0.0.1", "192.168.0.7"]
)
@pytest.mark.parametrize("path", ["/", "/api/model", "/static/main.js", "/nothing"])
def test_another_host_is_misdirected(host, path, client):
    told(client.get(path, headers={"host": host}), 421)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST:8765", "[::1]:8765"])
def test_names_of_this_machine_are_ours(host, client):
    assert client.get("/api/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "file://", "http://127.0.0.1:8765.evil.example"]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_page_of_another_origin_may_not_ask(origin, method, client):
    question = {} if method == "get" else {"json": {"text": "the"}}
    told(getattr(client, method)("/api/model", headers={"origin": origin}, **question), 403)


def test_our_own_page_may_ask(client):
    headers = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
    assert client.post("/api/run", json={"text": "the"}, headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_where_a_request_is_from_is_believed(site, client):
    told(client.get("/api/model", headers={"sec-fetch-site": site}), 403)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_what_a_form_can_send_is_no_question(kind, client):
    headers = {} if kind is None else {"content-type": kind}
    told(client.post("/api/run", content=b'{"text": "the"}', headers=headers), 415)


def test_a_preflight_is_not_answered(client):
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options("/api/run", headers=headers).headers


@pytest.fixture(scope="module")
def far(model):
    policy = Policy.for_host("0.0.0.0", "secret-token")
    return TestClient(application(model, policy), base_url="http://192.168.0.7:8765")


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer", "Basic secret-token", "Bearer secret-token2", "Bearer ünknown"]
)
def test_beyond_the_loopback_a_token_is_needed(header, far):
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    answer = far.get("/api/model", headers=headers)
    told(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    told(far.get("/api/model?token=secret-token"), 401)  # in an address only where nothing else can be sent


def test_the_token_opens(far):
    assert far.get("/api/model", headers={"authorization": "Bearer secret-token"}).status_code == 200
    told(far.get("/api/jobs/none/events?token=secret-token"), 404)
    told(far.get("/api/jobs/none/events?token=wrong"), 401)
    told(far.get("/api/model", headers={"host": "evil.example", "authorization": "Bearer secret-token"}), 421)


def test_tokens_are_compared_in_constant_time():
    source = Path(security.__file__).read_text()
    assert "hmac.compare_digest" in source and not re.search(r"[!=]= ?self\.token", source)


def test_a_token_is_made_where_others_can_connect():
    assert security.is_loopback("127.0.0.1") and security.is_loopback("::1") and security.is_loopback("localhost")
    assert not any(map(security.is_loopback, ("0.0.0.0", "::", "192.168.0.7", "example.org", "")))
    assert Policy.for_host("127.0.0.1", None).addresses is False


# -- paths, headers, bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "....//app.py",
        "%2e%2e%2f%2e%2e%2fcli/main.py",
        "/etc/passwd",
        "..%5capp.py",
        "%00",
    ],
)
def test_nothing_but_the_pages_is_given(path, client):
    told(client.get(f"/static/{path}"), 404)


@pytest.mark.parametrize("path", ["/", "/api/model", "/static/plotly.min.js", "/api/nothing"])
def test_headers_that_browsers_heed(path, client):
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"] and "unsafe-eval" not in str(headers)
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == ("no-store" if path.startswith("/api") else "no-cache")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_page_that_loads_from_a_network(path, client):
    told(client.get(path), 404)


def test_a_question_that_is_too_long(client):
    told(client.post("/api/run", content=b" " * (security.BODY + 1), headers={"content-type": "application/json"}), 413)

    def parts():
        for _ in range(security.BODY // (1 << 20) + 1):
            yield b" " * (1 << 20)

    told(client.post("/api/run", content=parts(), headers={"content-type": "application/json"}), 413)


BODIES = {
    "no JSON": b"{",
    "not UTF-8": b'{"text": "\xff\xfe"}',
    "deep": b"[" * 200_000,
    "a list": b"[1]",
    "nothing": b"",
    "unknown part": b'{"text": "the", "pickle": 1}',
    "both": b'{"text": "the", "random": 3}',
    "neither": b"{}",
    "numbers": b'{"numbers": [[1]]}',
    "NaN": b'{"text": "the", "clamps": [{"name": "f", "value": NaN}]}',
    "infinite": b'{"text": "the", "clamps": [{"name": "f", "value": 1e999}]}',
    "a surrogate": rb'{"text": "\ud800"}',
    "a huge number": b'{"random": ' + b"9" * 5000 + b"}",
    "no such value": b'{"text": "the", "clamps": [{"name": "q", "value": 1}]}',
    "an old value": b'{"text": "the", "clamps": [{"name": "c_prev", "value": 1}]}',
    "no such unit": b'{"text": "the", "clamps": [{"name": "f", "value": 1, "units": [96]}]}',
    "a unit below": b'{"text": "the", "clamps": [{"name": "f", "value": 1, "units": [-1]}]}',
    "no text": b'{"text": ""}',
    "many clamps": json.dumps({"text": "the", "clamps": [{"name": "f", "value": 1}] * 33}).encode(),
    "too much text": json.dumps({"text": "x" * 300_000}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_question_that_is_none(name, client):
    answer = client.post("/api/run", content=BODIES[name], headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    told(answer, answer.status_code)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("step?t=9999", 422),
        ("step?t=-1", 422),
        ("step?t=0&unit=96", 422),
        ("step?t=0&unit=-1", 422),
        ("step?t=x", 422),
        ("step?t=0&layer=none", 404),
        ("heat?name=none", 404),
        ("heat?name=f&width=0", 422),
        ("heat?name=f&width=100000", 422),
        ("heat?name=f&from=3&to=3", 422),
        ("heat?name=f&sort=best", 422),
        ("unit?names=q", 404),
        ("sensitivity?t=0&k=99", 422),
    ],
)
def test_what_a_run_cannot_answer(path, status, client):
    run = client.post("/api/run", json={"text": "the sky is blue"}).json()["run"]
    told(client.get(f"/api/run/{run}/{path}"), status)
    told(client.get(f"/api/run/none/{path.partition('?')[0]}?t=0&name=f&names=f"), 404)


# -- two tabs ----------------------------------------------------------------------------------------------------


def test_two_tabs_do_not_see_each_others_clamps(client, model):
    """A lens is a change of the layer itself: runs at the same time must not mix."""
    plain = {"text": "the keys to the cabinet"}
    held = plain | {"clamps": [{"name": "f", "value": 0.0}]}

    def last(question):
        return client.post("/api/run", json=question).json()["predictions"]

    expected = {"plain": last(plain), "held": last(held)}
    assert expected["plain"] != expected["held"]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: (k, last(plain if k == "plain" else held)), ["plain", "held"] * 20))
    assert all(predictions == expected[which] for which, predictions in found)
    assert not model.first.stack.lenses


# -- the command -------------------------------------------------------------------------------------------------


def test_nothing_reads_pickle():
    for path in Path(serve.__file__).parent.glob("*.py"):
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert not names & {"pickle", "eval", "exec", "compile"}, path


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"needs uvicorn.*gatewright\[explorer\]"):
        serve.explore()


def test_a_port_that_is_taken_is_passed_over():
    said = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with listening_at("127.0.0.1", port, said.append) as found:
            assert found.getsockname() == ("127.0.0.1", found.getsockname()[1]) != other.getsockname()
    assert str(port) in said[0] and "taking" in said[0]


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0), ("198.51.100.1", 0)])
def test_an_address_that_is_none_of_ours(host, port):
    with pytest.raises(SettingsError, match=r"port|host"):
        listening_at(host, port, print)


@pytest.mark.slow
def test_the_command_from_start_to_ctrl_c():
    command = [
        sys.executable,
        "-c",
        "from gatewright.cli.main import run; run()",
        "explore",
        "--no-open",
        "--port",
        "0",
    ]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        lines = []
        while not any("http" in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        url = re.search(r"http://127\.0\.0\.1:\d+/", lines[-1])[0]
        with urllib.request.urlopen(f"{url}api/model") as answer:
            assert json.load(answer)["name"] == "sentences"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in out + err, err
    assert "stopped by Ctrl-C" in err
