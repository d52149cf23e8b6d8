"""Compare the layers with what there is elsewhere: `make bench`, or `python -m benchmarks --only lstm gru`.

All sides of a comparison run alternately in one process, and what is printed is the median of their ratios. Rows that
are not what they must be, and rows that we lose, are marked.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import llvmlite
import torch

import gatewright as gw
from gatewright.backends.cpu.target import host

from . import (
    choice,
    compiling,
    convolution,
    ensemble,
    half,
    long,
    own,
    peak,
    peers,
    recording,
    regularisers,
    report,
    scan,
    streaming,
)
from .compiling import Probe
from .timing import Race, Result

GROUPS: dict[str, Callable[[], Iterator[Race | Probe]]] = {
    "lstm": peers.lstm,
    "gru": peers.gru,
    "packed": peers.packed,
    "proj": peers.proj,
    "loop": peers.loop,
    "step": peers.step,
    "stream": streaming.stream,
    "own": own.own,
    "regularisers": regularisers.regularisers,
    "record": recording.record,
    "ensemble": ensemble.ensemble,
    "half": half.half,
    "conv": convolution.conv,
    "peak": peak.peak,
    "compile": compiling.first,
    "memory": compiling.memory,
    "long": long.long,
    "scan": scan.scan,
    "auto": choice.auto,
    "vendor": choice.vendor,
    "reference": choice.reference,
}
"""What can be run alone: one more entry, one more group of rows."""


def main() -> None:
    """Measure, print a line a row as it is done, and at the end the means and what is missed."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    about = _about(options.threads)
    print(report.head(about), flush=True)
    began = time.perf_counter()
    results: list[Result] = []
    for group in options.only or GROUPS:
        for entry in GROUPS[group]():
            if options.shape in report.shape_text(entry.shape):
                for result in entry.run(options.seconds):
                    print(report.line(result), flush=True)
                    results.append(result)
    means = report.means(results)
    print(f"{report.summary(results, means)}; {time.perf_counter() - began:.0f} s")
    if options.json:
        report.write(options.json, about, results, means)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--shape", default="", metavar="TEXT", help="rows whose shape has this in it: B=32, 256,50")
    parser.add_argument("--seconds", type=float, default=0.7, help="for each race, if 7 rounds fit (default 0.7)")
    parser.add_argument("--threads", type=int, default=2, help="of torch and of our kernels (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser.parse_args()


def _about(threads: int) -> dict[str, object]:
    """What figures depend on."""
    return {
        "gatewright": gw.__version__,
        "torch": torch.__version__,
        "llvmlite": llvmlite.__version__,
        "python": platform.python_version(),
        "processor": _processor(),
        "kernels for": host().name,
        "threads": threads,
        "dtype": "float32",
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
