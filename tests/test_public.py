"""The public edge: names, layers of the house, what an import loads, and every example that is printed."""

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gatewright as gw

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gatewright"

OPERATIONS = (
    "abs affine bias constant diagonal exp layer_norm linear log max maximum mean minimum previous relu repeat sigmoid "
    "softplus sqrt stop_gradient sum tanh where"
).split()
PUBLIC = [
    *OPERATIONS,
    *"Cell CellError NotationError cell cells parse".split(),
    *"Recurrent LSTM GRU RNN LSTMCell GRUCell RNNCell Stream init replace tasks".split(),
    "ConvRecurrent",
    *"EmbeddingDropout LockedDropout constrain constraints convert debug detach penalties sequences truncated".split(),
    *"Classifier Forecaster Tagger".split(),
    *"Deep Ensemble clamp export inside load record save".split(),
]


def test_public_names():
    assert sorted(gw.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(gw, name).__doc__, f"{name} has no docstring"


def test_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert gw.__version__ == project["version"]


LAYERS = [
    "graph",
    "cells",
    "gradient",
    "plan",
    "backends",
    "nn",
    "export",
    "inside",
    "tasks",
    "explorer",
    "serve",
    "cli",
]
"""What stands later may import what stands before it. `cells` uses the words of `graph`; nothing else is crossed."""


def imports_of(path: Path) -> set[str]:
    """The folders of the package that a file imports."""
    here = path.relative_to(SOURCE).parts
    found = set()
    for n in ast.walk(ast.parse(path.read_text())):
        if isinstance(n, ast.ImportFrom):
            up = len(here) - n.level if n.level else 0
            module = (".".join(["gatewright", *here[:up]]) + "." if n.level else "") + (n.module or "")
            names = [f"{module}.{a.name}" if module.rstrip(".") == "gatewright" else module for a in n.names]
        elif isinstance(n, ast.Import):
            names = [a.name for a in n.names]
        else:
            continue
        parts = [name.replace("..", ".").split(".") for name in names]
        found |= {p[1] for p in parts if p[0] == "gatewright" and len(p) > 1}
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*/**/*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_in_one_direction(path):
    folder = path.relative_to(SOURCE).parts[0]
    allowed = LAYERS[: LAYERS.index(folder) + 1]
    assert imports_of(path) & set(LAYERS) <= set(allowed)


def test_no_cells_name_in_plan_or_backends():
    """What runs a cell knows its equations alone; the vendors' own names of their kernels are no cells."""
    vendors = {
        "LSTM",
        "GRU",
        "RNN_TANH",
        "RNN_RELU",
        "nn.LSTM",
        "nn.GRU",
        "nn.RNN",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
    }
    vendors |= {f"{name}_cell" for name in vendors}
    for path in [*SOURCE.glob("plan/**/*.py"), *SOURCE.glob("backends/**/*.py")]:
        words = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
        words |= {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert not words & (set(gw.cells) - vendors), path


def test_an_import_loads_torch_and_nothing_heavier():
    heavy = (
        "lightning lightning_fabric tokenizers rich typer matplotlib plotly pandas safetensors.torch fastapi "
        "llvmlite torch._dynamo torch._inductor"
    ).split()
    code = f"import sys, gatewright as gw; gw.LSTM(2, 3); print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_forked_child_knows_that_it_is_one_from_the_import_on():
    code = (
        "import os, sys, gatewright\n"
        "forks = sys.modules['gatewright.backends.cpu.forks']\n"
        "child = os.fork()\n"
        "os._exit(0 if forks.forked() else 1) if child == 0 else None\n"
        "print(forks.forked(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False 0"


def test_a_file_stays_small():
    long = {p.name: n for p in SOURCE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 500}
    assert not long


FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    return sorted(m.name for m in pkgutil.walk_packages(gw.__path__, "gatewright."))


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=FLAGS)
    assert not result.failed


def blocks(path: Path) -> list[tuple[int, str]]:
    """(line, code) of every block of Python in a page."""
    text = path.read_text()
    found = re.finditer(r"^```python\n(.*?)^```", text, re.S | re.M)
    return [(text.count("\n", 0, m.start()) + 2, m[1]) for m in found]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_run(page, tmp_path, monkeypatch):
    """Every block of a page is executed, in order, in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    space: dict = {"__name__": "page"}
    for line, code in blocks(page):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), space)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_in_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_page_of_cells_is_what_the_cells_say():
    subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=True)
