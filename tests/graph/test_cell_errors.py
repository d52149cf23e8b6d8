"""What is no cell is refused where it is written, with what to do instead."""

# ruff: noqa: RET504, F841 - an equation is an assignment

from __future__ import annotations

import builtins
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

import gatewright as gw
from gatewright import affine, bias, constant, layer_norm, linear, previous, repeat, sigmoid, tanh, where
from gatewright.graph.check import MAX_NODES

BRANCH = "a branch on a tensor's value: `if`, `and`, `or`, `not`, max\\(\\) and min\\(\\) cannot see it"
NO_PARTS = "a value cannot be taken apart: a cell's equations hold for every unit alike"
NO_NUMBER = "a value has no number yet: the equations are only traced"
STEP = "a step sees this input, its old states and previous\\(x, k\\), unit by unit"
RANDOM = "randomness inside a cell: use the layer's dropout arguments"


def refused(match: str) -> Callable:
    """The function that follows is no cell: a `CellError` says so, in these words."""

    def check(function: Callable) -> None:
        with pytest.raises(gw.CellError, match=match):
            gw.cell(function)

    return check


def of(expression: Callable) -> Callable:
    """A cell of one equation that sees all that it should."""
    return lambda x, h: expression(x, h) + tanh(affine(x, h, name="a"))


# -- operations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (lambda x, h: torch.cumsum(h, 0), f"torch.cumsum is not an operation of a cell: {STEP}"),
        (lambda x, h: torch.softmax(h, -1), f"torch.softmax is not an operation of a cell: {STEP}"),
        (lambda x, h: functional.scaled_dot_product_attention(h, h, x), f"attention is not an operation .*{STEP}"),
        (lambda x, h: torch.cat([x, h]), f"torch.cat is not an operation of a cell: {STEP}"),
        (lambda x, h: torch.stack([x, h]), f"torch.stack is not an operation of a cell: {STEP}"),
        (lambda x, h: np.concatenate([x, h]), f"np.concatenate is not an operation of a cell: {STEP}"),
        (lambda x, h: torch.matmul(x, h), "torch.matmul is not an operation of a cell; it knows abs, affine"),
        (lambda x, h: torch.ones(3, 3) @ h, "torch.matmul is not an operation of a cell"),
        (lambda x, h: np.ones((3, 3)) @ h, "np.matmul is not an operation of a cell"),
        (lambda x, h: x @ h, "a matrix product: write linear\\(v\\) or affine\\(v\\), which own their weights"),
        (lambda x, h: torch.nn.Linear(3, 3)(h), "torch.linear is not an operation of a cell"),
        (lambda x, h: torch.clamp(h, 0, 1), "torch.clamp is not an operation of a cell; .*maximum.*where"),
        (lambda x, h: torch.sum(h, dim=-1), "torch.sum is not an operation of a cell"),
        (lambda x, h: np.sum(h), "np.sum is not an operation of a cell"),
        (lambda x, h: np.add.reduce(h), "np.add.reduce is not an operation of a cell"),
        (lambda x, h: h.foo, "value.foo is not an operation of a cell; it knows"),
        (lambda x, h: h.sigmoid(), "value.sigmoid is not an operation of a cell; it knows"),
        (lambda x, h: h.shape, "value.shape is not an operation of a cell"),
        (lambda x, h: torch.tanh(h, out=x), "torch.tanh\\(…, out\\): a cell knows tanh of 1 values alone"),
        (lambda x, h: h % 2, "% or // is not an operation of a cell"),
        (lambda x, h: h // x, "% or // is not an operation of a cell"),
        (lambda x, h: round(h), "round is not an operation of a cell"),
        (lambda x, h: where((h > 0) & (x > 0), h, x), "conditions are not joined by &, | or ~"),
        (lambda x, h: where(~(h > 0), h, x), "conditions are not joined by &, | or ~"),
        (lambda x, h: torch.rand_like(h), f"torch.rand_like: {RANDOM}"),
        (lambda x, h: functional.dropout(h, 0.5), f"torch.dropout: {RANDOM}"),
        (lambda x, h: torch.bernoulli(h), f"torch.bernoulli: {RANDOM}"),
    ],
)
def test_an_unknown_operation(expression: Callable, message: str):
    refused(message)(of(expression))


def test_torchs_and_numpys_functions_of_values_work():
    ours = gw.cell(lambda x, h: tanh(gw.relu(affine(x, h))) * gw.sqrt(gw.abs(h)), name="same")
    theirs = [
        gw.cell(lambda x, h: torch.tanh(functional.relu(affine(x, h))) * torch.sqrt(torch.abs(h)), name="same"),
        gw.cell(lambda x, h: np.tanh(torch.relu(input=affine(x, h))) * np.sqrt(np.abs(h)), name="same"),
    ]
    assert theirs == [ours, ours]
    chosen = gw.cell(lambda x, h: where(x > h, x, 0.0), name="same")
    assert gw.cell(lambda x, h: torch.where(x > h, x, 0.0), name="same") == chosen
    assert gw.cell(lambda x, h: np.where(np.greater(x, h), x, 0.0), name="same") == chosen


# -- what Python itself would do with a number ---------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (lambda x, h: h if h > 0 else x, BRANCH),
        (lambda x, h: h > 0 and x, BRANCH),
        (lambda x, h: h or x, BRANCH),
        (lambda x, h: not h, BRANCH),
        (lambda x, h: where(0 < h < 1, x, h), BRANCH),
        (lambda x, h: builtins.max(h, x), BRANCH),
        (lambda x, h: builtins.min(h, x), BRANCH),
        (lambda x, h: x if h in [x] else h, BRANCH),
        (lambda x, h: h[0], "a value cannot be indexed: a cell's equations hold for every unit alike"),
        (lambda x, h: h[..., :2], "a value cannot be indexed"),
        (lambda x, h: builtins.sum(h), NO_PARTS),
        (lambda x, h: [*h], NO_PARTS),
        (lambda x, h: 3 in h, NO_PARTS),
        (lambda x, h: len(h), "a value has no len\\(\\): its width is known when a layer is made"),
        (lambda x, h: float(h), NO_NUMBER),
        (lambda x, h: int(h), NO_NUMBER),
        (lambda x, h: complex(h), NO_NUMBER),
        (lambda x, h: math.tanh(h), NO_NUMBER),
        (lambda x, h: [1, 2][h], NO_NUMBER),
    ],
)
def test_what_needs_a_number(expression: Callable, message: str):
    refused(message)(of(expression))


def test_a_branch_says_what_to_write_and_where_it_stands():
    with pytest.raises(gw.CellError, match=re.escape("write where(condition, a, b), maximum(a, b)")) as error:

        @gw.cell
        def branch(x, h):
            a = affine(x, h)
            if a > 0:
                h = a
            return h

    assert re.match(r"test_cell_errors\.py:\d+ \(`if a > 0:`\): ", str(error.value))


@pytest.mark.slow
def test_a_loop_without_an_end():
    with pytest.raises(gw.CellError, match="cell endless makes more than 40000 values"):

        @gw.cell
        def endless(x, h):
            while True:
                h = h + x


# -- what is returned ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, h, c: x + h + c, "returns 1 values for 2 states \\(h, c\\): expected `return h, c, or return y"),
        (lambda x, h: (h, x, h), "returns 3 values for 1 states \\(h\\): expected `return h, or return y, \\(h,\\)"),
        (lambda x, h: (x, (h, h)), "returns 2 values for 1 states \\(h\\)"),
        (lambda x, h: None, "cell cell returns nothing: expected `return h, or return y, \\(h,\\) where the output y"),
        (lambda x, h: "h", "cell cell: the returned state h is a str; expected a value of the cell or a number"),
        (lambda x, h: torch.zeros(3), "the returned state h is a Tensor of shape \\(3,\\)"),
        (lambda x, h: (None, (h,)), "the returned output is a NoneType"),
        (lambda x, h: h > x, "the new h is a condition: write where\\(condition, 1, 0\\)"),
        (lambda x, h: (yield h + x), "the returned state h is a generator"),
    ],
)
def test_wrong_results(function: Callable, message: str):
    refused(message)(function)


def test_nothing_is_returned():
    @refused("cell forgot returns nothing")
    def forgot(x, h):
        h = tanh(affine(x, h))


# -- what is not used ----------------------------------------------------------------------------------


def test_an_input_that_is_not_used():
    refused("the input x is never used: use it, or leave it out")(lambda x, h: tanh(h))


def test_a_state_that_is_not_used():
    refused("the old value of the state h is never used: use it, or leave it out")(lambda x, h: tanh(x))


def test_a_first_state_that_is_not_used_may_be_an_output_alone():
    @refused(r"the old value of the state h is never used: return it as the output alone: `return h, \(c,\)`")
    def output(x, h, c):
        c = affine(x) * c
        h = tanh(c)
        return h, c


def test_a_product_that_is_not_used():
    @refused("W_q is a parameter of the cell, but q is computed and never used: use it, or leave it out")
    def unused(x, h):
        q = affine(x, h)
        h = h + x
        return h


def test_a_bare_bias_that_is_not_used():
    @refused("b_q is a parameter of the cell, but .* never used")
    def unused(x, h):
        q = bias()
        h = h + x
        return h


# -- the arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, *h: x, r"\*h has no fixed inputs and states: name each one"),
        (lambda x, h, **words: x, r"\*words has no fixed inputs and states: name each one"),
        (lambda x, h, k=3: x, r"k has a default: hyper-parameters stand behind a `\*`, as in `def cell\(x, h, \*, k=…"),
        (lambda x: x, r"needs an input and at least one state: `def cell\(x, h\): …`"),
        (lambda: 1, "needs an input and at least one state"),
        (lambda x, h, h_: x, "x, h, h_: each argument needs a name of its own"),
        (lambda _, h: h, "_, h: each argument needs a name of its own"),
        (3, "@gw.cell stands before a function, not a int"),
        (torch.tanh, "@gw.cell stands before a Python function: tanh has no signature"),
    ],
)
def test_wrong_arguments(function, message: str):
    refused(message)(function)


def test_a_hyper_parameter_without_a_value():
    @gw.cell
    def needs(x, h, *, scale):
        h = tanh(scale * affine(x, h))
        return h

    with pytest.raises(gw.CellError, match=r"cell needs needs its hyper-parameter scale: needs.with_\(scale=…\)"):
        str(needs)
    with pytest.raises(gw.CellError, match="needs its hyper-parameter scale"):
        gw.Recurrent(needs, 3, 4)
    assert [p.attr.name for p in needs.with_(scale=2.0).params] == ["W_h", "U_h", "b_h"]


def test_an_unknown_hyper_parameter():
    with pytest.raises(gw.CellError, match="cell rnn has no hyper-parameter 'nonlinarity'; it has: nonlinearity; did"):
        gw.cells.rnn.with_(nonlinarity="relu")
    with pytest.raises(gw.CellError, match="cell lstm has no hyper-parameter 'peepholes'; it has: none"):
        gw.cells.lstm.with_(peepholes="f")


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ({"q": 1.0}, r"initial names 'q', which is no state \(h\)"),
        ({"x": 1.0}, r"initial names 'x', which is no state \(h\)"),
        ({"h": math.nan}, "the initial value of h is NaN: give a number"),
        ({"h": "0"}, "the initial value of h is a str: give a number"),
        ({"h": torch.zeros(3)}, "the initial value of h is a Tensor: give a number"),
    ],
)
def test_a_wrong_initial_value(initial: dict, message: str):
    with pytest.raises(gw.CellError, match=message):
        gw.cell(initial=initial)(lambda x, h: tanh(affine(x, h)))


@pytest.mark.parametrize("name", ["", "a b", "3", "_", "a(", "a-b", 3])
def test_a_wrong_name_of_a_cell(name):
    with pytest.raises(gw.CellError, match="a cell's name is a word such as 'lstm', not"):
        gw.cells.lstm.named(name)


# -- operands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (lambda x, h: h * "3", "an operand of mul is a str; expected a value of the cell or a number"),
        (lambda x, h: h * None, "an operand of mul is a NoneType"),
        (lambda x, h: h * True, "an operand of mul is a bool"),
        (lambda x, h: h * 2j, "an operand of mul is a complex"),
        (lambda x, h: h * torch.ones(3), r"an operand of mul is a Tensor of shape \(3,\).*weights belong to affine"),
        (lambda x, h: np.ones(3) * h, r"an operand of mul is a ndarray of shape \(3,\)"),
        (lambda x, h: affine([x, h]), "an argument of affine is a list"),
        (lambda x, h: constant("3"), "the argument of constant is a str"),
        (lambda x, h: h * math.nan, "an operand of mul is NaN: give a number"),
        (lambda x, h: constant(np.float64("nan")), "the argument of constant is NaN: give a number"),
        (lambda x, h: affine(), r"affine\(\) needs at least one vector"),
        (lambda x, h: linear(), r"linear\(\) needs at least one vector"),
        (lambda x, h: layer_norm(), r"layer_norm\(\) needs at least one vector"),
        (lambda x, h: layer_norm(h, eps=0), r"layer_norm\(eps=0\): expected a number above 0"),
        (lambda x, h: layer_norm(h, eps=math.nan), r"layer_norm\(eps=nan\): expected a number above 0"),
        (lambda x, h: layer_norm(h, eps="small"), r"layer_norm\(eps='small'\): expected a number above 0"),
        (lambda x, h: (h > 0) + x, r"a condition is an operand of add: write where\(condition, a, b\)"),
        (lambda x, h: affine(h > 0), "a condition is an operand of linear"),
        (lambda x, h: layer_norm(h > 0), "a condition is an operand of layer_norm"),
        (lambda x, h: repeat(h > 0, 2), "a condition is an operand of repeat"),
        (lambda x, h: where(1.0, h, x), "where needs a condition first, such as a > 0"),
        (lambda x, h: where(True, h, x), "an operand of where is a bool"),
        (lambda x, h: previous(h), r"previous\(v\) looks back at an input; .* is carried by a state"),
        (lambda x, h: previous(previous(x)), r"previous\(v\) looks back at an input"),
        (lambda x, h: previous(x, 0), r"previous\(x, k=0\): expected a whole number of steps, at least 1"),
        (lambda x, h: previous(x, -1), r"previous\(x, k=-1\): expected a whole number of steps"),
        (lambda x, h: previous(x, 1.5), r"previous\(x, k=1.5\): expected a whole number of steps"),
        (lambda x, h: previous(x, True), r"previous\(x, k=True\): expected a whole number of steps"),
        (lambda x, h: repeat(x, 0), r"repeat\(v, n=0\): expected a whole number, at least 1"),
        (lambda x, h: repeat(x, 2.0), r"repeat\(v, n=2.0\): expected a whole number, at least 1"),
        (lambda x, h: repeat(x, 10**9), r"repeat\(v, 1000000000\): at most 65536 times"),
        (lambda x, h: affine(x, width=0), "width=0: expected a name such as 'P', or a whole number"),
        (lambda x, h: affine(x, width="0"), "width='0': expected a name such as 'P', or a whole number"),
        (lambda x, h: affine(x, width="²"), "width='²': expected a name such as 'P', or a whole number"),
        (lambda x, h: affine(x, width=2.5), "width=2.5: expected a name such as 'P', or a whole number"),
        (lambda x, h: affine(x, width="a b"), "width='a b': expected a name such as 'P', or a whole number"),
    ],
)
def test_wrong_operands(expression: Callable, message: str):
    refused(message)(of(expression))


def test_a_value_of_another_cell():
    kept = []

    @gw.cell
    def first(x, h):
        f = sigmoid(affine(x, h))
        kept.append(f)
        return f

    refused(r"a value of another cell \(or of an earlier call\) stands in this one")(lambda x, h: h + x * kept[0])
    with pytest.raises(gw.CellError, match=r"work inside a function marked with @gw\.cell"):
        kept[0] + 1


@pytest.mark.parametrize("call", [lambda: sigmoid(1.0), lambda: affine(torch.ones(3)), lambda: constant(2)])
def test_an_operation_outside_a_cell(call: Callable):
    with pytest.raises(gw.CellError, match=r"work inside a function marked with @gw\.cell; on tensors use torch's"):
        call()


def test_an_exception_of_the_function_itself_is_its_own_and_leaves_no_trace():
    def broken(x, h):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gw.cell(broken)
    with pytest.raises(gw.CellError, match="work inside a function"):
        sigmoid(1.0)


# -- names ---------------------------------------------------------------------------------------------


def test_a_name_for_two_parameters():
    @refused("the name W_f_x would belong to two parameters")
    def doubled(x, h):
        a = linear(x, name="f")
        b = linear(x, name="f")
        h = h + a * b
        return h


def test_a_name_of_a_value_and_of_a_parameter():
    @refused("W_f is the name of a value and of a parameter: rename the value")
    def shared(x, h):
        W_f = 2 * h
        f = sigmoid(affine(x, W_f))
        return f * h


def test_name_cannot_be_an_inputs_or_anothers():
    refused("name='x' is the name of an input, or of another value")(lambda x, h: tanh(affine(x, h), name="x"))
    refused("name='f' is the name of an input, or of another value")(
        lambda x, h: tanh(x, name="f") + sigmoid(h, name="f")
    )


# -- sizes ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cell_that_is_too_large():
    @refused(f"has .* operations: at most {MAX_NODES} are allowed")
    def large(x, h):
        for k in range(MAX_NODES // 2):
            h = h + x * k
        return h


@pytest.mark.slow
def test_a_cell_of_thousands_of_terms_works():
    @gw.cell
    def long(x, h):
        total = tanh(affine(x, h))
        for k in range(3000):
            total = total + x * k
        h = total
        return h

    assert gw.parse(str(long)) == long


# -- widths: tests/graph/test_widths.py has more -------------------------------------------------------


def test_widths_that_do_not_fit_name_the_equations_between_them():
    @gw.cell
    def residual(x, h):
        a = x + 1
        n = a * tanh(affine(h))
        h = h + n
        return h

    with pytest.raises(gw.CellError, match="widths don't fit: I = 3 is not H = 4") as error:
        gw.Recurrent(residual, 3, 4)
    assert "in n_t = a_t ⊙ tanh(" in str(error.value)
    assert "in a_t = x_t + 1" not in str(error.value)  # a number fits any width


def test_a_product_of_a_number_is_a_bias():
    with pytest.raises(gw.CellError, match=r"V meets no input and no state: what it would learn is a bias, bias\(\)"):
        gw.parse("h_t = tanh(W x_t + U h_{t-1} + V 2 + b)")


def test_a_list_of_states_is_returned_as_well_as_a_tuple():
    def cell(x, h, c):
        c = gw.sigmoid(gw.affine(x, h)) * c
        h = gw.tanh(c)
        return [h, c]

    assert gw.cell(cell).states == ("h", "c")


def test_an_unused_product_is_named_before_the_input_that_it_reads():
    with pytest.raises(gw.CellError, match="W_u is a parameter of the cell, but u is computed and never used"):

        @gw.cell
        def forgets(x, h):
            u = gw.linear(x)
            h = gw.tanh(gw.affine(h))
            return h
