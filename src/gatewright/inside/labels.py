"""What there is to know about a text at each character: labels that `gw.inside.find_units` looks for in a network.

Every label is what holds once the character has been read, as a unit that tracks it would show it: behind an opening
bracket the depth is one more. All are arrays with one entry a character.
"""

from __future__ import annotations

import io
import token
import tokenize
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from ..nn import arguments

if TYPE_CHECKING:
    from jaxtyping import Bool, Integer, Shaped

OPENING, CLOSING = "([{", ")]}"


def bracket_depth(text: str, *, python: bool = False) -> Integer[np.ndarray, " N"]:
    """How many brackets (, [ and { are open; one that closes nothing does not count.

    Args:
        text: N characters.
        python: the text is Python source: brackets in its strings and comments do not count.

    Raises:
        ValueError: with `python`, the text is no Python source.

    >>> bracket_depth("a(b[1])").tolist()
    [0, 1, 1, 2, 2, 1, 0]
    >>> bracket_depth("f('(')", python=True).tolist()
    [0, 1, 1, 1, 1, 0]
    """
    codes = _codes(text)
    counted = ~_no_code(text) if python else np.ones(len(codes), bool)
    step = np.isin(codes, _codes(OPENING)).astype(np.int64) - np.isin(codes, _codes(CLOSING))
    depth = np.cumsum(np.where(counted, step, 0))
    return depth - np.minimum(np.minimum.accumulate(depth), 0) if len(depth) else depth


def in_quotes(text: str, *, python: bool = True) -> Bool[np.ndarray, " N"]:
    """Whether a quotation is open: from its first quotation mark to the character before the one that ends it.

    Args:
        text: N characters.
        python: the text is Python source, and quotations are its strings (of any kind and prefix; not those in
            comments), as `tokenize` finds them; otherwise they stand between "straight" or “curly” marks.

    Raises:
        ValueError: with `python`, the text is no Python source.

    >>> "".join("-x"[int(q)] for q in in_quotes("a = f('it', \\"s\\")  # 'no'"))
    '------xxx---xx----------'
    """
    return _strings(text) if python else _plain_quotes(text)


def line_position(text: str) -> Integer[np.ndarray, " N"]:
    """How far into its line a character is, from 0; a line's end is the last of it.

    >>> line_position("ab\\ncd").tolist()
    [0, 1, 2, 0, 1]
    """
    place = np.arange(len(text))
    starts = np.concatenate([[True], _codes(text)[:-1] == ord("\n")]) if text else np.zeros(0, bool)
    return place - np.maximum.accumulate(np.where(starts, place, 0)) if text else place


def indent(text: str, *, tab: int = 8) -> Integer[np.ndarray, " N"]:
    """How far the line is indented, as far as it has been read; a tab goes on to the next multiple of `tab`.

    >>> indent("if x:\\n  y\\n").tolist()
    [0, 0, 0, 0, 0, 0, 1, 2, 2, 2]
    """
    tab = arguments.check_size("tab", tab, 1)
    found: list[int] = []
    for line in text.split("\n"):
        blank = len(line) - len(line.lstrip(" \t"))
        widths = list(accumulate(line[:blank], lambda w, c: w + 1 if c == " " else w + tab - w % tab, initial=0))[1:]
        found += widths + [widths[-1] if widths else 0] * (len(line) - blank + 1)
    return np.array(found[: len(text)], np.int64)


def at_tokens(labels: Shaped[np.ndarray, " N"], tokens: Sequence[str]) -> Shaped[np.ndarray, " T"]:
    """Labels of characters as labels of tokens: what holds at each token's last character.

    Args:
        labels: one for each character.
        tokens: the same text in pieces, none of them empty.

    Raises:
        ValueError: the pieces have another number of characters.

    >>> at_tokens(bracket_depth("f(x)"), ["f(", "x", ")"]).tolist()
    [1, 1, 0]
    """
    ends = np.cumsum([len(t) for t in tokens], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if total != len(labels) or not all(tokens):
        raise arguments.wrong("tokens", f"pieces of {len(labels)} characters, none empty", f"{total} characters")
    return np.asarray(labels)[ends - 1]


# -- Python source ---------------------------------------------------------------------------------------------


def _strings(text: str) -> Bool[np.ndarray, " N"]:
    inside = np.zeros(len(text), bool)
    for start, end, kind in _spans(text):
        if kind == "string":
            opening = start + min(k for k in (text.find(q, start, end) - start for q in "'\"") if k >= 0)
            inside[opening : end - 1] = True
    return inside


def _no_code(text: str) -> Bool[np.ndarray, " N"]:
    """Strings and comments."""
    found = np.zeros(len(text), bool)
    for start, end, _ in _spans(text):
        found[start:end] = True
    return found


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Where strings and comments start and end. A formatted string is one, with what stands in its braces."""
    starts = np.concatenate([[0], np.flatnonzero(_codes(text) == ord("\n")) + 1])
    opened: list[int] = []
    try:
        for found in tokenize.generate_tokens(io.StringIO(text).readline):
            name = token.tok_name[found.type]
            if "STRING" not in name and name != "COMMENT":
                continue
            start, end = (int(starts[row - 1]) + column for row, column in (found.start, found.end))
            if name.endswith("STRING_START"):  # from Python 3.12 on formatted strings come in pieces
                opened.append(start)
            elif name.endswith("STRING_END"):
                first = opened.pop()
                if not opened:
                    yield first, end, "string"
            elif name in ("STRING", "COMMENT") and not opened:
                yield start, end, name.lower()
    except (tokenize.TokenError, SyntaxError) as error:
        raise arguments.wrong("text", "Python source", str(error), "give whole files, or python=False") from error


# -- any text --------------------------------------------------------------------------------------------------


def _plain_quotes(text: str) -> Bool[np.ndarray, " N"]:
    codes = _codes(text)
    straight = np.cumsum(codes == ord('"')) % 2 == 1
    curly = np.cumsum((codes == ord("“")).astype(np.int64) - (codes == ord("”")))
    return straight | (curly > 0)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
