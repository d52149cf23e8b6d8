"""Work outside the server's process: one question to a worker, or a job whose events are followed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from .refused import Refused

SECONDS = 10.0
"""That one question may take."""
JOB_SECONDS = 300.0
RUNNING, KEPT = 2, 16
"""Jobs at once, and those whose events are kept."""
EVENTS = 20_000
"""Of a job, at most."""
POLL, HEARTBEAT = 0.05, 15.0


class Worker:
    """A process that answers one question at a time; a new one is started where the old one has ended."""

    def __init__(self) -> None:
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def start(self) -> None:
        """Have a process ready, where there can be one; it is not waited for."""
        with self._lock:
            if hasattr(os, "fork"):
                self._started()

    def ask(self, question: dict[str, Any], seconds: float = SECONDS) -> Iterator[dict[str, Any]]:
        """The answers, as they come. Raises `Refused` where the process was ended or has ended badly."""
        if not self._lock.acquire(timeout=seconds):
            raise Refused(503, "other equations are being looked at", remedy="try again in a moment")
        process = None
        try:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(question | {"seconds": seconds}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if "ready" in answer:
                    continue
                if "end" in answer:
                    if answer["end"] is not None:
                        raise Refused.of_form(422, answer["end"])
                    return
                yield answer
        except (BrokenPipeError, ValueError):  # it was ended, and its pipes with it
            pass
        except GeneratorExit:  # nobody wants the rest
            if process is not None:
                _kill(process)
            raise
        finally:
            if process is not None and process.poll() is not None:
                _close(process)
            self._lock.release()
        raise Refused(503, "the process that answers was stopped", remedy="ask again")

    def one(self, question: dict[str, Any], parts: tuple[str, ...] = (), seconds: float = SECONDS) -> dict[str, Any]:
        """The answers as one. Raises `Refused` where one is an error.

        parts: those that may be missing, where there was no time or memory left for them: None then, and a note.
        """
        whole: dict[str, Any] = {}
        try:
            for answer in self.ask(question, seconds):  # to its end: a process that is left is lost
                whole |= answer
        except Refused as refused:
            if not whole or not parts:
                raise
            missing = [part for part in parts if part not in whole]
            whole["notes"] = [*whole.get("notes", ()), f"{refused.message}: {', '.join(missing)} left out"]
            whole |= dict.fromkeys(missing)
        if "error" in whole:
            raise Refused.of_form(whole["status"], whole)
        return whole

    def stop(self) -> None:
        """End it for good, with whatever it is doing."""
        with self._making:  # nor does a process begin that is about to
            self._stopped = True
        if (process := self._process) is not None:
            _kill(process)
            with self._lock:  # who reads its answers has seen their end
                _close(process)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            _close(self._process)
        with self._making:
            if self._stopped:
                raise Refused(503, "the process that answers was stopped")
            if not hasattr(os, "fork"):
                raise Refused(501, "equations are tried in a child process, which this system cannot make")
            command = [sys.executable, "-P", "-m", "gatewright.explorer.worker"]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = subprocess.Popen(command, **pipes, text=True, encoding="utf-8", start_new_session=True)
            return self._process


def _kill(process: subprocess.Popen[str]) -> None:
    """End a worker, and the child that answers: its group is its own."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself just now
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@dataclass
class Job:
    """A race of cells, and what has been told of it."""

    id: str
    labels: list[str]
    worker: Worker = field(default_factory=Worker)
    events: list[dict[str, Any]] = field(default_factory=list)
    over: bool = False
    stopped: bool = False

    def run(self, question: dict[str, Any]) -> None:
        """Follow it to its end."""
        last: dict[str, Any] = {"kind": "done"}
        try:
            for event in self.worker.ask(question, JOB_SECONDS):
                if "error" in event:
                    last = {"kind": "error", **event["error"]}
                elif len(self.events) < EVENTS:
                    self.events.append(event)
        except Refused as refused:
            last = {"kind": "error", **refused.form()["error"]}
        finally:
            self.events.append({"kind": "stopped"} if self.stopped else last)
            self.over = True

    def stop(self) -> None:
        """End it; what was told stays."""
        self.stopped = not self.over
        self.worker.stop()


class Jobs:
    """Two at once; the events of a few more are kept."""

    def __init__(self, running: int = RUNNING, kept: int = KEPT):
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._idle: list[Worker] = []
        self._stopped = False
        self.running, self.kept = running, kept

    def add(self, cells: dict[str, str], lag: int, seed: int, updates: int) -> Job:
        """Start a race of cells, given as equations by their labels."""
        job = Job(secrets.token_urlsafe(9), list(cells))
        with self._lock:
            if sum(not other.over for other in self._jobs.values()) >= self.running:
                remedy = "stop one, or wait until it is done"
                raise Refused(429, f"{self.running} trainings are running already", remedy=remedy)
            self._jobs[job.id] = job
            while len(self._jobs) > self.kept:
                oldest = next(key for key, other in self._jobs.items() if other.over)
                del self._jobs[oldest]
            job.worker = self._idle.pop() if self._idle else job.worker
        question = {"do": "race", "cells": cells, "lag": lag, "seed": seed, "updates": updates}
        threading.Thread(target=self._run, args=(job, question), daemon=True).start()
        return job

    def _run(self, job: Job, question: dict[str, Any]) -> None:
        job.run(question)
        with self._lock:
            if self._idle or job.stopped or self._stopped:
                job.worker.stop()
            else:
                self._idle.append(job.worker)  # the next one need not wait for torch

    def get(self, key: str) -> Job:
        with self._lock:
            if key not in self._jobs:
                raise Refused(404, "this training is no longer kept", where="job", remedy="start it again")
            return self._jobs[key]

    def stop(self) -> None:
        """End them all."""
        with self._lock:
            jobs, idle = list(self._jobs.values()), self._idle
            self._idle, self._stopped = [], True
        for job in jobs:
            if not job.over:
                job.stop()
        for worker in idle:
            worker.stop()


async def followed(job: Job) -> AsyncIterator[str]:
    """A job's events from the first, as a stream of server-sent events, until it is over or nobody listens."""
    told, quiet = 0, 0.0
    while True:
        over = job.over  # asked before the events are, so that the last one is not missed
        for event in job.events[told:]:
            told, quiet = told + 1, 0.0
            yield f"data: {json.dumps(event)}\n\n"
        if over:
            return
        await asyncio.sleep(POLL)
        quiet += POLL
        if quiet >= HEARTBEAT:
            quiet = 0.0
            yield ": still at it\n\n"
