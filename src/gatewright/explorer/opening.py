"""From what a user names to an opened model: a folder, a file, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from ..nn.saving import load
from ..tasks import LanguageModel
from ..tasks.errors import FolderError
from . import grammar, sentences
from .opened import Opened
from .reads_numbers import ReadsNumbers
from .reads_text import ReadsText
from .refused import Refused

SENTENCES = 200
"""Sentences of the grammar in which units are looked for."""


def opened(model: str | os.PathLike[str] | nn.Module | LanguageModel | None = None) -> Opened:
    """A model to look into.

    Args:
        model: a folder of a trained language model, a file of `gw.save`, a model itself, or None for the shipped one.

    Raises:
        FolderError: it is none of these, or damaged.

    >>> import gatewright as gw
    >>> list(opened(gw.LSTM(3, 5)).layers)
    ['model/0']
    """
    if model is None:
        return _sentences()
    if isinstance(model, LanguageModel):
        return ReadsText(model, model.cell_name)
    if isinstance(model, nn.Module):
        return _numbers(model, type(model).__name__)
    path = Path(model)
    if path.is_dir():
        return ReadsText(LanguageModel.load(path), path.name)
    if not path.exists():
        raise FolderError(f"{path}: no such folder or file; give a model folder, a file of gw.save, or nothing")
    try:
        return _numbers(load(path), path.name)
    except (ValueError, TypeError) as error:
        raise FolderError(str(error)) from error


def _numbers(model: nn.Module, name: str) -> ReadsNumbers:
    try:
        return ReadsNumbers(model, name)
    except Refused as refused:
        raise FolderError(f"{name}: {refused.message}") from refused


def _sentences() -> ReadsText:
    """The model that is shipped."""
    corpus = [made.text for made in sentences.some(SENTENCES, 3, held_out=True)]
    made = ReadsText(
        LanguageModel.load(sentences.FOLDER),
        "sentences",
        examples=sentences.EXAMPLES,
        corpus=corpus,
        spaced=grammar.spaced,
        stop="<eos>",
    )
    made.description += " It learned sentences of a small grammar in which something has to be kept until it is needed."
    return made
