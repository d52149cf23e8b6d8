"""Names and letters: Greek is spelled out, accents become words, so that a name is plain everywhere."""

from __future__ import annotations

import re
import unicodedata

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "sigma tau upsilon phi chi psi omega"
).split()
_LETTERS = {
    unicodedata.lookup(f"GREEK {case} LETTER {'LAMDA' if word == 'lambda' else word.upper()}"): spelled
    for word in GREEK
    for case, spelled in (("SMALL", word), ("CAPITAL", word.capitalize()))
}
ACCENTS = {"tilde": "\u0303", "hat": "\u0302", "bar": "\u0304", "dot": "\u0307", "check": "\u030c"}
_MARKS = {mark: word for word, mark in ACCENTS.items()} | {"\u0305": "bar"}


def plain(name: str) -> str:
    """A name with Greek letters spelled and accents written out: `c̃` is `c_tilde`, `α` is `alpha`."""
    out, marks = "", ""
    for character in unicodedata.normalize("NFKD", name):  # as Python reads a name
        if character in _MARKS:
            marks += f"_{_MARKS[character]}"
        else:
            out += _LETTERS.get(character, character)
    return unicodedata.normalize("NFC", out) + marks


def identifier(name: str) -> str:
    """A Python name as the name of a value: `lambda_` is `lambda`."""
    return re.sub("_+", "_", plain(name)).strip("_")
