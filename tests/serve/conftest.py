"""Small models run on one thread here; see tests/tasks/conftest.py."""

from __future__ import annotations

import os

import torch

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
