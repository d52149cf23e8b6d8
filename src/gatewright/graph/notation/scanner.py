"""Characters into tokens: Unicode, ASCII and LaTeX spellings of one thing become the same token.

A name is a token of its own kind: base, subscripts and time index are read together, so that `h_{t-1}`,
`h_{t−1}`, `hₜ₋₁` and `h^{t-1}` are all the name h one step back.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace

from ..errors import CellError, NotationError
from .letters import ACCENTS, GREEK, identifier, plain

MAX_CHARACTERS = 100_000
MAX_TOKENS = 20_000
MAX_STYLES = 8
"""How many fonts and accents may stand over one name."""


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
    "nonumber", "notag",
}  # fmt: skip
_IGNORED_WITH_GROUP = {"begin", "end", "tag", "label", "hspace"}
_COLUMNS = {"array", "alignat", "alignedat"}
"""The environments whose name is followed by another group."""
_STYLES = {
    "mathbb", "mathrm", "mathbf", "mathit", "mathsf", "mathcal", "boldsymbol", "bm", "text", "textrm", "textbf",
    "operatorname",
}  # fmt: skip
_FUNCTIONS = {"tanh", "exp", "log", "ln", "max", "min"}
_SUBSCRIPT = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ,", "0123456789+-aehijklmnoprstuvx,", strict=True))
_SUPERSCRIPT = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SMALL = "".join((*_SUBSCRIPT, *_SUPERSCRIPT, "ᵀ")).replace(",", "")
_WORD = re.compile(rf"[^\W\d_{_SMALL}][^\W_{_SMALL}]*|_+[^\W_{_SMALL}]+")
"""A name's letters; Python counts ₜ and ² among them, but they are an index and a power."""
_SUBSCRIPT_WORD = re.compile(rf"[^\W_{_SMALL}]+")
_TIME = re.compile(r"t(?:[-−–](\d{1,9}))?")
_IN_BRACKETS = re.compile(r"[(<⟨](.*)[)>⟩]")
_RAISED = re.compile(r"\^(?:\{([^{}]{1,60})\}|(t)(?!\w)|([<⟨][^<>⟨⟩\n]{1,20}[>⟩]))")
_TRANSPOSED = re.compile(r"\^(?:\{\s*(?:T|\\top|\\intercal|⊤)\s*\}|[T⊤](?!\w)|\\(?:top|intercal)(?![A-Za-z]))|ᵀ")
_FULL_STOP = re.compile(r"\.(?=[\s$]*(?:\n|\\\\|\\end\b|\Z))")
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_LATEX_SPACES = re.compile(r"\\[,;:! ]")
_FONT = re.compile(rf"\\(?:{'|'.join(sorted(_STYLES))})\{{([^{{}}]*)\}}")
_ACCENT = re.compile(rf"\\(?:wide)?({'|'.join(ACCENTS)})(?:\{{([^{{}}\\]*)\}}|\s*([^\W_]))")


class Scanner:
    """Reads one text; `tokens()` gives the list, with a `break` between equations."""

    def __init__(self, text: str):
        if len(text) > MAX_CHARACTERS:
            raise CellError(f"the text has {len(text)} characters: at most {MAX_CHARACTERS} are read")
        self.text = self.whole = text
        self.offset = self.nested = 0
        self.at = 0
        self.depth = 0
        self.found: list[Token] = []

    def error(self, message: str, start: int, end: int | None = None) -> NotationError:
        """An error with the line, the column and a caret."""
        length = 1 if end is None else end - start
        start = min(start + self.offset, len(self.whole))
        line = self.whole.count("\n", 0, start) + 1
        head = self.whole.rfind("\n", 0, start) + 1
        tail = self.whole.find("\n", head)
        source = self.whole[head : tail if tail >= 0 else len(self.whole)]
        width = max(1, min(length, len(source) - (start - head)))
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
        elif c.isspace() or c in "&$~\u200b" or _FULL_STOP.match(self.text, start):
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
        match = _COMMAND.match(self.text, start)
        if match is None:
            self._short_command(start)
            return
        word = match[1]
        if word in _IGNORED:
            self.at = match.end()
        elif word in _IGNORED_WITH_GROUP:
            self.at = match.end()
            if self._group().rstrip("*") in _COLUMNS and word == "begin":
                self._group()
            if word in ("begin", "end"):
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
        """The text of a `{…}` group, or of one character or command without braces."""
        begin, end = self._group_span(0)
        return self.text[begin:end]

    def _group_span(self, nested: int) -> tuple[int, int]:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1
        start = self.at
        if command := _COMMAND.match(self.text, start):  # \tilde\mathbf{c}, W_\mathrm{in}
            self.at = command.end()
            if _over(command[1]) and nested < MAX_STYLES:
                self._group_span(nested + 1)
            return start, self.at
        if self.text[start : start + 1] != "{":
            self.at += 1
            return start, min(self.at, len(self.text))
        depth = 0
        while self.at < len(self.text):
            c = self.text[self.at]
            depth += (c == "{") - (c == "}")
            self.at += 1
            if depth == 0:
                return start + 1, self.at - 1
            if c == "\n":
                break
        raise self.error("this { is never closed", start)

    # -- names -------------------------------------------------------------------------------------

    def _name(self) -> None:
        start = self.at
        base = self._base()
        if base.kind == "number":  # \mathbf{1}
            self.found.append(replace(base, start=start, end=self.at))
            return
        parts = _Subscripts(list(base.subs), base.time)
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
            elif not self._raised(parts, start):
                break
        self._refuse_t_minus_1(parts, start)
        self.found.append(Token("name", base.text, start, self.at, tuple(parts.subs), parts.time))

    def _raised(self, parts: _Subscripts, start: int) -> bool:
        """`h^{t-1}` has a time, and the transpose of `x_t W^T` says nothing more; all else is a power."""
        if transposed := _TRANSPOSED.match(self.text, self.at):
            self.at = transposed.end()
            return True
        raised = _RAISED.match(self.text, self.at)
        if raised is None or _time(raised[1] or raised[2] or raised[3]) is None:
            return False
        self.at = raised.end()
        parts.read(raised[1] or raised[2] or raised[3], self, start)
        return True

    def _refuse_t_minus_1(self, parts: _Subscripts, start: int) -> None:
        """`h_t-1` may mean h_{t-1} or h_t − 1: neither is guessed."""
        if parts.bare_t and re.compile(r"[-−–]\d(?![\d.])").match(self.text, self.at):
            name = self.text[start : self.at]
            raise self.error(
                f"{name}-… : write {name[:-1]}{{t-1}} for the step before, or {name} - 1", start, self.at + 2
            )

    def _base(self) -> Token:
        """What a name begins with: a word, a Greek letter, or a name under a font or an accent."""
        start = self.at
        command = _COMMAND.match(self.text, start)
        if command is None:
            match = _WORD.match(self.text, start)
            assert match is not None
            self.at = match.end()
            while self.at < len(self.text) and self.text[self.at] in ACCENTS.values():
                self.at += 1  # combining marks
            text = plain(self.text[start : self.at])
            if not re.fullmatch(r"[^\W\d]\w*", text):  # ½ is a letter for Python's patterns
                raise self.error(f"{self.text[start : self.at]!r} is no name", start, self.at)
            while self.text[self.at : self.at + 1] in ("'", "′"):
                text, self.at = f"{text}_prime", self.at + 1
            return Token("name", text, start, self.at)
        word, self.at = command[1], command.end()
        if not _over(word):
            return Token("name", {"varepsilon": "epsilon", "varphi": "phi", "ell": "l"}.get(word, word), start, self.at)
        inner = self._under(word, start)
        if word in _STYLES or inner.kind == "number":
            return inner
        return replace(inner, text=f"{inner.name}_{word.removeprefix('wide')}", subs=())

    def _under(self, word: str, start: int) -> Token:
        """The one name or number that a font or an accent stands over."""
        begin, end = self._group_span(0)
        inner = Scanner(self.text[begin:end])
        inner.whole, inner.offset, inner.nested = self.whole, self.offset + begin, self.nested + 1
        if inner.nested > MAX_STYLES:
            raise self.error(f"more than {MAX_STYLES} fonts and accents over one name", start, self.at)
        tokens = [t for t in inner.tokens() if t.kind not in ("break", "end")]
        if len(tokens) != 1 or tokens[0].kind not in ("name", "number"):
            raise self.error(f"\\{word} stands over one name", start, self.at)
        return tokens[0]

    def _subscript(self, parts: _Subscripts, start: int) -> None:
        if self.text[self.at : self.at + 1] in ("{", "\\"):
            parts.read(self._group(), self, start)
            return
        word = _SUBSCRIPT_WORD.match(self.text, self.at)
        if word is None:
            raise self.error("a subscript is missing behind the _", self.at - 1)
        self.at = word.end()
        parts.read(word[0], self, start)
        parts.bare_t = word[0] == "t"


def _over(word: str) -> bool:
    """Whether a command stands over a name: a font, or an accent."""
    return word in _STYLES or word.removeprefix("wide") in ACCENTS


def _time(word: str) -> int | None:
    """How many steps back: 0 for t, 1 for t-1, (t-1), <t-1> or ⟨t-1⟩; None for what is no time."""
    word = "".join(_LATEX_SPACES.sub("", word).split()).replace("\\langle", "⟨").replace("\\rangle", "⟩")
    inside = _IN_BRACKETS.fullmatch(word)
    time = _TIME.fullmatch(inside[1] if inside else word)
    return None if time is None else int(time[1] or 0)


@dataclass
class _Subscripts:
    """What has been read behind a name."""

    subs: list[str] = field(default_factory=list)
    time: int | None = None
    bare_t: bool = False

    def read(self, text: str, scanner: Scanner, start: int) -> None:
        for item in unicodedata.normalize("NFKC", _LATEX_SPACES.sub("", text)).split(","):
            if not item.strip():
                continue
            if self.time is not None:
                self._restore_t(scanner, start)  # x_t_t: the first t is part of the name
            back = _time(item)
            if back is not None:
                self.time = -back
            else:
                self.subs.append(self._word(item, scanner, start))

    def _restore_t(self, scanner: Scanner, start: int) -> None:
        if self.time != 0:
            raise scanner.error("a name has two time indices", start, scanner.at)
        self.subs.append("t")
        self.time = None

    @staticmethod
    def _word(written: str, scanner: Scanner, start: int) -> str:
        word = written
        for _ in range(MAX_STYLES):
            word = _ACCENT.sub(r"\2\3_\1", _FONT.sub(r"\1", word))
        word = _COMMAND.sub(lambda letter: letter[1] if scanner._letter(letter[1]) else letter[0], word)
        word = identifier("".join(word.split()).replace("{", "").replace("}", ""))
        if re.fullmatch(r"t\+\d+", word):
            raise scanner.error("a step sees no later one: t, t-1, t-2 … can be read", start, scanner.at)
        if not re.fullmatch(r"\w+", word):
            raise scanner.error(f"the subscript {written!r} is no name", start, scanner.at)
        return word
