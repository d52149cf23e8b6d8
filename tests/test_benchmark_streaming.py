"""The benchmark of streams: every side takes the same step, and the rows are what they say."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import streaming, timing


def test_rows(monkeypatch):
    monkeypatch.setattr(timing, "_used", lambda seconds: 0.0)
    monkeypatch.setattr(streaming, "TURN", 5)
    layers, model = (probe.run(1.0) for probe in streaming.stream(hidden=(8,), seconds=0.01))
    values = {r.name: r.value for r in layers}
    for side in ("nn.LSTMCell", "gw.Stream", "gw.Stream, out=", "layer.step", "layer, T = 1"):
        quantiles = [values[f"{side}: {q}"] for q in streaming.QUANTILES]
        assert quantiles == sorted(quantiles)
    assert values["nn.LSTMCell / gw.Stream: median"] == pytest.approx(
        values["nn.LSTMCell: median"] / values["gw.Stream: median"]
    )
    assert {r.name for r in layers if r.least} == {
        "nn.LSTMCell / gw.Stream: median",
        "nn.LSTMCell / gw.Stream, out=: median",
    }
    assert "model, nn.LSTMCell / gw.Stream(model): p99" in {r.name for r in model}


def test_steps_are_timed_one_by_one():
    calls = []
    times = streaming.measured({"a": calls.append, "b": lambda x: None}, "x", 0.0)
    assert len(times["a"]) == len(times["b"]) == 4 * streaming.TURN
    assert len(calls) == 5 * streaming.TURN  # the first turn is left out
    assert (np.concatenate(list(times.values())) >= 0).all()
