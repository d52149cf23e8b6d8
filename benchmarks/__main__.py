"""Run the comparisons and print the median ratios: `python -m benchmarks [--only TEXT] [--json FILE]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from pathlib import Path

import torch

import gatewright as gw

from . import vendor
from .timing import Result, measure

ROWS = (vendor.rows,)
"""What gives rows: more comparisons, one more entry."""


def main() -> None:
    """Measure, print a line a row as it is done, and what we lose at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has this in it")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each row (default 4)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    about = {
        "gatewright": gw.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": _processor(),
        "threads": options.threads,
    }
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print("ratio: ours / theirs, median of alternating rounds (middle half); above 1 we are slower\n")
    print(f"{'':58} {'shape':19} {'dtype':8} {'ratio':>6}  {'middle half':13} {'µs, about':>9}")
    results = [
        show(measure(row, options.seconds))
        for rows in ROWS
        for row in rows()
        if options.only.lower() in row.name.lower()
    ]
    lost = [r for r in results if r.verdict not in ("", "ok")]
    print(f"\n{len(results)} rows; slower or over the limit: {len(lost)}")
    if options.json:
        table = [dataclasses.asdict(r) | {"verdict": r.verdict} for r in results]
        options.json.write_text(json.dumps({"about": about, "rows": table}, indent=1) + "\n", encoding="utf-8")


def show(result: Result) -> Result:
    """One line of the table."""
    shape = " ".join(f"{axis}={size}" for axis, size in result.shape.items())
    middle = f"{result.low:.3f}-{result.high:.3f}"
    print(
        f"{result.name:58} {shape:19} {result.dtype:8} {result.ratio:6.3f}  {middle:13} {result.ours:9.0f}  "
        f"{result.verdict}".rstrip(),
        flush=True,
    )
    return result


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
