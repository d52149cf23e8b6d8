"""The server as a process: it starts, answers many at once, ends politely, and is killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = """
import sys, time
from served_models import Sums
from gatewright.serve import serve
class Slow(Sums):
    def answer(self, items):
        if any(isinstance(item, dict) and item.get("slow") for item in items):
            print("begun", flush=True)
            time.sleep(1.0)
        return super().answer([{"x": item["x"]} for item in items])
serve(Slow(), port=int(sys.argv[1]), say=lambda line: print(line, flush=True), max_wait_ms=10)
"""


@contextmanager
def running(port=0):
    """(process, address) of a server."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        try:
            lines = [process.stdout.readline(), process.stdout.readline()]
            assert lines[0] == "opening the model …\n", process.stderr.read()
            found = re.search(r"http://127\.0\.0\.1:\d+", lines[1])
            assert found, process.stderr.read()
            process.stdout.readline()  # how it is ended
            yield process, found[0]
        finally:
            process.kill()


def ask(address, item, path="/predict"):
    request = urllib.request.Request(
        address + path, json.dumps(item).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_server_from_start_to_end():
    with running() as (process, address):
        expected = ask(address, {"x": [1.0, 2.0]})
        with ThreadPoolExecutor(100) as pool:
            found = list(pool.map(lambda _: ask(address, {"x": [1.0, 2.0]}), range(300)))
        assert all(abs(one["sum"] - expected["sum"]) < 1e-12 for one in found)
        stream(address)
        with ThreadPoolExecutor(1) as pool:  # a request that is running when the server is told to end is answered
            slow = pool.submit(ask, address, {"x": [1.0, 2.0], "slow": True})
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGTERM)
            assert slow.result(20) == expected
        out, err = process.communicate(timeout=20)
        assert process.returncode == 128 + signal.SIGTERM and not err, (out, err)


def stream(address):
    """Steps through a WebSocket of the real server."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    place = address.replace("http", "ws")
    key = ask(address, {}, "/sessions")["session"]
    with connect(f"{place}/sessions/{key}/stream") as socket:
        for _ in range(3):
            socket.send(json.dumps({"x": [1.0]}))
            assert "sum" in json.loads(socket.recv(timeout=10))
        urllib.request.urlopen(urllib.request.Request(f"{address}/sessions/{key}", method="DELETE"), timeout=30).close()
        with pytest.raises(ConnectionClosed, match=r"1001.*the session has ended"):
            socket.recv(timeout=10)
    for bad, status in ((f"{place}/sessions/none/stream", 404), (f"{place}/sessions/{key}/stream", 403)):
        origin = "http://evil.example" if status == 403 else None
        with pytest.raises(InvalidStatus) as refused, connect(bad, origin=origin):
            pass
        assert refused.value.response.status_code == status


@pytest.mark.slow
def test_a_killed_server_leaves_its_port_to_the_next_one():
    with running() as (process, address):
        port = int(address.rsplit(":", 1)[1])
        lost = threading.Thread(target=lose, args=(address,))
        lost.start()
        assert process.stdout.readline() == "begun\n"
        process.kill()
        lost.join(20)
    with running(port) as (process, again):
        assert again == address and "sum" in ask(again, {"x": [1.0]})
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode not in (0, None)


def lose(address):
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        ask(address, {"x": [1.0], "slow": True})


@pytest.mark.slow
def test_a_port_that_is_taken_is_an_error():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(AssertionError, match="cannot be had"), running(other.getsockname()[1]):
            pass
