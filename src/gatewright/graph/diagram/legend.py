"""What the signs of a diagram mean, in a few rows below it."""

from __future__ import annotations

from .geometry import Layout
from .words import width

ROW, SAMPLE, SIZE = 22.0, 34.0, 11.0


def legend(layout: Layout) -> tuple[str, float]:
    """The rows as SVG, for those signs that a diagram has, and their height."""
    entries = _entries(layout)
    x, y, parts = 14.0, layout.height + ROW / 2, []
    for sample, text in entries:
        wide = SAMPLE + 6 + width(text, SIZE) + 14
        if x > 14 and x + wide > layout.width:
            x, y = 14.0, y + ROW
        parts.append(
            f'<g transform="translate({x:.1f} {y:.1f})">{sample}'
            f'<text class="note" x="{SAMPLE + 6:g}" y="4">{text}</text></g>'
        )
        x += wide
    return f'<g class="legend">{"".join(parts)}</g>', y + ROW / 2 + 4 - layout.height


def _entries(layout: Layout) -> list[tuple[str, str]]:
    kinds = {piece.kind for piece in layout.sketch.pieces}
    hows = {line.feed.how for line in layout.lines}
    across = '<path class="line{}" d="M0 0H34"/>'
    rows = [
        ("layer" in kinds, '<g class="layer"><rect class="shape" x="5" y="-8" width="24" height="16" rx="3"/></g>',
         "learned layer"),
        ("point" in kinds, '<g class="point"><circle class="shape" cx="17" cy="0" r="8"/></g>', "unit by unit"),
        ("merge" in kinds, across.format("") + '<g class="merge"><rect class="shape" x="14.5" y="-8" width="5" '
         'height="16" rx="1.5"/></g>', "joined vectors"),
        (bool(layout.forks), across.format("") + '<path class="line" d="M17 0V8"/><circle class="fork" cx="17" cy="0" '
         'r="3.2"/>', "the same value"),
        ("diagonal" in hows, across.format(" peephole"), "weighted unit by unit"),
        (bool(layout.sketch.belts), f'<g class="belt">{across.format("")}</g>', "state that is carried on"),
    ]  # fmt: skip
    return [(sample, text) for there, sample, text in rows if there]
