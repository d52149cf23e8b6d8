"""Names as they are printed: letters, subscripts, and how wide they are."""

from __future__ import annotations

from dataclasses import dataclass

from ..notation.letters import ACCENTS, GREEK

_GREEK = {word: chr(0x3B1 + k + (1 if k > 16 else 0)) for k, word in enumerate(GREEK)}
_NARROW, _WIDE = frozenset("ijlft.,:;'|!()[]1-·−I "), frozenset("mwMWQ@%")


@dataclass(frozen=True)
class Label:
    """A letter or word with its subscript."""

    base: str
    sub: str

    @property
    def plain(self) -> str:
        """For a tooltip or a screen reader."""
        return f"{self.base} {self.sub}".strip()

    def wide(self, size: float) -> float:
        return width(self.base, size) + width(self.sub, 0.7 * size)


def label(name: str, back: int | None = 0) -> Label:
    """`c_tilde` is c̃ with the subscript t; `log_i`, one step back, has "i, t−1"; no time where `back` is None."""
    base, *rest = name.split("_")
    base, subs = _letter(base), []
    for word in rest:
        if word in ACCENTS and not subs:
            base += ACCENTS[word]
        else:
            subs.append(_letter(word))
    time = [] if back is None else ["t" if back == 0 else f"t−{back}"]
    return Label(base, ",".join([*subs, *time]))


def _letter(word: str) -> str:
    lower = word.lower()
    if lower in _GREEK:
        return _GREEK[lower] if word == lower else _GREEK[lower].upper()
    return word


def width(text: str, size: float) -> float:
    """How wide a text is at most, in a common sans serif face."""
    total = 0.0
    for letter in text:
        if "\u0300" <= letter <= "\u036f":
            continue
        total += 0.38 if letter in _NARROW else 0.95 if letter in _WIDE else 0.66 if letter.isupper() else 0.6
    return total * size


def is_letter(base: str) -> bool:
    """Whether a name is one letter, with or without an accent: those are set in italics."""
    return len([c for c in base if not "\u0300" <= c <= "\u036f"]) == 1
