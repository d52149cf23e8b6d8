# ruff: noqa: RET504 - an equation is an assignment
"""Cells that no paper has: they look at other units, at one value for all, at weights, and at themselves."""

import pytest
from trials import Trial

import gatewright as gw
from cases import case_for
from gatewright import affine, bias, linear, repeat, sigmoid, tanh


@gw.cell
def output_repeated(x, h):
    h = tanh(affine(x, h, width="S"))
    y = repeat(h, 2)
    return y, (h,)


@gw.cell
def weights_repeated(x, h):
    h = tanh(affine(x, h) + repeat(bias(width="S", name="b"), 2))
    return h


@gw.cell
def input_repeated(x, h):
    h = tanh(repeat(x, 2) + linear(h))
    return h


@gw.cell
def old_state_repeated(x, h, k):
    h = tanh(affine(x, repeat(k, 2) * h))
    k = sigmoid(affine(x, h, width="K"))
    return h, k


@gw.cell
def repeated_into_a_product(x, h, k):
    k = sigmoid(affine(x, k, width="K"))
    h = tanh(affine(x, repeat(k, 2) * h))
    return h, k


@gw.cell
def sum_repeated(x, h):
    h = tanh(affine(x, h))
    y = repeat(gw.sum(h) * affine(x, width="S", name="k"), 2)
    return y, (h,)


@gw.cell
def centred_before_a_product(x, h):
    m = h - gw.mean(h)
    h = tanh(affine(x, m))
    return h


@gw.cell
def normed_before_a_product(x, h):
    h = tanh(affine(x, gw.layer_norm(h, name="n")))
    return h


@gw.cell
def sum_before_a_product(x, h):
    s = gw.sum(h)
    h = tanh(affine(x, h) + linear(s, name="s2"))
    return h


@gw.cell
def divided_before_a_product(x, h, c):
    n = tanh(affine(x, h / (1 + gw.abs(c)), name="n"))
    return n, h * c


@gw.cell
def two_states_in_one_product(x, h, c):
    n = tanh(affine(x, h + c))
    return n, -n


@gw.cell
def product_in_two_places(x, h):
    a = linear(h, name="a")
    h = tanh(a + affine(x, name="b")) * a
    return h


@gw.cell
def softmax(x, h):
    a = affine(x, h)
    e = gw.exp(a - gw.max(a))
    h = e / gw.sum(e)
    return h


@gw.cell
def one_value_as_state(x, h, s):
    s = gw.mean(h) + 0.5 * s
    h = tanh(affine(x, h) * s)
    return h, s


@gw.cell
def one_value_as_output(x, h):
    h = tanh(affine(x, h))
    y = gw.sum(h)
    return y, (h,)


@gw.cell(initial={"m": 1.0})
def largest_mean(x, h, m):
    h = tanh(affine(x, h)) - gw.mean(h)
    m = gw.maximum(gw.mean(m), h)
    return h, m


@gw.cell
def condition_on_one_value(x, h):
    a = affine(x, h)
    h = gw.where(gw.sum(a) > gw.mean(h), tanh(a), 0.5 * a) + gw.sum(gw.where(a > 0, a, -0.5 * a)) * 0.1
    return tanh(h, name="n")


@gw.cell
def chain_of_products(x, h):
    a = tanh(affine(x, h, name="a"))
    b = tanh(linear(a, name="b"))
    c = tanh(linear(b, name="c"))
    h = tanh(linear(c, name="d") + linear(a, name="e") + h)
    return h


@gw.cell
def vector_twice_in_a_sum(x, h):
    h = tanh(linear(h, name="a") + linear(h, name="b") + affine(x, name="q"))
    return h


@gw.cell
def inputs_in_the_step(x, h):
    z = sigmoid(affine(x * x, name="z"))
    h = z * h + (1 - z) * tanh(affine(z * x, h, name="h"))
    return h


@gw.cell
def constant_state(x, h, c):
    c = gw.constant(1.0) + 0.0 * c
    h = tanh(affine(x, h)) * c
    return h, c


@gw.cell
def states_swapped(x, h, c):
    n = tanh(affine(x, h, name="n"))
    return n + c, h


@gw.cell
def identities(x, h):
    m = (0 - h) - 0.0 - -h / 1
    h = tanh(affine(x, m + 1 * h)) + -1 * -h
    return h


@gw.cell
def two_levels(x, h):
    r = repeat(linear(x, h, width="S", name="r"), 2)
    q = gw.sum(tanh(linear(r * h, name="q")))
    h = tanh(affine(x, r * q, name="h"))
    return h


CELLS = {name: thing for name, thing in list(globals().items()) if isinstance(thing, gw.Cell)}


@pytest.mark.parametrize("name", CELLS)
def test_awkward(name):
    graph = CELLS[name].graph
    for seed in range(8):
        options = {"reset": bool(seed & 1), "lengths": bool(seed & 2), "every": bool(seed & 4)}
        Trial(graph, case_for(graph, hidden_size=1 + seed), steps=3, batch=3, seed=seed, **options).compare()
