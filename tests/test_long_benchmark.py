"""The benchmark of long sequences: what its processes tell, and how that is judged."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import long, timing
from benchmarks.timing import Race


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch):
    monkeypatch.setattr(timing, "_used", lambda seconds: 0.0)


def told(seconds: float, mebibytes: float) -> list[dict[str, float]]:
    return [{"beyond_kib": mebibytes * 1024, "seconds": seconds}] * 3


@pytest.mark.parametrize(
    ("T", "seconds", "verdict"), [(1_000_000, 1.3, "ok"), (1_000_000, 1.5, "MISSED"), (1000, 9, "")]
)
def test_memory_has_a_limit_and_time_at_the_longest(T, seconds, verdict):
    shape = {"B": 1, "T": T, "I": 64, "H": 64}
    kept, few, time = long.rows(shape, {"none": told(1.0, 1000), "true": told(seconds, 5)})
    assert (kept.value, kept.verdict) == (1000, "") and (few.value, few.verdict) == (5, "ok")
    assert time.value == seconds and time.verdict == verdict
    assert long.rows(shape, {"none": told(1.0, 1000), "true": told(1.0, 33)})[1].verdict == "MISSED"


@pytest.mark.slow
def test_processes_tell_what_they_need():
    torch.set_num_threads(1)
    kept, few, time = next(long.long(steps=(30_000,), rounds=1)).run(0.0)
    assert few.value < 8 < 20 < kept.value  # mebibytes
    assert time.value > 0


def test_threads_are_as_many_as_before():
    """The sides of a race with fewer threads leave their number as it was."""
    race = next(entry for entry in long.long(steps=()) if isinstance(entry, Race))
    sides = race.make()
    torch.set_num_threads(2)
    for side in sides.values():
        side()
    assert torch.get_num_threads() == 1  # what was set when the sides were made
