"""Which unit of a language model follows something known about its text: brackets, quotes, the verb to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from gatewright.inside import Found, find_units, record
from gatewright.inside import labels as known
from gatewright.inside.pictures.text import TextPicture, coloured_text
from gatewright.nn import Recurrent
from gatewright.tasks.errors import SettingsError
from gatewright.tasks.language.network import LanguageNetwork
from gatewright.tasks.tokenizers import Tokenizer

__all__ = ["FOLLOWED", "Followed", "follow", "next_of"]

FOLLOWED: dict[str, Callable[[str], np.ndarray]] = {
    "brackets": lambda text: known.bracket_depth(text, python=True) > 0,
    "depth": lambda text: known.bracket_depth(text, python=True).astype(np.float64),
    "quotes": known.in_quotes,
    "indent": lambda text: known.indent(text).astype(np.float64),
    "line": lambda text: known.line_position(text).astype(np.float64),
}
"""What can be followed by name; `next:is,are` is besides."""


class Followed(NamedTuple):
    """The best units, the tokens that were read, the labels of each, and the values of each unit's name (T, width).

    glue: what stands between two tokens.
    """

    units: list[Found]
    tokens: list[str]
    labels: np.ndarray
    values: dict[str, torch.Tensor]
    glue: str

    def picture(self, unit: Found, where: slice | Sequence[int] = slice(600), **options: Any) -> TextPicture:
        """The text, or some of its tokens, each in the colour of a unit's value."""
        chosen = range(len(self.tokens))[where] if isinstance(where, slice) else list(where)
        tokens = [self.tokens[k] + ("" if "\n" in self.tokens[k] else self.glue) for k in chosen]
        return coloured_text(tokens, self.values[unit.name][list(chosen), unit.unit], **options)


def follow(
    network: LanguageNetwork, tokenizer: Tokenizer, text: str, what: str, *, names: Sequence[str] = (), top: int = 5
) -> Followed:
    """Read a text and find the units that follow something in it; see `gw.inside.find_units` for the score.

    Args:
        network: of one layer; of several, the first is looked into.
        text: what the model has not been trained on.
        what: "brackets" (inside any), "depth", "quotes", "indent", "line" (the position in it) of Python source; or
            "next:is,are": which of two words comes next in the line, at every token before it.
        names: which values; default the states.
        top: how many units.

    Raises:
        SettingsError: there is nothing of that name, or a text has nothing to follow.
    """
    ids = np.asarray(tokenizer.encode(text))
    tokens = [tokenizer.decode([i]) for i in ids.tolist()]
    labels = _labels(text, tokens, what)
    if not np.isfinite(labels.astype(np.float64)).any():
        raise SettingsError(f"{what}: there is nothing of it in this text")
    layer = next(m for m in network.modules() if isinstance(m, Recurrent))
    names = names or [s.name for s in layer.equations.states]
    with torch.no_grad(), record(network.eval(), names) as tape:
        network(torch.as_tensor(ids, dtype=torch.int64)[:, None])
    track = tape.tracks[0]
    units = find_units(track, labels, method="auto" if labels.dtype == np.bool_ else _method(labels), top=top)
    values = {name: track[name][:, 0] for name in names}
    return Followed(units, tokens, labels, values, getattr(tokenizer, "glue", ""))


def _method(labels: np.ndarray) -> str:
    """Yes and no with gaps are numbers too."""
    return "auc" if set(np.unique(labels[np.isfinite(labels)])) <= {0.0, 1.0} else "spearman"


def _labels(text: str, tokens: Sequence[str], what: str) -> np.ndarray:
    if what in FOLLOWED:
        return known.at_tokens(FOLLOWED[what](text), tokens)
    words = what.removeprefix("next:").split(",")
    if not what.startswith("next:") or len(words) != 2 or not all(words):
        listed = ", ".join(FOLLOWED)
        raise SettingsError(f"there is nothing called {what!r} to follow: take {listed}, or next:is,are")
    return next_of(tokens, words[0], words[1])


def next_of(tokens: Sequence[str], no: str, yes: str, *, least: int = 0, at_verb: bool = False) -> np.ndarray:
    """Which of two words comes next in its line, for every token before it: 0 or 1, NaN where none does.

    Args:
        tokens: a text's, the ends of lines among them.
        no, yes: the words.
        least: only where so many tokens of the line stand before the word.
        at_verb: only at the last token before it.

    >>> next_of(["two", "dogs", "are", "here", "\\n", "rain"], "is", "are").tolist()
    [1.0, 1.0, nan, nan, nan, nan]
    """
    found, start = np.full(len(tokens), np.nan), 0
    for end in [k for k, t in enumerate(tokens) if "\n" in t] + [len(tokens)]:
        words = [t.strip() for t in tokens[start:end]]
        verb = next((k for k, w in enumerate(words) if w in (no, yes)), None)
        if verb is not None and verb >= max(least, 1):
            first = start + verb - 1 if at_verb else start
            found[first : start + verb] = words[verb] == yes
        start = end + 1
    return found
