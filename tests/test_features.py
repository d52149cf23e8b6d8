"""The table of features says yes only where a test shows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "features.md"
LINK = re.compile(r"\[yes\]\(([^)#]+)#(\w+)\)")


def rows() -> dict[str, str]:
    """What each row says of us, by its feature; headings of groups left out."""
    found = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| feature", "| **")):
            feature, ours, *others = (cell.strip() for cell in line.strip("|").split("|"))
            assert len(others) == 6 and all(others), f"{feature}: every column says something"
            assert feature not in found, feature
            found[feature] = ours
    return found


def functions_in(path: Path) -> set[str]:
    return {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("feature", rows())
def test_a_yes_has_a_test(feature):
    ours = rows()[feature]
    if ours.startswith("no"):
        return
    links = LINK.findall(ours)
    assert links and ours.count("yes") == len(links), ours
    for file, name in links:
        assert name.startswith("test_") and name in functions_in(PAGE.parent / file), f"{file}::{name}"


def test_there_are_rows():
    assert len(rows()) > 40
