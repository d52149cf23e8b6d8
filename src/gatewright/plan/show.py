"""A plan as text that a person can read: memory, products and equations, stage by stage.

    stage 0
      value[H, 0…3] += U_o, U_f, U_i, U_g · state[h]
      over H
        output = sigmoid(value[H, 0] + b_o) * tanh(%1)

Within a loop over units `%1` is what several of its equations share; stores come after all loads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from ..graph.node import Node, const, topological
from ..graph.notation.printer import Printer
from ..graph.ops import OPS
from ..graph.widths import Width
from .backward import Backward, Transposed
from .forward import Forward, Product
from .places import Place, is_leaf
from .plan import Plan
from .stages import Stage, Work

NUMBERED = frozenset("input vector value adjoint product carry reduce reduced chance operand input_adjoint".split())
"""The kinds of places that have an index; all others have a name at most."""


def show(plan: Plan) -> str:
    """The whole plan, one line for everything that is computed."""
    parts = [*_memory(plan), "forward", *_indented(_forward(plan.forward))]
    if plan.backward:
        parts += ["backward", *_indented(_backward(plan.backward))]
    return "\n".join(parts)


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


# -- memory ----------------------------------------------------------------------------------------------------


def _memory(plan: Plan) -> Iterator[str]:
    for i, ((name, back), width) in enumerate(zip(plan.inputs, plan.input_widths, strict=True)):
        yield f"input[{i}] {name}{f', {back} steps earlier' if back else ''} ({width})"
    for s in plan.states:
        start = f", from {_start(s.initial)}" if s.initial != const(0.0) else ""
        yield f"state[{s.name}] ({s.width}){', in rows' if s.rows else ''}{start}"
    for v in plan.vectors:
        yield f"vector[{v.name}] ({v.width}){', entering' if v.entering else ''}"
    for i, chance in enumerate(plan.chances):
        often = "step" if chance.per_step else "call"
        yield f"chance[{i}] ({chance.width}) of {chance.probability.attr:g}, number {chance.number}, once a {often}"


def _start(initial: Node) -> str:
    return f"{initial.attr:g}" if initial.op == "const" else initial.attr.name


def _panels(panels: dict[Width, int]) -> str:
    return "panels " + (", ".join(f"{width}: {count}" for width, count in panels.items()) or "none")


# -- forward and backward --------------------------------------------------------------------------------------


def _forward(forward: Forward) -> Iterator[str]:
    yield _panels(forward.panels)
    yield from _section("enter", (), forward.enter)
    yield from _section("hoisted", map(_product, forward.hoisted), ())
    for width, position in forward.zeroed:
        yield f"{place_text(Place('value', str(width), position))} = 0"
    for k, (products, stage) in enumerate(zip_longest(forward.products, forward.stages)):
        yield from _section(f"stage {k}", map(_product, products), stage)


def _backward(back: Backward) -> Iterator[str]:
    yield _panels(back.panels)
    yield f"carries {', '.join(map(str, back.carries)) or 'none'}"
    yield "starts " + ", ".join(f"{place_text(place)} = final[{name}]" for name, place in back.starts.items())
    yield from _section("rotated", (_transposed(p, later=True) for p in back.rotated), ())
    for k, (products, stage) in enumerate(zip_longest(back.products, back.stages)):
        yield from _section(f"stage {k}", map(_transposed, products), stage)
    yield from _section("epilogue", (), back.epilogue)


def _section(title: str, products: Iterable[str], stage: Stage) -> Iterator[str]:
    lines = [*products, *(line for work in stage for line in _work(work))]
    if lines:
        yield title
        yield from _indented(lines)


def _work(work: Work) -> Iterator[str]:
    yield f"over {work.width}"
    expressions = _Expressions([s.value for s in work.sinks])
    lines = [(f"{name} = {expressions.body(n)}", n) for n, name in expressions.called.items()]
    lines += [(f"{place_text(s.place)} = {expressions.expression(s.value)}", s.value) for s in work.sinks]
    named: set[str] = set()
    for line, n in lines:
        names = [name for name in _names(work, n) if name not in named]
        named.update(names)
        yield "  " + (f"{line}  # {', '.join(names)}" if names else line)


def _names(work: Work, root: Node) -> list[str]:
    """The names of what an expression computes; that of a squashing's argument is told by the squashing's."""
    names = [name for n in topological([root]) for m, name in work.names if m is n and not is_leaf(n)]
    told = {f"{name}_pre" for name in names if not name.startswith("∂")}
    return [name for name in names if name not in told]


# -- pieces ----------------------------------------------------------------------------------------------------


def _product(product: Product) -> str:
    run = _run("value", product.width, product.first, product.params)
    return f"{run} {'=' if product.fresh else '+='} {', '.join(product.params)} · {place_text(product.operand)}"


def _transposed(product: Transposed, *, later: bool = False) -> str:
    terms = (
        f"({', '.join(t.params)})ᵀ · {_run('adjoint', t.width, t.first, t.params)}{'(t+1)' if later else ''}"
        for t in product.terms
    )
    return f"product[{product.index}] ({product.width}) = {' + '.join(terms)}"


def _run(kind: str, width: Width, first: int, params: tuple[str, ...]) -> str:
    last = first + len(params) - 1
    return f"{kind}[{width}, {first}]" if last == first else f"{kind}[{width}, {first}…{last}]"


def place_text(place: Place) -> str:
    """A place as plans are written: its kind, and the name and number that tell it from others."""
    inside = [place.name] if place.name else []
    inside += [str(place.index)] if place.kind in NUMBERED else []
    return place.kind + (f"[{', '.join(inside)}]" if inside else "") + ("(t+1)" if place.shift else "")


class _Expressions(Printer):
    """The equations of one loop in infix notation; what is used again has a number."""

    times = "*"

    def __init__(self, roots: list[Node]):
        order = topological(roots)
        uses = Counter(roots) + Counter(a for n in order for a in n.args)
        shared = (n for n in order if uses[n] > 1 and not is_leaf(n) and OPS[n.op].kind != "compare")
        self.called = {n: f"%{i + 1}" for i, n in enumerate(shared)}

    def name(self, name: str, back: int = 0) -> str:  # noqa: ARG002 - time stands in places, not in names
        return name

    def function(self, op: str) -> str:
        return op

    def body(self, n: Node) -> str:
        if n.op == "load":
            return place_text(n.attr)
        if n.op in ("where", "block_sum") and n.args[0].op == "load":
            return self.call(n.op, n.args, *([] if n.attr is None else [str(n.attr)]))
        return super().body(n)
