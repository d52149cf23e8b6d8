"""Every setting of a forecast changes something."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gatewright.tasks.forecast.forecaster import Forecaster
from gatewright.tasks.forecast.settings import ForecastSettings

BASE: dict[str, Any] = {"horizon": 3, "context": 14, "hidden_size": 6, "updates": 3, "batch_size": 8, "warmup": 2}

# Field: (what is set besides, its other value).
CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "cell": ({}, "gru"),
    "horizon": ({}, 4),
    "target": ({"target": "y"}, "z"),
    "time": ({"time": "day", "irregular": "steps"}, "other"),
    "series": ({"time": "hour", "series": "unique_id"}, "unique_id,half"),
    "known": ({}, "z"),
    "past": ({}, "z"),
    "static": ({}, "kind"),
    "freq": ({}, "12h"),
    "irregular": ({}, "steps"),
    "calendar": ({}, "none"),
    "periods": ({}, "5"),
    "season": ({}, 5),
    "validation": ({}, "0.3"),
    "context": ({}, 10),
    "kind": ({}, "autoregressive"),
    "segment": ({}, 2),
    "head": ({}, "mae"),
    "quantiles": ({}, "0.3,0.5,0.7"),
    "scaling": ({"window": "none"}, "robust"),
    "window": ({}, "last"),
    "log": ({}, True),
    "level": ({}, "none"),
    "residual": ({}, "last"),
    "hidden_size": ({}, 8),
    "num_layers": ({}, 2),
    "dropout": ({}, 0.5),
    "identity": ({}, 0),
    "samples": ({"kind": "autoregressive"}, 7),
    "draw": ({}, "scale"),
    "windows": ({"updates": None, "epochs": 1}, 9),
    "stride": ({}, 3),
    "validation_windows": ({}, 1),
    "backend": ({}, "reference"),
}
ELSEWHERE = {"buffer_rows"}  # of streamed Parquet files; the data's own tests have it


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=60)
    parts = [
        pd.DataFrame(
            {
                "unique_id": f"s{k}",
                "half": ["a"] * 30 + ["b"] * 30,
                "kind": "xy"[k % 2],
                "day": days,
                "hour": np.arange(60),
                "other": days[::-1],
                "y": (k + 1) * (9 + rng.normal(0, 1, 60) + np.arange(60) % 7),
                "z": rng.uniform(1, 2, 60) + (np.arange(60) % 5),
            }
        )
        for k in range(3)
    ]
    return pd.concat(parts, ignore_index=True)


FRAME = frame()


def outcome(settings: dict[str, Any]) -> Any:
    """The weights, what training saw on its way, what runs the cell, and a forecast."""
    named = {"target": "y", "time": "day", "series": "unique_id", **settings}
    model = Forecaster(**named).fit(FRAME)
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in model.metrics["history"]]
    weights = [w.tolist() for w in model.network.state_dict().values() if isinstance(w, torch.Tensor)]
    future = None if model.schema.columns.known == () else FRAME.assign(day=FRAME["day"] + pd.Timedelta(days=60))
    table = model.predict(FRAME, future)
    return history, weights, model.metrics["backend"], table[table.columns[-3:]].to_numpy().tolist()


def test_every_setting_is_tried() -> None:
    assert {f.name for f in dataclasses.fields(ForecastSettings)} == CHANGES.keys() | ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_something(name: str) -> None:
    besides, value = CHANGES[name]
    base = {**BASE, **besides}
    assert outcome(base) != outcome({**base, name: value})


def test_the_same_settings_give_the_same() -> None:
    assert outcome(BASE) == outcome(BASE)


def test_contexts_fit_the_series() -> None:
    settings = ForecastSettings(horizon=12)
    assert settings.context_for(12, [10_000]) == 84  # 7 seasons
    assert settings.context_for(24, [10_000]) == 168
    assert settings.context_for(1, [10_000]) == 32
    assert settings.context_for(12, [108]) == 48  # half of what is there, in whole seasons
    assert settings.context_for(12, [20]) == 4
    assert ForecastSettings(horizon=96).context_for(24, [10_000]) == 192
    assert ForecastSettings(context=5).context_for(24, [10_000]) == 5
    assert ForecastSettings(season=7, horizon=3).context_for(1, [10_000]) == 49
    assert ForecastSettings().segment_for(720, 1) == 26
    assert ForecastSettings(kind="autoregressive").segment_for(720, 24) == 1
