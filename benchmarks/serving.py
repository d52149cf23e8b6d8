"""Requests a second of `gatewright serve`, with and without batches.

    python -m benchmarks.serving [FOLDER] [--clients 64] [--seconds 5] [--rounds 3]

Two servers of the same model run side by side, one of them with `--max-batch 1`, and are asked in turns by the same
clients, each with a connection of its own that stays open and one request at a time: what a server answers in a second,
and how long its clients wait. Before that, what the model answers by itself in a second of processor time. FOLDER: a
model (default: the sentences that the explorer ships). The request is the model's own example. Clients run on the same
machine and take their part of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import torch

from gatewright.explorer.sentences import FOLDER
from gatewright.tasks.registry import load

SERVE = "from gatewright.cli.main import run; run()"


@contextlib.contextmanager
def server(folder: str, *flags: str) -> Iterator[str]:
    """host:port of a server that runs meanwhile."""
    command = [sys.executable, "-u", "-c", SERVE, "serve", folder, "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://(127\.0\.0\.1:\d+)", line):
                    yield found[1]
                    return
            raise RuntimeError("the server did not start")
        finally:
            process.terminate()


async def client(place: str, request: bytes, until: float, waited: list[float]) -> None:
    """Ask again and again on one connection."""
    host, port = place.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert head.startswith(b"HTTP/1.1 200") and length, head
        await reader.readexactly(int(length[1]))
        waited.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


def asked(place: str, request: bytes, clients: int, seconds: float) -> tuple[float, float, float]:
    """(requests a second, median and 99th percentile of the wait in ms)."""

    async def all_clients() -> list[float]:
        waited: list[float] = []
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(place, request, until, waited) for _ in range(clients)))
        return waited

    began = time.perf_counter()
    waited = sorted(asyncio.run(all_clients()))
    spent = time.perf_counter() - began
    return len(waited) / spent, 1e3 * statistics.median(waited), 1e3 * waited[int(0.99 * (len(waited) - 1))]


def request_of(place: str) -> bytes:
    """The model's own example, as it goes over the wire."""
    with urllib.request.urlopen(f"http://{place}/model") as answer:
        body = json.dumps(json.load(answer)["example"]).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: {place}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def alone(folder: str) -> Iterator[tuple[int, float]]:
    """(size of a batch, items a second of processor time) of the model by itself, on one thread."""
    model = load(folder)
    items = [{**model.example(), "seed": k} if "seed" in model.example() else model.example() for k in range(64)]
    torch.set_num_threads(1)
    with torch.no_grad():
        model.answer(items)
        for size in (1, 16, 64):
            spent = []
            for _ in range(5):
                began = time.process_time()
                for first in range(0, 64, size):
                    model.answer(items[first : first + size])
                spent.append(time.process_time() - began)
            yield size, 64 / min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(FOLDER))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads; {given.folder}")
    for size, rate in alone(given.folder):
        print(f"the model alone, batches of {size:>2}: {rate:>6.0f} items a second of processor time")
    with server(given.folder) as batched, server(given.folder, "--max-batch", "1", "--max-wait-ms", "0") as single:
        places = {"batches of up to 64": batched, "one by one": single}
        requests = {name: request_of(place) for name, place in places.items()}
        for clients in given.clients:
            rounds = [
                {name: asked(place, requests[name], clients, given.seconds) for name, place in places.items()}
                for _ in range(given.rounds)
            ]
            for name in places:
                rate, median, tail = (statistics.median(r[name][k] for r in rounds) for k in range(3))
                wait = f"median {median:7.1f} ms  p99 {tail:7.1f} ms"
                print(f"{clients:>4} clients  {name:<20} {rate:>8.0f} a second  {wait}")
            ratio = statistics.median(r["batches of up to 64"][0] / r["one by one"][0] for r in rounds)
            print(f"{clients:>4} clients  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
