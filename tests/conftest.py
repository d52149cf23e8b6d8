"""Settings of the whole run."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

sys.path.insert(0, str(Path(__file__).parent))  # cases, tolerances and generators are shared by name

SOURCE = Path(__file__).parents[1] / "src"


def annotated(package: str) -> list[str]:
    """The modules of a package whose functions have shapes; to check all others makes compiling half as slow again."""
    files = (SOURCE / package.replace(".", "/")).rglob("*.py")
    named = [file for file in files if "from jaxtyping" in file.read_text(encoding="utf-8")]
    return [".".join(file.relative_to(SOURCE).with_suffix("").parts) for file in named]


install_import_hook(
    annotated("gatewright.backends"), "beartype.beartype"
)  # annotated shapes are checked in tests alone

settings.register_profile("gatewright", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatewright")


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed():
    """Small tensors gain nothing from threads, and several test processes share the cores."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


def pytest_configure(config):
    """Kernels are kept between runs, and for all processes of one run, in the folder where pytest keeps its own. What a
    shell runs in the background ignores Ctrl-C, and so would the programs that tests stop by it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.pluginmanager.has_plugin("cacheprovider") and "GATEWRIGHT_CACHE" not in os.environ:
        folder = config.cache.mkdir("kernels")
        folder.chmod(0o700)  # what others could write to is refused
        os.environ["GATEWRIGHT_CACHE"] = str(folder)


COMPILES = (
    "backends",
    "explorer",
    "export",
    "graph/test_diagram",
    "inside",
    "plan",
    "serve",
    *(f"tasks/test_{name}" for name in """
        classify folder forecast language report settings_matter table tag trainer tuning
    """.split()),
    "test_benchmark",
    "test_long_benchmark.py",
    "test_public.py",
    *(f"nn/test_{name}" for name in """
        autocast check_finite constraints convert convolution cpu_backend deep drop_in ecosystem ensemble every_argument
        init layer_errors learned_state long_sequences onnx ready regularisers saving step streaming truncated
        weights_that_misfit
    """.split()),
)  # fmt: skip
"""Tests that compile many kernels, plan many cells or load other libraries; `make quick` takes every twentieth of each
file, not its first, which often pays for what the others share."""


def pytest_collection_modifyitems(items):
    root, seen = Path(__file__).parent, {}
    for item in items:
        path = item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else ""
        if path.startswith(COMPILES) and not item.get_closest_marker("slow"):
            seen[path] = seen.get(path, -1) + 1
            if seen[path] % 20 != 10:
                item.add_marker(pytest.mark.slow)


def pytest_addoption(parser):
    parser.addoption("--refresh", action="store_true", help="write the golden files anew")
