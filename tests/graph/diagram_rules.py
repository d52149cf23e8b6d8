"""What must hold of every diagram, as functions that give the faults they find."""

from itertools import combinations, pairwise

from gatewright.graph.diagram.geometry import Layout, Rectangle
from gatewright.graph.diagram.labels import glyph_room, texts

WIDE = 0.9
"""Half the width of a line."""


def strokes(layout: Layout):
    """(source, user, rectangle) of every straight part of a line."""
    for line in layout.lines:
        for (x0, y0), (x1, y1) in line.pieces():
            yield line, Rectangle(min(x0, x1) - WIDE, min(y0, y1) - WIDE, max(x0, x1) + WIDE, max(y0, y1) + WIDE)


def boxes_that_touch(layout: Layout) -> list:
    outlines = [layout.outline(n) for n in range(len(layout.centres))]
    return [(a, b) for a, b in combinations(range(len(outlines)), 2) if outlines[a].touches(outlines[b], 3.0)]


def lines_through_boxes(layout: Layout) -> list:
    """A line may touch the outlines of its own two ends, and only there where it ends."""
    found = []
    for line, stroke in strokes(layout):
        for number in range(len(layout.centres)):
            box = layout.outline(number)
            inner = Rectangle(box.left + 1.5, box.top + 1.5, box.right - 1.5, box.bottom - 1.5)
            if stroke.touches(inner):
                found.append((line.source, line.user, number))
    return found


def lines_upon_lines(layout: Layout) -> list:
    """Parts of the lines of two values that run upon each other."""
    found = []
    for (a, p), (b, q) in combinations(list(strokes(layout)), 2):
        if a.source != b.source and _level(p) == _level(q) and p.touches(q, 4.0):
            found.append((a.source, b.source, p, q))
    return found


def _level(stroke: Rectangle) -> bool:
    return stroke.right - stroke.left > stroke.bottom - stroke.top


def texts_that_touch(layout: Layout) -> list:
    """Texts upon boxes, lines or other texts, and text that is wider than its box."""
    found = []
    rooms = texts(layout)
    for (a, p), (b, q) in combinations(rooms, 2):
        if p.touches(q):
            found.append(("text", a, b))
    for a, p in rooms:
        found += [("box", a, n) for n in range(len(layout.centres)) if p.touches(layout.outline(n))]
        found += [("line", a, line.source, line.user) for line, stroke in strokes(layout) if p.touches(stroke)]
        if p.left < 0 or p.top < 0 or p.right > layout.width or p.bottom > layout.height:
            found.append(("edge", a))
    for number, piece in enumerate(layout.sketch.pieces):
        if glyph_room(piece) > 2 * layout.shapes[number].half_width and piece.kind not in ("old", "new"):
            found.append(("wide", number))
    return found


def lines_outside(layout: Layout) -> list:
    return [
        (line.source, line.user)
        for line in layout.lines
        for x, y in line.points
        if not (0 <= x <= layout.width and 0 <= y <= layout.height)
    ]


def slanted(layout: Layout) -> list:
    return [line for line in layout.lines for a, b in line.pieces() if a[0] != b[0] and a[1] != b[1]]


def ends_missed(layout: Layout) -> list:
    """Feeds without a line, and lines that do not begin at their source or end at their user."""
    drawn = sorted((line.source, line.user, line.feed.how) for line in layout.lines)
    wanted = sorted((f.source, user, f.how) for user, p in enumerate(layout.sketch.pieces) for f in p.feeds)
    found = [] if drawn == wanted else [("feeds", drawn, wanted)]
    for line in layout.lines:
        if not _on(layout.outline(line.user), line.points[-1]):
            found.append(("end", line.source, line.user))
        if not line.forked and not _on(layout.outline(line.source), line.points[0]):
            found.append(("start", line.source, line.user))
    return found


def belts_bent(layout: Layout) -> list:
    pairs = {pair for belt in layout.sketch.belts for pair in pairwise(belt)}
    return [n for n in layout.lines if (n.source, n.user) in pairs and not n.forked and len(n.points) != 2]


def _on(box: Rectangle, point) -> bool:
    x, y = point
    inside = box.left - 0.1 <= x <= box.right + 0.1 and box.top - 0.1 <= y <= box.bottom + 0.1
    return inside and min(abs(x - box.left), abs(x - box.right), abs(y - box.top), abs(y - box.bottom)) < 0.1


RULES = (
    boxes_that_touch,
    lines_through_boxes,
    lines_upon_lines,
    texts_that_touch,
    lines_outside,
    slanted,
    ends_missed,
    belts_bent,
)


def faults(layout: Layout) -> dict[str, list]:
    """Every rule that a diagram breaks, with where."""
    return {rule.__name__: found for rule in RULES if (found := rule(layout))}
