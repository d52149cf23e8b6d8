"""The examples in docstrings and in docs/language.md run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import gatewright.tasks

MODULES = [m.name for m in pkgutil.iter_modules(gatewright.tasks.__path__, "gatewright.tasks.")]
PAGE = Path(__file__).parents[2] / "docs" / "language.md"


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"gw": gatewright})
    assert found.failed == 0


def test_the_page() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})


def test_the_page_names_every_flag_that_it_uses() -> None:
    from gatewright.tasks import LanguageSettings, TrainingSettings

    known = {
        "--" + name.replace("_", "-") for kind in (LanguageSettings, TrainingSettings) for name in kind().to_dict()
    }
    other = {"--out", "--prompt", "--length", "--temperature", "--seed", "--resume", "--valid", "--files", "--help"}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert used <= known | other | {"--debug"}, used - known - other
