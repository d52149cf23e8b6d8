"""A layout as SVG."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from .geometry import Layout, Line, Point
from .labels import mark_at, name_at, number_at
from .legend import legend
from .pieces import TERMINALS, Piece
from .shapes import ARROW, CORNER
from .style import style_sheet
from .words import Label, is_letter

GAP = 6.0
"""How far a line makes room on both sides for one that passes over it."""
LOW = 4.0
"""How far a subscript stands below the line."""
HEADING = 28.0


@dataclass(frozen=True)
class Shown:
    """What is to be seen of a value: its number, the colours of its piece, of text and of lines, and a note."""

    text: str
    fill: str
    ink: str
    line: str
    note: str


@dataclass
class Picture:
    """One SVG text in the making."""

    layout: Layout
    theme: str
    title: str
    description: str
    equations: dict[str, str]
    key: str
    heading: str | None = None
    legend: bool = False
    values: dict[str, Shown] = field(default_factory=dict)

    def svg(self) -> str:
        made, f = self.layout, self.layout.frame
        top = HEADING if self.heading else 0.0
        rows, below = legend(made) if self.legend else ("", 0.0)
        wide, high = _n(made.width), _n(made.height + top + below)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {_n(-top)} {wide} {high}" width="{wide}" '
            f'height="{high}" role="img" aria-labelledby="{self.key}-t {self.key}-d" '
            f'class="gw-diagram gw-{self.theme}" style="max-width:100%;height:auto">',
            f'<title id="{self.key}-t">{escape(self.title)}</title>',
            f'<desc id="{self.key}-d">{escape(self.description)}</desc>',
            f"<style>{style_sheet(self.theme)}</style>",
            f'<rect class="paper" x="0" y="{_n(-top)}" width="{wide}" height="{high}"/>',
            f'<text class="heading" x="12" y="-8">{escape(self.heading)}</text>' if self.heading else "",
            f'<rect class="frame" x="{_n(f.left)}" y="{_n(f.top)}" width="{_n(f.right - f.left)}" '
            f'height="{_n(f.bottom - f.top)}" rx="14"/>',
        ]
        parts += [self._net(number) for number in self.order]
        parts += [self._piece(number) for number in range(len(made.sketch.pieces))]
        return "\n".join([*filter(None, [*parts, rows]), "</svg>"]) + "\n"

    def _shown(self, piece: Piece) -> Shown | None:
        return next((self.values[name] for name in piece.names if name in self.values), None)

    def _data(self, piece: Piece) -> str:
        if not piece.names:
            return ""
        first, *others = piece.names
        return f" data-name={quoteattr(first)}" + (f" data-also={quoteattr(' '.join(others))}" if others else "")

    # -- lines --------------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> list[int]:
        """Belts are drawn last, so that what crosses them passes behind."""
        on_belt = {n for belt in self.layout.sketch.belts for n in belt[:-1]}
        sources = dict.fromkeys(line.source for line in self.layout.lines)
        return sorted(sources, key=lambda n: (n in on_belt, n))

    def _net(self, number: int) -> str:
        """All lines of one value."""
        piece = self.layout.sketch.pieces[number]
        shown = self._shown(piece)
        stroke = f' style="stroke:{shown.line}"' if shown else ""
        fill = f' style="fill:{shown.line}"' if shown else ""
        forks = frozenset(point for source, point in self.layout.forks if source == number)
        body = "".join(self._line(line, forks, stroke, fill) for line in self.layout.lines if line.source == number)
        for x, y in sorted(forks):
            dashed = " of-peephole" if self._all_dashed(number, (x, y)) else ""
            body += f'<circle class="fork{dashed}" cx="{_n(x)}" cy="{_n(y)}" r="3.2"{fill}/>'
        return f'<g class="net"{self._data(piece)}>{self._bridges(number)}{body}</g>'

    def _line(self, line: Line, forks: frozenset[Point], stroke: str, fill: str) -> str:
        kind = " peephole" if line.feed.how == "diagonal" else ""
        merged = self.layout.sketch.pieces[line.user].kind == "merge"
        path = f'<path class="line{kind}" d="{_path(line, forks, 0.0 if merged else ARROW / 2)}"{stroke}/>'
        if not merged:
            path += _arrow(line, " of-peephole" if kind else "", fill)
        belts = {pair for belt in self.layout.sketch.belts for pair in pairwise(belt)}
        on_belt = (line.source, line.user) in belts and not line.forked
        return f'<g class="belt">{path}</g>' if on_belt else path

    def _bridges(self, number: int) -> str:
        """Gaps in the lines that are drawn already, where this one crosses them."""
        below = set(self.order[: self.order.index(number)])
        said = ""
        for upright, across, (x, y) in self.layout.crossing_points():
            if number == upright and across in below:
                said += f"M{_n(x)} {_n(y - GAP)}v{_n(2 * GAP)}"
            elif number == across and upright in below:
                said += f"M{_n(x - GAP)} {_n(y)}h{_n(2 * GAP)}"
        return f'<path class="halo" d="{said}"/>' if said else ""

    def _all_dashed(self, number: int, fork: Point) -> bool:
        """Whether a fork lies on a line of peepholes alone."""
        through = [line for line in self.layout.lines if line.source == number and _lies_on(fork, line)]
        return all(line.feed.how == "diagonal" for line in through)

    # -- pieces -------------------------------------------------------------------------------------------

    def _piece(self, number: int) -> str:
        piece = self.layout.sketch.pieces[number]
        shown = self._shown(piece)
        told = [self.equations[n] for n in piece.names if n in self.equations]
        told += [self.values[n].note for n in _watched(piece) if n in self.values]
        tip = f"<title>{escape('; '.join(told))}</title>" if told else ""
        kinds = f"end {piece.kind}" if piece.kind in TERMINALS else piece.kind
        kinds += f" op-{piece.op}" if piece.op else ""
        inside = self._outline(number, shown) + self._glyph(number, shown) + self._name(number)
        inside += self._number(number, shown) + self._marks(number)
        return f'<g class="{kinds}"{self._data(piece)}>{tip}{inside}</g>'

    def _outline(self, number: int, shown: Shown | None) -> str:
        piece, s, (x, y) = self.layout.sketch.pieces[number], self.layout.shapes[number], self.layout.centres[number]
        if piece.kind in ("old", "new"):
            return ""
        tint = f' style="fill:{shown.fill}"' if shown else ""
        if s.round:
            return f'<circle class="shape" cx="{_n(x)}" cy="{_n(y)}" r="{_n(s.half_width)}"{tint}/>'
        corner = 4 if piece.kind == "layer" else 1.5 if piece.kind == "merge" else s.half_height
        return (
            f'<rect class="shape" x="{_n(x - s.half_width)}" y="{_n(y - s.half_height)}" '
            f'width="{_n(2 * s.half_width)}" height="{_n(2 * s.half_height)}" rx="{_n(corner)}"{tint}/>'
        )

    def _glyph(self, number: int, shown: Shown | None) -> str:
        piece, s, (x, y) = self.layout.sketch.pieces[number], self.layout.shapes[number], self.layout.centres[number]
        ink = f' style="fill:{shown.ink}"' if shown else ""
        if piece.kind in TERMINALS:
            assert s.label is not None
            return _label(s.label, x, y + 5, " mid", ink if piece.kind in ("input", "output") else "")
        if not piece.text:
            return ""
        lifted = 4 if piece.kind == "layer" and shown else 0
        size = "glyph" if piece.kind == "layer" or s.round else "glyph pill"
        return f'<text class="{size} mid" x="{_n(x)}" y="{_n(y + 5 - lifted)}"{ink}>{escape(piece.text)}</text>'

    def _name(self, number: int) -> str:
        piece, s = self.layout.sketch.pieces[number], self.layout.shapes[number]
        if s.label is None or piece.kind in TERMINALS:
            return ""
        return _label(s.label, *name_at(s, self.layout.centres[number]), "", "")

    def _number(self, number: int, shown: Shown | None) -> str:
        """The place of a value's number; empty while there is none, so that a page can fill it."""
        piece, s = self.layout.sketch.pieces[number], self.layout.shapes[number]
        at = number_at(piece, s, self.layout.centres[number])
        if at is None:
            return ""
        middle = " mid" if piece.kind in ("layer", "old", "new") else ""
        ink = f' style="fill:{shown.ink}"' if shown and piece.kind == "layer" else ""
        text = shown.text if shown else ""
        return f'<text class="value{middle}" x="{_n(at[0])}" y="{_n(at[1])}"{ink}>{text}</text>'

    def _marks(self, number: int) -> str:
        found = ""
        for line in self.layout.lines:
            if line.user == number and line.feed.mark:
                x, y = mark_at(line)
                found += f'<text class="mark mid" x="{_n(x)}" y="{_n(y)}">{escape(line.feed.mark)}</text>'
        return found


def _watched(piece: Piece) -> list[str]:
    return [*piece.names, *(f"{name}_pre" for name in piece.names)]


def _label(text: Label, x: float, y: float, kind: str, style: str) -> str:
    face = "name math" if is_letter(text.base) else "name"
    sub = f'<tspan class="sub" dy="{LOW:g}">{escape(text.sub)}</tspan>' if text.sub else ""
    return f'<text class="{face}{kind}" x="{_n(x)}" y="{_n(y)}"{style}>{escape(text.base)}{sub}</text>'


def _arrow(line: Line, kind: str, style: str) -> str:
    (x0, y0), (x, y) = line.points[-2:]
    dx, dy, wide = (x > x0) - (x < x0), (y > y0) - (y < y0), 3.4
    bx, by = x - ARROW * dx, y - ARROW * dy
    return (
        f'<path class="arrow{kind}" d="M{_n(x)} {_n(y)}L{_n(bx - wide * dy)} {_n(by - wide * dx)}'
        f'L{_n(bx + wide * dy)} {_n(by + wide * dx)}Z"{style}/>'
    )


def _path(line: Line, forks: frozenset[Point], short: float) -> str:
    """A line with rounded corners, but where another leaves it; it ends where its arrow begins."""
    points = line.points
    said = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (x0, y0), (x, y), (x1, y1) in zip(points, points[1:], points[2:], strict=False):
        r = 0.0 if (x, y) in forks else min(CORNER, (abs(x - x0) + abs(y - y0)) / 2, (abs(x1 - x) + abs(y1 - y)) / 2)
        dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
        ex, ey = (x1 > x) - (x1 < x), (y1 > y) - (y1 < y)
        said += f"L{_n(x - r * dx)} {_n(y - r * dy)}"
        said += f"Q{_n(x)} {_n(y)} {_n(x + r * ex)} {_n(y + r * ey)}" if r else ""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    return said + f"L{_n(x - short * dx)} {_n(y - short * dy)}"


def _lies_on(point: Point, line: Line) -> bool:
    x, y = point
    return any(
        min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1) for (x0, y0), (x1, y1) in line.pieces()
    )


def _n(value: float) -> str:
    """A coordinate, to a tenth."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
