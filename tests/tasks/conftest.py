"""A small text, and models that train in a second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

# Small models on one thread, also in processes that tests start: threads that wait for each other by spinning are
# very slow where several test processes share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture
def small() -> dict[str, Any]:
    """Settings of a model that trains in a moment."""
    return {"hidden_size": 12, "batch_size": 4, "steps": 8, "embedding_size": 6, "warmup": 2}


@pytest.fixture
def prose() -> str:
    """About 4,000 characters that repeat with changes."""
    words = [
        "the",
        "gates",
        "are",
        "written",
        "once",
        "and",
        "what",
        "they",
        "remember",
        "they",
        "carry",
        "from",
        "line",
        "to",
        "line",
    ]
    lines = [" ".join(words[(i * k) % len(words)] for k in range(1, 9)) for i in range(1, 90)]
    return ".\n".join(lines)


@pytest.fixture
def prose_file(tmp_path: Path, prose: str) -> Path:
    """The same in a file."""
    path = tmp_path / "prose.txt"
    path.write_text(prose, encoding="utf-8")
    return path
