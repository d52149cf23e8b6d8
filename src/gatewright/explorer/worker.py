"""A process of its own for equations that somebody typed, so that none of them can take the server with it.

    python -m gatewright.explorer.worker

reads questions, a line of JSON each, and answers each in a child of its own: `fork` costs milliseconds where importing
torch costs seconds, what a child took is given back when it ends, and the system itself holds its limits of memory,
processor time and wall-clock time, whatever it is doing. Answers are lines of JSON, the last one `{"end": …}`.

Equations are parsed, never executed; this is for those that are large, or that make something slow.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

MEMORY = 1 << 30
"""Bytes that a child may take beyond what it begins with."""
FILES = 64 << 20
"""Bytes of a file that it may write: compiled kernels are kept."""
TOO_LONG = {int(signal.SIGALRM), int(signal.SIGXCPU)} if hasattr(signal, "SIGALRM") else set()


def answers(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What one question is answered with."""
    from . import lag, written
    from .refused import Refused

    try:
        match question["do"]:
            case "write":
                yield from written.written(question["equations"], question["input_size"], question["hidden_size"])
            case "check":
                yield written.checked(question["equations"], question["where"])
            case "race":
                cells = {label: written.read(text, label) for label, text in question["cells"].items()}
                yield from lag.race(cells, question["lag"], seed=question["seed"], updates=question["updates"])
    except Refused as refused:
        yield refused.form() | {"status": refused.status}
    except RecursionError:
        yield _failed("these equations are nested too deeply", "give parts of them names of their own")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):
            raise
        yield _failed("these equations need too much memory", "make them smaller")


def _failed(message: str, remedy: str) -> dict[str, Any]:
    parts = {"message": message, "where": "equations", "line": None, "column": None, "remedy": remedy}
    return {"error": parts, "status": 422}


def _limit(seconds: float) -> None:
    """Hold this process to its limits. The alarm ends it even where it is deep in compiled code."""
    import resource

    signal.setitimer(signal.ITIMER_REAL, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime + seconds) + 2
    wanted = {"RLIMIT_CPU": cpu, "RLIMIT_FSIZE": FILES, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 256}
    if sys.platform == "linux":  # elsewhere nobody heeds a limit of addresses
        with open("/proc/self/statm", encoding="ascii") as file:
            wanted["RLIMIT_AS"] = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
    for name, value in wanted.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))


def _child(question: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
    """Answer, and end without coming back."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    code = 1
    try:
        _limit(question["seconds"])
        for answer in answers(question):
            write(answer)
        code = 0
    finally:  # an error that nobody expected: its traceback is on standard error
        if code:
            sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType]
        sys.stderr.flush()
        os._exit(code)


def _end(status: int, seconds: float) -> dict[str, Any]:
    """How a child ended."""
    code = os.waitstatus_to_exitcode(status)
    if not code:
        return {"end": None}
    if -code in TOO_LONG:
        return {"end": _failed(f"this took longer than {seconds:g} seconds", "make the equations smaller")}
    if code < 0:
        return {"end": _failed("these equations need too much memory", "make them smaller")}
    return {
        "end": _failed("something went wrong with these equations", "the terminal has the traceback; please report")
    }


def main() -> None:
    """Answer questions until there are no more."""
    import torch

    from . import lag, written  # noqa: F401 so that a child need not

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which closes our input
    torch.set_num_threads(1)
    questions, out = sys.stdin, sys.stdout

    def write(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer, allow_nan=False) + "\n")
        out.flush()

    write({"ready": True})
    for line in questions:
        question = json.loads(line)
        child = os.fork()
        if not child:
            _child(question, write)
        _, status = os.waitpid(child, 0)
        write(_end(status, question["seconds"]))


if __name__ == "__main__":
    main()
