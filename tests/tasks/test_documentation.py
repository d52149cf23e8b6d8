"""docs/language.md names settings that there are; tests/test_public.py runs its examples."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from gatewright.cli.language_evaluate import evaluate
from gatewright.tasks import LanguageSettings, TrainingSettings
from gatewright.tasks.language.sampling import Sampling

PAGE = Path(__file__).parents[2] / "docs" / "language.md"


def test_the_page_names_every_flag_that_it_uses() -> None:
    known = {
        "--" + name.replace("_", "-") for kind in (LanguageSettings, TrainingSettings) for name in kind().to_dict()
    }
    known |= {"--" + name.replace("_", "-") for name in Sampling().to_dict()}
    known |= {"--" + name.replace("_", "-") for name in inspect.signature(evaluate).parameters}
    other = {
        "--best",
        "--out",
        "--prompt",
        "--resume",
        "--valid",
        "--files",
        "--help",
        "--overwrite",
    }
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert used <= known | other | {"--debug"}, used - known - other
