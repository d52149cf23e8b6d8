"""Colours, light and dark. Those of the pieces are told apart by every kind of colour blindness, and by shape too."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Palette:
    """The colours of one theme."""

    paper: str
    panel: str
    edge: str  # of the panel
    ink: str  # text
    quiet: str  # marks, legends
    line: str
    belt: str
    peephole: str
    layer: str
    layer_edge: str
    point: str
    point_edge: str
    end: str
    end_edge: str


LIGHT = Palette(
    paper="#ffffff", panel="#f2f6f3", edge="#a9bdb0", ink="#1b1f24", quiet="#5b6470", line="#3a424c", belt="#1b1f24",
    peephole="#0072b2", layer="#fde49a", layer_edge="#b58900", point="#f7cfdd", point_edge="#b0527a", end="#cfe3f5",
    end_edge="#4a7fae",
)  # fmt: skip
DARK = Palette(
    paper="#15181c", panel="#1e242a", edge="#46525c", ink="#eef1f4", quiet="#a4aeb9", line="#c3cbd4", belt="#ffffff",
    peephole="#6cb8ee", layer="#6b5612", layer_edge="#e3b93c", point="#6d2f4b", point_edge="#e79abb", end="#1f4365",
    end_edge="#7fb4e2",
)  # fmt: skip
THEMES = ("light", "dark", "auto")

_RULES = """
text{font-family:'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif;fill:%ink}
.name{font-size:14px}
.math{font-family:'Cambria Math','STIX Two Text','Times New Roman',serif;font-style:italic;font-size:17px}
.glyph{font-size:15px}.pill{font-size:13px}.sub{font-size:10.5px}.math .sub{font-size:11.5px}
.value{font-size:10.5px;font-weight:600}.mark{font-size:13px;fill:%quiet}.heading{font-size:15px;font-weight:600}
.mid{text-anchor:middle}.note{font-size:11px;fill:%quiet}
.paper{fill:%paper}.frame{fill:%panel;stroke:%edge;stroke-width:1.5}
.line{fill:none;stroke:%line;stroke-width:1.7;stroke-linejoin:round}.halo{fill:none;stroke:%panel;stroke-width:6}
.belt .line{stroke:%belt;stroke-width:3}.line.peephole{stroke:%peephole;stroke-dasharray:5 3.5}
.arrow,.fork{fill:%line;stroke:none}.belt .arrow{fill:%belt}.of-peephole{fill:%peephole}
.shape{stroke-width:1.4}.layer .shape{fill:%layer;stroke:%layer-edge}
.point .shape,.number .shape{fill:%point;stroke:%point-edge}
.merge .shape{fill:%line}.end .shape{fill:%end;stroke:%end-edge}
"""


def style_sheet(theme: str) -> str:
    """The rules of a theme; every colour can be set from outside as a CSS variable, `--gw-ink` and so on."""
    if theme != "auto":
        return _rules(theme, DARK if theme == "dark" else LIGHT)
    return _rules(theme, LIGHT) + f"@media (prefers-color-scheme:dark){{{_rules(theme, DARK)}}}"


def _rules(theme: str, palette: Palette) -> str:
    text = _RULES
    colours = {field.name.replace("_", "-"): getattr(palette, field.name) for field in fields(palette)}
    for name in sorted(colours, key=len, reverse=True):
        text = text.replace(f"%{name}", f"var(--gw-{name},{colours[name]})")
    rules = text.replace("\n", "").split("}")
    return "".join(f"{_scoped(rule, theme)}}}" for rule in rules if rule)


def _scoped(rule: str, theme: str) -> str:
    selectors, _, body = rule.partition("{")
    return ",".join(f".gw-{theme} {selector}" for selector in selectors.split(",")) + "{" + body
