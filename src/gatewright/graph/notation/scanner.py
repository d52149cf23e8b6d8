"""Characters into tokens: Unicode, ASCII and LaTeX spellings of one thing become the same token.

A name is a token of its own kind: base, subscripts and time index are read together, so that `h_{t-1}`,
`h_{t−1}`, `hₜ₋₁` and `h^{t-1}` are all the name h one step back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import CellError, NotationError
from .letters import ACCENTS, GREEK, plain

MAX_CHARACTERS = 100_000
MAX_TOKENS = 20_000


@dataclass(frozen=True)
class Token:
    """One token. For a name, `subs` are its subscripts without the time, `time` 0 for t, −k for t−k."""

    kind: str  # name, number, op, break, end
    text: str
    start: int
    end: int
    subs: tuple[str, ...] = ()
    time: int | None = None
    value: float = 0.0

    @property
    def name(self) -> str:
        """The name without its time: `W_f`, `c_tilde`."""
        return "_".join((self.text, *self.subs))

    @property
    def raw(self) -> str:
        """The name as it would be if its t were a subscript like any other: `W_t`."""
        return f"{self.name}_t" if self.time == 0 else self.name


OPERATORS = {
    "⊙": "⊙", "∘": "⊙", "⊗": "⊙", "*": "⊙", "×": "⊙", "·": "·", "⋅": "·", "@": "·", "+": "+", "-": "-",
    "−": "-", "–": "-", "/": "/", "^": "^", "(": "(", ")": ")", "[": "[", "]": "]", ",": ",", "|": "|",
    "=": "=", "<": "<", ">": ">", "≤": "≤", "≥": "≥", "≠": "≠", "{": "{", "}": "}", ":": ":", ";": ";",
    "∈": "∈",
}  # fmt: skip
_LONG = {"**": "^", "<=": "≤", ">=": "≥", "!=": "≠", "==": "=", ":=": "="}
_COMMANDS = {
    "odot": "⊙", "circ": "⊙", "otimes": "⊙", "ast": "⊙", "times": "⊙", "cdot": "·", "le": "≤", "leq": "≤",
    "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "lt": "<", "gt": ">", "vert": "|", "lvert": "|", "rvert": "|",
    "in": "∈",
}  # fmt: skip
_IGNORED = {
    "left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "quad", "qquad", "limits",
    "nonumber", "notag", "begin", "end",
}  # fmt: skip
_STYLES = {
    "mathbb",
    "mathrm",
    "mathbf",
    "mathit",
    "mathsf",
    "mathcal",
    "boldsymbol",
    "bm",
    "text",
    "textrm",
    "operatorname",
}
_FUNCTIONS = {"tanh", "exp", "log", "ln", "max", "min"}
_SUBSCRIPT = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ,", "0123456789+-aehijklmnoprstuvx,", strict=True))
_SUPERSCRIPT = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[^\W\d_][^\W_]*|_+[^\W_]+")
_TIME = re.compile(r"t(?:[-−–](\d+))?")


class Scanner:
    """Reads one text; `tokens()` gives the list, with a `break` between equations."""

    def __init__(self, text: str):
        if len(text) > MAX_CHARACTERS:
            raise CellError(f"the text has {len(text)} characters: at most {MAX_CHARACTERS} are read")
        self.text = text
        self.at = 0
        self.depth = 0
        self.found: list[Token] = []

    def error(self, message: str, start: int, end: int | None = None) -> NotationError:
        """An error with the line, the column and a caret."""
        start = min(start, len(self.text))
        line = self.text.count("\n", 0, start) + 1
        head = self.text.rfind("\n", 0, start) + 1
        tail = self.text.find("\n", head)
        source = self.text[head : tail if tail >= 0 else len(self.text)]
        width = max(1, min((end or start + 1) - start, len(source) - (start - head)))
        shown = source.replace("\t", " ")
        return NotationError(message, line=line, column=start - head + 1, source=shown, width=width)

    def tokens(self) -> list[Token]:
        """All tokens of the text, `end` last."""
        while self.at < len(self.text):
            self._one()
            if len(self.found) > MAX_TOKENS:
                raise CellError(f"the text has more than {MAX_TOKENS} symbols: it is no cell of this size")
        self._add("break", "\n", self.at)
        self._add("end", "the end", self.at)
        return self.found

    def _add(self, kind: str, text: str, start: int, **rest) -> None:
        self.found.append(Token(kind, text, start, self.at, **rest))

    def _one(self) -> None:
        start, c = self.at, self.text[self.at]
        two = self.text[start : start + 2]
        if c == "\n":
            self.at += 1
            if self.depth == 0:
                self._add("break", "\n", start)
        elif c.isspace() or c in "&$\u200b":
            self.at += 1
        elif c in "#%":
            while self.at < len(self.text) and self.text[self.at] != "\n":
                self.at += 1
        elif c == "\\":
            self._command()
        elif c == "∞":
            self.at += 1
            self._add("number", c, start, value=float("inf"))
        elif (number := _NUMBER.match(self.text, start)) is not None:
            self.at = number.end()
            self._add("number", number[0], start, value=float(number[0]))
        elif c in _SUPERSCRIPT:
            self._superscript()
        elif two in _LONG or c in OPERATORS:
            self._operator(_LONG.get(two) or OPERATORS[c], len(two) if two in _LONG else 1)
        elif _WORD.match(self.text, start):
            self._name()
        else:
            raise self.error(f"{c!r} (U+{ord(c):04X}) has no meaning in an equation", start)

    def _operator(self, text: str, length: int) -> None:
        start = self.at
        self.at += length
        if text == ";" and self.depth == 0:
            self._add("break", ";", start)
            return
        self.depth = max(0, self.depth + (text in "([{") - (text in ")]}"))
        self._add("op", text, start)

    def _superscript(self) -> None:
        start, digits = self.at, ""
        while self.at < len(self.text) and self.text[self.at] in _SUPERSCRIPT:
            digits += _SUPERSCRIPT[self.text[self.at]]
            self.at += 1
        self._add("op", "^", start)
        self._add("number", digits, start, value=float(digits))

    # -- LaTeX -------------------------------------------------------------------------------------

    def _command(self) -> None:
        start = self.at
        match = re.compile(r"\\([A-Za-z]+)\*?").match(self.text, start)
        if match is None:
            self._short_command(start)
            return
        word = match[1]
        if word in _IGNORED:
            self.at = match.end()
            if word in ("begin", "end"):
                self._group()
                self._add("break", "\n", start)
        elif word in _COMMANDS:
            self.at = match.end()
            self._add("op", _COMMANDS[word], start)
        elif word in ("frac", "sqrt"):
            self.at = match.end()
            self._add("op", f"\\{word}", start)
        elif word == "infty":
            self.at = match.end()
            self._add("number", "∞", start, value=float("inf"))
        elif word in ACCENTS or word in ("widetilde", "widehat") or word in _STYLES or self._letter(word):
            self._name()
        else:
            raise self.error(f"\\{word} has no meaning in an equation", start, match.end())

    def _short_command(self, start: int) -> None:
        following = self.text[start + 1 : start + 2]
        if following not in {"\\", ",", ";", ":", "!", " ", "{", "}", "|"}:
            raise self.error("a lone backslash", start)
        self.at += 2
        if following == "\\":
            if self.depth == 0:
                self._add("break", "\\\\", start)
        elif following in "{}|":
            self._add("op", {"{": "(", "}": ")", "|": "|"}[following], start)

    @staticmethod
    def _letter(word: str) -> bool:
        return word in _FUNCTIONS or word.lower() in GREEK or word in ("varepsilon", "varphi", "ell")

    def _group(self) -> str:
        """The text of a `{…}` group, or of one character without braces."""
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1
        start = self.at
        if self.text[start : start + 1] != "{":
            self.at += 1
            return self.text[start : self.at]
        depth = 0
        while self.at < len(self.text):
            c = self.text[self.at]
            depth += (c == "{") - (c == "}")
            self.at += 1
            if depth == 0:
                return self.text[start + 1 : self.at - 1]
            if c == "\n":
                break
        raise self.error("this { is never closed", start)

    # -- names -------------------------------------------------------------------------------------

    def _name(self) -> None:
        start = self.at
        base = self._base()
        parts = _Subscripts()
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == "_":
                self.at += 1
                self._subscript(parts, start)
            elif c in _SUBSCRIPT and c != ",":
                run = self.at
                while self.at < len(self.text) and self.text[self.at] in _SUBSCRIPT:
                    self.at += 1
                parts.read("".join(_SUBSCRIPT[s] for s in self.text[run : self.at]), self, start)
            elif c == "^" and (
                time := re.compile(r"\^(?:\{\s*(t(?:\s*[-−–]\s*\d+)?)\s*\}|(t)(?!\w))").match(self.text, self.at)
            ):
                self.at = time.end()
                parts.read(time[1] or time[2], self, start)
            else:
                break
        self._refuse_t_minus_1(parts, start)
        self.found.append(Token("name", base, start, self.at, tuple(parts.subs), parts.time))

    def _refuse_t_minus_1(self, parts: _Subscripts, start: int) -> None:
        """`h_t-1` may mean h_{t-1} or h_t − 1: neither is guessed."""
        if parts.bare_t and re.compile(r"[-−–]\d(?![\d.])").match(self.text, self.at):
            name = self.text[start : self.at]
            raise self.error(
                f"{name}-… : write {name[:-1]}{{t-1}} for the step before, or {name} - 1", start, self.at + 2
            )

    def _base(self) -> str:
        if self.text[self.at] != "\\":
            match = _WORD.match(self.text, self.at)
            assert match is not None
            self.at = match.end()
            while self.at < len(self.text) and self.text[self.at] in ACCENTS.values():
                self.at += 1  # combining marks
            return plain(self.text[match.start() : self.at])
        match = re.compile(r"\\([A-Za-z]+)\*?").match(self.text, self.at)
        assert match is not None
        word, self.at = match[1], match.end()
        accent = word.removeprefix("wide")
        if accent in ACCENTS or word in _STYLES:
            inner = Scanner(self._group().strip() or "?").tokens()[0]
            if inner.kind != "name":
                raise self.error(f"\\{word} stands over a name", match.start(), self.at)
            return inner.name if word in _STYLES else f"{inner.name}_{accent}"
        return {"varepsilon": "epsilon", "varphi": "phi", "ell": "l"}.get(word, word)

    def _subscript(self, parts: _Subscripts, start: int) -> None:
        c = self.text[self.at : self.at + 1]
        if c in ("{", "\\"):
            if c == "\\":  # W_\mathrm{in}
                begin = self.at
                self._base()
                parts.read(self.text[begin : self.at], self, start)
            else:
                parts.read(self._group(), self, start)
            return
        word = re.compile(r"[^\W_]+").match(self.text, self.at)
        if word is None:
            raise self.error("a subscript is missing behind the _", self.at - 1)
        self.at = word.end()
        parts.read(word[0], self, start)
        parts.bare_t = word[0] == "t"


@dataclass
class _Subscripts:
    """What has been read behind a name."""

    subs: list[str] = field(default_factory=list)
    time: int | None = None
    bare_t: bool = False

    def read(self, text: str, scanner: Scanner, start: int) -> None:
        for item in text.split(","):
            word = re.sub(r"\s|\\[,;! ]", "", item)
            if (time := _TIME.fullmatch(word)) is not None:
                if self.time is not None:  # x_t_t: the first t is part of the name
                    self._restore_t(scanner, start)
                self.time = -int(time[1] or 0)
                continue
            if self.time is not None:
                self._restore_t(scanner, start)
            if word:
                self.subs.append(self._word(word, scanner, start))

    def _restore_t(self, scanner: Scanner, start: int) -> None:
        if self.time != 0:
            raise scanner.error("a name has two time indices", start, scanner.at)
        self.subs.append("t")
        self.time = None

    @staticmethod
    def _word(word: str, scanner: Scanner, start: int) -> str:
        word = re.sub(r"\\(?:mathrm|text|mathbf|mathit|textrm|operatorname)\{([^{}]*)\}", r"\1", word)
        word = re.sub(r"\\(?:tilde|hat|bar)\{?(\w)\}?", r"\1", word).replace("\\", "")
        word = plain(word)
        if not re.fullmatch(r"\w+", word):
            raise scanner.error(f"the subscript {word!r} is no name", start, scanner.at)
        return word
