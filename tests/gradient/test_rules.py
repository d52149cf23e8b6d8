"""Gradients by rules against torch's autograd of the reference, and against finite differences in float64."""

import pytest
import torch
from hypothesis import given, settings

import gatewright as gw
from cases import case_for, generator, random_leaves
from gatewright.backends.reference import FUNCTIONS, evaluate
from gatewright.gradient import RULES, reverse
from gatewright.graph import Graph, parse
from gatewright.graph.expand import EXPANSIONS
from gatewright.graph.node import Param, node, topological
from gatewright.graph.ops import OPS
from random_graphs import recipes
from tolerances import assert_close

BATCH = 3


def cotangents(graph: Graph, case, seeds):
    sizes = case.solve(graph)
    g = generator(9)
    widths = {s.name: sizes.of_state(s.name) for s in graph.states} | {"output": sizes.of(graph.output)}
    return {n: torch.randn(BATCH, widths[name], generator=g, dtype=torch.float64) for name, n in seeds.items()}


def loss_of(graph: Graph, leaves, incoming, seeds) -> torch.Tensor:
    """Σ of what leaves the step times what comes in: its derivatives are the adjoints."""
    output, *news = evaluate(list(graph.results), leaves)
    total = (output.expand_as(incoming[seeds["output"]]) * incoming[seeds["output"]]).sum()
    for state, new in zip(graph.states, news, strict=True):
        cotangent = incoming[seeds[state.name]]
        total = total + (new.expand_as(cotangent) * cotangent).sum()
    return total


def check_gradient(graph: Graph, seed: int = 0) -> None:
    """Every adjoint of a step by rules equals torch's."""
    case = case_for(graph)
    leaves = {n: v.requires_grad_() for n, v in random_leaves(graph, case, BATCH, generator(seed)).items()}
    gradient = reverse(graph)
    incoming = cotangents(graph, case, gradient.seeds)
    asked = list(leaves)
    expected = torch.autograd.grad(
        loss_of(graph, leaves, incoming, gradient.seeds), [leaves[n] for n in asked], materialize_grads=True
    )
    by_leaf = {s.old: gradient.states[s.name] for s in graph.states}
    by_leaf |= {node("input", attr=x): d for x, d in gradient.inputs.items()}
    by_leaf |= {node("previous", node("input", attr=x), attr=k): d for (x, k), d in gradient.previous.items()}
    by_leaf |= {n: gradient.params[n.attr.name] for n in asked if n.op == "param"}
    constants = {n: v.detach() for n, v in leaves.items()} | incoming
    found = evaluate([by_leaf[n] for n in asked], constants)
    for n, mine, theirs in zip(asked, found, expected, strict=True):
        assert_close(mine.expand_as(theirs), theirs, 1e-10, f"adjoint of {n}")


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_by_autograd(name):
    check_gradient(gw.cells[name].graph)
    check_gradient(gw.cells[name].graph.simplified())


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_by_finite_differences(name):
    """The directional derivative of the loss along a random direction, by central differences."""
    graph = gw.cells[name].graph
    case = case_for(graph)
    gradient = reverse(graph)
    incoming = cotangents(graph, case, gradient.seeds)
    leaves = random_leaves(graph, case, BATCH, generator(1))
    if any(n.op == "stop_gradient" for n in topological(graph.roots)):
        pytest.skip("a stopped gradient is not the derivative")
    direction = random_leaves(graph, case, BATCH, generator(2))
    eps = 1e-6
    ahead = loss_of(graph, {n: v + eps * direction[n] for n, v in leaves.items()}, incoming, gradient.seeds)
    behind = loss_of(graph, {n: v - eps * direction[n] for n, v in leaves.items()}, incoming, gradient.seeds)
    by_leaf = {s.old: gradient.states[s.name] for s in graph.states}
    by_leaf |= {node("input", attr=x): d for x, d in gradient.inputs.items()}
    by_leaf |= {node("previous", node("input", attr=x), attr=k): d for (x, k), d in gradient.previous.items()}
    by_leaf |= {n: gradient.params[n.attr.name] for n in leaves if n.op == "param"}
    adjoints = evaluate([by_leaf[n] for n in leaves], leaves | incoming)
    slope = sum((d.expand_as(v) * direction[n]).sum() for (n, v), d in zip(leaves.items(), adjoints, strict=True))
    measured = (ahead - behind) / (2 * eps)
    assert abs(slope - measured) <= 2e-7 * max(1.0, abs(measured)), (slope, measured)


ONE_OP = {
    "add": "x_t + h_{t-1}",
    "sub": "x_t - h_{t-1}",
    "mul": "x_t ⊙ h_{t-1}",
    "div": "x_t / (2 + tanh(h_{t-1}))",
    "pow": "(x_t^2 + 1)^(h_{t-1})",
    "maximum": "max(x_t, h_{t-1})",
    "minimum": "min(x_t, h_{t-1})",
    "neg": "x_t + (-h_{t-1})",
    "sigmoid": "x_t + σ(h_{t-1})",
    "tanh": "x_t + tanh(h_{t-1})",
    "relu": "x_t + relu(h_{t-1})",
    "exp": "x_t + exp(h_{t-1})",
    "log": "x_t + log(h_{t-1}^2 + 1)",
    "softplus": "x_t + softplus(h_{t-1})",
    "abs": "x_t + |h_{t-1}|",
    "sqrt": "x_t + sqrt(h_{t-1}^2 + 1)",
    "where": "where(x_t > h_{t-1}, x_t ⊙ h_{t-1}, h_{t-1})",
    "stop_gradient": "x_t + stop_gradient(h_{t-1}) ⊙ h_{t-1}",
    "sum": "x_t ⊙ sum(h_{t-1})",
    "mean": "x_t ⊙ mean(h_{t-1})",
    "max": "x_t ⊙ max(h_{t-1})",
    "repeat": "x_t + repeat(tanh(W_a x_t), 2) + h_{t-1}\nwidth S: W_a",
    "layer_norm": "LN(x_t) + LN_2(x_t, h_{t-1}) + LN_1(x_t, h_{t-1}, eps=0.1)",
    "linear": "x_t + U_h h_{t-1} + W_h x_t + b_h",
    "previous": "x_t ⊙ x_{t-2} + h_{t-1}",
    **{
        op: f"where(x_t {sign} h_{{t-1}}, x_t ⊙ h_{{t-1}}, h_{{t-1}})"
        for op, sign in {"lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠"}.items()
    },
}


@pytest.mark.parametrize("op", ONE_OP)
def test_every_op(op):
    graph = parse(f"h_t = {ONE_OP[op]}").graph
    assert op in {n.op for n in topological(graph.roots)}
    check_gradient(graph)


@pytest.mark.parametrize("op", ["units", "block_sum", "spread", "linear_t"])
def test_ops_of_gradients_can_be_differentiated_too(op):
    """The reverse sweep gives graphs of these; their own rules are checked on nodes."""
    g = generator(3)
    a, b = node("state", attr="a"), node("state", attr="b")
    weight = node("param", attr=Param("U", "U_h", None))
    written = {
        "units": node("mul", a, node("units", a)),
        "block_sum": node("block_sum", a, attr=2),
        "spread": node("spread", node("sum", a), b),
        "linear_t": node("linear_t", weight, a),
    }[op]
    leaves = {n: torch.randn(BATCH, 4, generator=g, dtype=torch.float64).requires_grad_() for n in (a, b)}
    leaves[weight] = torch.randn(4, 6, generator=g, dtype=torch.float64).requires_grad_()
    (value,) = evaluate([written], leaves)
    incoming = torch.randn(value.shape, generator=g, dtype=torch.float64)
    (expected,) = torch.autograd.grad((value * incoming).sum(), [leaves[a]])
    seed = node("adjoint", attr="seed")
    found: dict = {written: seed}
    for n in reversed(topological([written])):
        for argument, adjoint in zip(n.args, RULES[n.op](n, found[n]) if n in found and n.args else (), strict=False):
            if adjoint is not None:
                found[argument] = node("add", found[argument], adjoint) if argument in found else adjoint
    (mine,) = evaluate([found[a]], {n: v.detach() for n, v in leaves.items()} | {seed: incoming})
    assert_close(mine.expand_as(expected), expected, 1e-12)


@pytest.mark.parametrize(
    ("text", "h"),
    [
        ("relu(h_{t-1}) + x_t", 0.0),
        ("|h_{t-1}| + x_t", 0.0),
        ("max(h_{t-1}, 1) + x_t", 1.0),
        ("min(h_{t-1}, 1) + x_t", 1.0),
        ("max(h_{t-1}) + x_t", 1.0),
        ("h_{t-1}^0 + x_t", 0.0),
        ("h_{t-1}^1 + x_t", 0.0),
        ("(h_{t-1} + 0)^(x_t) + x_t", 0.0),
    ],
)
def test_kinks_are_torchs(text, h):
    graph = parse(f"h_t = {text}").graph
    gradient = reverse(graph)
    x, old = node("input", attr="x"), graph.states[0].old
    leaves = {x: torch.full((2, 3), 2.0, dtype=torch.float64), old: torch.full((2, 3), h, dtype=torch.float64)}
    seeds = {n: torch.ones(2, 3, dtype=torch.float64) for n in gradient.seeds.values()}
    tracked = {n: v.clone().requires_grad_() for n, v in leaves.items()}
    (value,) = evaluate([graph.output], tracked)
    expected = torch.autograd.grad((2 * value).sum(), list(tracked.values()), materialize_grads=True)
    found = evaluate([gradient.inputs["x"], gradient.states["h"]], leaves | seeds)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.expand_as(theirs), theirs)


@settings(max_examples=500)
@given(recipes())
@pytest.mark.slow
def test_random_graphs_differentiated_by_rules_and_by_torch(recipe):
    check_gradient(recipe.graph())


@pytest.mark.parametrize("heads", [1, 2])
def test_heads(heads):
    """A block-diagonal product and its adjoint, for one and for several blocks."""
    graph = gw.cells.rnn.graph
    gradient = reverse(graph)
    g = generator(4)
    shapes = {"W_h": (6, 3), "U_h": (6, 6 // heads), "b_h": (6,)}
    leaves = {p: torch.randn(shapes[p.attr.name], generator=g, dtype=torch.float64) for p in graph.params}
    leaves[node("input", attr="x")] = torch.randn(BATCH, 3, generator=g, dtype=torch.float64)
    leaves[graph.states[0].old] = old = torch.randn(BATCH, 6, generator=g, dtype=torch.float64)
    dense = torch.block_diag(
        *next(v for n, v in leaves.items() if n.op == "param" and n.attr.name == "U_h").split(6 // heads)
    )
    seeds = {n: torch.randn(BATCH, 6, generator=g, dtype=torch.float64) for n in gradient.seeds.values()}
    blocks = evaluate([graph.output, gradient.states["h"]], leaves | seeds, heads=heads)
    whole = {n: dense if n.op == "param" and n.attr.name == "U_h" else v for n, v in leaves.items()}
    for mine, theirs in zip(blocks, evaluate([graph.output, gradient.states["h"]], whole | seeds), strict=True):
        assert_close(mine, theirs, 1e-12)
    u = gradient.params["U_h"]
    (mine,) = evaluate([u], leaves | seeds, heads=heads)
    (theirs,) = evaluate([u], whole | seeds)
    size = 6 // heads
    kept = torch.cat([theirs[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(heads)])
    assert_close(mine, kept, 1e-12)
    assert old.shape == (BATCH, 6)


def test_no_op_lacks_a_row():
    """Adding an op means a row in each table; this names the missing ones."""
    leaves = {name for name, row in OPS.items() if row.kind == "leaf"}
    ends = {"outer", "total"}
    assert set(RULES) == set(OPS) - leaves - ends
    inside = {"linear", "linear_t", "outer", "repeat", "block_sum"}
    assert set(EXPANSIONS) == {name for name, row in OPS.items() if row.kind == "composite"}
    assert set(FUNCTIONS) | inside | set(EXPANSIONS) == set(OPS) - leaves
    assert set(ONE_OP) | {
        "const",
        "input",
        "state",
        "param",
        "adjoint",
        "chance",
        "units",
        "block_sum",
        "spread",
        "linear_t",
    } | ends == set(OPS)


def test_the_gradient_can_be_read():
    shown = reverse(gw.cells.lstm.graph).show()
    assert "d_f_t = d_c_t ⊙ c_{t-1}" in shown
    assert "d_b_i = total(d_i_pre_t)" in shown
