"""A report as HTML: one page with its style inside, light and dark, for screens and phones and paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import singledispatch
from html import escape
from string import Template
from typing import Any

from gatewright.inside.pictures.style import THEMES, Theme
from gatewright.tasks.errors import first_line
from gatewright.tasks.report.axis import words
from gatewright.tasks.report.parts import Alert, Code, Figure, Folded, Markup, Part, Report, Section, Table, Text
from gatewright.tasks.report.svg import scene_svg

__all__ = ["page"]

PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="generator" content="gatewright"><title>$title</title>
<style>$style</style></head>
<body><header><h1>$title</h1>$subtitle$headline$alerts<nav aria-label="Sections">$contents</nav></header>
<main>$sections</main><footer>$footer</footer></body></html>
""")

STYLE = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:1.4rem 1.2rem 3rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;-webkit-text-size-adjust:100%}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.4rem 0 .6rem;padding-top:.5rem;border-top:1px solid var(--grid)}
p{margin:.5rem 0;max-width:48rem;overflow-wrap:anywhere}
.sub,.quiet,figcaption,caption,footer{color:var(--quiet);font-size:.9rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.6rem;margin:1rem 0}
.tiles div{background:var(--card);border-radius:8px;padding:.55rem .75rem;display:flex;flex-direction:column-reverse;
justify-content:flex-end}
.tiles dt{color:var(--quiet);font-size:.8rem}.tiles dd{margin:0;font-size:1.22rem;font-weight:600;
overflow-wrap:anywhere}
.alert{border-left:4px solid var(--c4);background:var(--card);padding:.5rem .8rem;margin:.5rem 0;
border-radius:0 6px 6px 0;
overflow-wrap:anywhere}.alert.note{border-color:var(--c0)}.alert.fine{border-color:var(--c2)}
.alert b{margin-right:.4rem}
nav{margin:1rem 0 0;display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.92rem}a{color:var(--c0)}
.scroll{overflow-x:auto;margin:.6rem 0}.scroll:focus-visible{outline:2px solid var(--c0)}
figure{margin:1rem 0 1.4rem}figcaption{max-width:52rem;margin-top:.3rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
caption{text-align:left;padding:.2rem 0 .4rem;caption-side:top}
th,td{padding:.28rem .9rem .28rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid)}
thead th{color:var(--quiet);font-weight:500;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap}
tr.strong td{font-weight:650}td.bar{min-width:9rem}td.bar i{display:block;height:.72rem;margin-top:.32rem;
border-radius:2px;
background:var(--quiet);opacity:.55}tr.strong td.bar i{background:var(--c0);opacity:1}
td{white-space:pre}td.code{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:.86rem}
td.wide{min-width:13rem;white-space:pre-wrap;overflow-wrap:anywhere}
pre,.tokens{font:13.5px/1.55 ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;background:var(--card);
border-radius:6px;padding:.7rem .9rem;margin:.6rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.sample{max-height:22rem;overflow:auto}.tokens .given{color:var(--quiet)}
.tokens span{border-radius:2px}.q0{background:none}.q1{background:var(--q1)}.q2{background:var(--q2)}
.q3{background:var(--q3)}
.q4{background:var(--q4);color:var(--q4i)}.q5{background:var(--q5);color:var(--q5i)}.q6{background:var(--q6);
color:var(--q6i)}
.tokens .end{opacity:.45}.key{display:flex;flex-wrap:wrap;gap:.15rem;align-items:center;font-size:.85rem;
color:var(--quiet)}
.key span{padding:0 .45rem;border-radius:2px;color:var(--ink)}
.key .q4{color:var(--q4i)}.key .q5{color:var(--q5i)}.key .q6{color:var(--q6i)}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--c0)}
.equations{font-size:1.08rem}.equations math{display:inline math;math-style:normal}.equations mtd{padding:.34em .1em}
.pic{display:block;width:100%;height:auto;
font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}
.pic text{fill:var(--ink);font-size:12px}.pic .h{font-size:13px;font-weight:600}.pic .k{fill:var(--quiet);
font-size:11.5px}
.pic .e{text-anchor:end}.pic .m{text-anchor:middle}.pic image{image-rendering:pixelated}
.pic .g{stroke:var(--grid);stroke-width:1}.pic .a{stroke:var(--quiet);stroke-width:1}
.pic .s{fill:none;stroke-width:1.8;stroke-linejoin:round}.pic .hover{fill:transparent}
.pic .hover:hover{fill:var(--quiet);opacity:.5}
.pic .mark{stroke:var(--ink);stroke-dasharray:5 3}
.s.cq{stroke:var(--quiet)}.f.cq{fill:var(--quiet)}
.only-dark{display:none}
@media(prefers-color-scheme:dark){.only-dark{display:inline}.only-light{display:none}}
@media(max-width:600px){body{padding:1rem .8rem 2rem;font-size:14.5px}h1{font-size:1.35rem}th,td{padding-right:.6rem}
.tiles{grid-template-columns:1fr 1fr}.tiles dd{font-size:1.05rem}}
@media print{nav{display:none}body{max-width:none}figure,table{break-inside:avoid}}
"""
ALERTS = 5
ORANGES = {
    "light": ("#fdeccf", "#fbd5a0", "#f7b667", "#e88b2d", "#c4600b", "#8a3a04"),
    "dark": ("#33261a", "#4d361d", "#70491d", "#9c621c", "#cf851f", "#ffc062"),
}
"""From a small surprise to a large one."""
DARK_INK = {"light": ("#1c1f24", "#ffffff", "#ffffff"), "dark": ("#ffffff", "#15181c", "#15181c")}


def page(report: Report) -> str:
    """The whole page."""
    anchors = _anchors(report.sections)
    return PAGE.substitute(
        title=escape(report.title),
        style=style(),
        subtitle=f'<p class="sub">{escape(report.subtitle)}</p>' if report.subtitle else "",
        headline=_tiles(report.headline),
        alerts=_alerts(report.alerts),
        contents="".join(
            f'<a href="#{a}">{escape(s.title)}</a>' for a, s in zip(anchors, report.sections, strict=True)
        ),
        sections="".join(_section(a, s) for a, s in zip(anchors, report.sections, strict=True)),
        footer=f"<p>{escape(report.footer)}</p>",
    )


def style() -> str:
    """The style sheet: the colours of `gw.inside`'s pictures, as variables."""
    light, dark = _variables(THEMES["light"]), _variables(THEMES["dark"])
    lines = "".join(
        f".s.c{k}{{stroke:var(--c{k})}}.f.c{k}{{fill:var(--c{k})}}" for k in range(len(THEMES["light"].lines))
    )
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{STYLE.strip()}{lines}"


def _variables(theme: Theme) -> str:
    named = {"page": theme.page, "ink": theme.ink, "quiet": theme.quiet, "grid": theme.grid}
    named["card"] = "#f4f6f8" if theme.name == "light" else "#1f242a"
    named |= {f"c{k}": colour for k, colour in enumerate(theme.lines)}
    named |= {f"q{k + 1}": colour for k, colour in enumerate(ORANGES[theme.name])}
    named |= {f"q{k + 4}i": colour for k, colour in enumerate(DARK_INK[theme.name])}
    return "".join(f"--{name}:{colour};" for name, colour in named.items()) + f"color-scheme:{theme.name};"


def _tiles(headline: Sequence[tuple[str, str]]) -> str:
    if not headline:
        return ""
    tiles = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in headline)
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _alerts(alerts: Sequence[Alert]) -> str:
    """The first few; the others behind a line."""
    first, rest = alerts[:ALERTS], alerts[ALERTS:]
    shown = "".join(_html(alert) for alert in first)
    return shown + (_html(Folded(f"{len(rest)} more", rest)) if rest else "")


def _anchors(sections: Sequence[Section]) -> list[str]:
    found: list[str] = []
    for section in sections:
        anchor = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        found.append(anchor if anchor not in found else f"{anchor}-{len(found)}")
    return found


def _section(anchor: str, section: Section) -> str:
    title = escape(section.title)
    return f'<section><h2 id="{anchor}">{title}</h2>{"".join(map(_shown, section.parts))}</section>'


def _shown(part: Part) -> str:
    """A part, or why it cannot be drawn: one part is no reason for a run to end without a report."""
    try:
        return _html(part)
    except Exception as error:
        what = type(part).__name__.lower()
        return _html(Alert(f"this {what} could not be drawn ({type(error).__name__}: {first_line(error)})"))


# -- parts -----------------------------------------------------------------------------------------------------


@singledispatch
def _html(part: Part) -> str:
    raise TypeError(f"part: expected one of gatewright.tasks.report.parts, got {type(part).__name__}")


@_html.register
def _(text: Text) -> str:
    return f"<p{' class=quiet' if text.quiet else ''}>{escape(text.text)}</p>"


@_html.register
def _(alert: Alert) -> str:
    words_ = {"warning": "Warning", "note": "Note", "fine": "Fine"}[alert.kind]
    return f'<div class="alert {alert.kind}" role="note"><b>{words_}</b>{escape(alert.text)}</div>'


@_html.register
def _(code: Code) -> str:
    return f"<pre>{escape(code.text)}</pre>"


@_html.register
def _(markup: Markup) -> str:
    return markup.html


@_html.register
def _(figure: Figure) -> str:
    picture = scene_svg(figure.scene, figure.caption)
    return f"<figure>{scrolling(picture)}<figcaption>{escape(figure.caption)}</figcaption></figure>"


@_html.register
def _(folded: Folded) -> str:
    inside = "".join(map(_html, folded.parts))
    return f"<details><summary>{escape(folded.summary)}</summary>{inside}</details>"


@_html.register
def _(table: Table) -> str:
    columns = [[row[k] for row in table.rows] for k in range(len(table.head))]
    kinds = ["n" if _numeric(c) else "code" if k in table.code else "" for k, c in enumerate(columns)]
    told = [_column(c) for c in columns]
    longest = _longest(table)
    rows = []
    for number, row in enumerate(table.rows):
        cells = [_cell(column[number], kind) for column, kind in zip(told, kinds, strict=True)]
        if table.bars is not None:
            share = row[table.bars] / longest if _is_number(row[table.bars]) else 0
            cells.append(f'<td class="bar"><i style="width:{100 * share:.1f}%"></i></td>')
        rows.append(f"<tr{' class=strong' if number in table.strong else ''}>{''.join(cells)}</tr>")
    named = zip(table.head, kinds, strict=True)
    head = "".join(f'<th scope="col" class="{kind}">{escape(name)}</th>' for name, kind in named)
    head += "<th></th>" if table.bars is not None else ""
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return scrolling(f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def scrolling(html: str) -> str:
    """What is wider than the page scrolls by itself, also by the keyboard."""
    return f'<div class="scroll" tabindex="0">{html}</div>'


def _cell(value: str, kind: str) -> str:
    wide = "wide" if len(value) > 24 else ""
    return f'<td class="{" ".join(filter(None, (kind, wide)))}">{escape(value)}</td>'


def _longest(table: Table) -> float:
    if table.bars is None:
        return 1.0
    return max((float(row[table.bars]) for row in table.rows if _is_number(row[table.bars])), default=1.0) or 1.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numeric(column: Sequence[Any]) -> bool:
    return any(map(_is_number, column)) and all(v is None or _is_number(v) for v in column)


def _column(column: Sequence[Any]) -> list[str]:
    """What stands in the cells; numbers with a point have as many digits behind it as the longest of them."""
    told = [_said(v) for v in column]
    if not _numeric(column) or not any(isinstance(v, float) for v in column) or any("e" in t or "n" in t for t in told):
        return told
    digits = max((len(t.partition(".")[2]) for t in told), default=0)
    return [f"{v:,.{digits}f}" if isinstance(v, float) else t for v, t in zip(column, told, strict=True)]


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return words(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
