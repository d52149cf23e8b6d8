"""The page at /: what is served here, and how it is asked."""

from __future__ import annotations

import json
import shlex
from html import escape
from typing import Any

from ..graph.notation.mathml import mathml
from .served import Served

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; --quiet: color-mix(in srgb, currentColor 60%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre, code { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--quiet); border-radius: 6px; }
table { border-collapse: collapse; } td { padding: .15rem 1.5rem .15rem 0; vertical-align: top; }
.scroll { overflow-x: auto; } .quiet { color: var(--quiet); }
"""
ROUTES = (
    ("POST /predict", "one item, or a list of items"),
    ("POST /sessions", "begins a session; its answer has the name"),
    ("POST /sessions/{session}/step", "one step; the state is kept"),
    ("WebSocket /sessions/{session}/stream", "steps as messages"),
    ("DELETE /sessions/{session}", "ends it"),
    ("GET /model", "what this page says, as JSON"),
    ("GET /health", "200 where it is ready, 503 where it is not; also /health/live and /health/ready"),
    ("GET /metrics", "figures for Prometheus"),
)


def page(served: Served, about: dict[str, Any]) -> str:
    """The whole page; it needs nothing outside itself."""
    model = served.model
    name = f"{about['name']}: {about['task']}, {about['cell']}"
    facts = {"task": about["task"], "cell": about["cell"], "parameters": f"{about['parameters']:,}"}
    figures = {f"validation {key}": value for key, value in about["figures"].items() if key in ("loss", "perplexity")}
    routes = [(code, told) for code, told in ROUTES if served.streams or "session" not in code]
    parts = [
        f"<h1>{escape(name)}</h1>",
        _table(facts | figures),
        "<h2>Ask</h2>",
        f"<pre>{escape(curl(served.example))}</pre>",
        '<p class="quiet">Where the server asks for a token, add '
        "<code>-H &quot;authorization: Bearer TOKEN&quot;</code>.</p>",
        _table(dict(routes), code=True),
        "<h2>Cell</h2>",
        f'<div class="scroll">{mathml(model.cell.graph)}</div>',
        f'<div class="scroll">{model.cell.diagram(theme="auto").svg}</div>',
        f"<pre>{escape(about['equations'])}</pre>",
        "<h2>Settings</h2>",
        _table(about["settings"], code=True),
        "<h2>Limits</h2>",
        _table(about["limits"], code=True),
        f'<p class="quiet">Gatewright {about["gatewright"]}</p>',
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(name)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def curl(example: Any) -> str:
    """The request on a command line.

    >>> print(curl({"prompt": "it's"}))
    curl http://127.0.0.1:8000/predict -H 'content-type: application/json' \\
      -d '{"prompt": "it'"'"'s"}'
    """
    body = json.dumps(example, ensure_ascii=False)
    body = body if len(body) <= 2000 else f"{body[:2000]}…"
    return f"curl http://127.0.0.1:8000/predict -H 'content-type: application/json' \\\n  -d {shlex.quote(body)}"


def _table(rows: dict[str, Any], *, code: bool = False) -> str:
    kind = "code" if code else "span"
    cells = [f"<tr><td><{kind}>{escape(str(n))}</{kind}></td><td>{escape(_word(v))}</td></tr>" for n, v in rows.items()]
    return f'<div class="scroll"><table>{"".join(cells)}</table></div>'


def _word(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
