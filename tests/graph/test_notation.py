"""A paper's notation: every spelling, real texts, the way back, mistakes with line and column, and bounds."""

# ruff: noqa: E501 - tables of spellings, and texts as books print them

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gatewright as gw
from gatewright import affine, bias, linear, sigmoid, tanh
from gatewright.graph.match import match
from gatewright.graph.notation import scanner, syntax
from random_graphs import recipes

DOCS = Path(__file__).parents[2] / "docs" / "notation.md"


def parameters(cell: gw.Cell) -> list[str]:
    return [p.attr.name for p in cell.params]


def assert_same_up_to_names(cell: gw.Cell, expected: gw.Cell) -> None:
    assert match(expected.graph, cell.graph) is not None, f"{cell}\n\nis not\n\n{expected}"


def assert_round_trip(cell: gw.Cell) -> None:
    again = gw.parse(str(cell))
    assert again == cell
    assert again.name == cell.name
    assert str(again) == str(cell)


def one(expression: str) -> str:
    """The text of one equation as it is printed."""
    return str(gw.parse(f"h_t = {expression}")).splitlines()[-1].removeprefix("h_t = ")


# -- texts as they are printed -------------------------------------------------------------------------

ISSUE = r"""
f_t = \sigma(w_f[h_{t-1}, x_t] + b_f)
i_t = \sigma(w_i[h_{t-1}, x_t] + b_i)
\tilde{c}_t = \tanh(w_c[h_{t-1}, x_t] + b_c)
c_t = f_t * c_{t-1} + i_t * \tilde{c}_t
o_t = \sigma(w_o[h_{t-1}, x_t] + b_o)
h_t = o_t * \tanh(c_t)
"""

COLAH = r"""
f_t = \sigma\left(W_f \cdot [h_{t-1}, x_t] \ + \ b_f\right)
i_t = \sigma\left(W_i \cdot [h_{t-1}, x_t] \ + \ b_i\right)
\tilde{C}_t = \tanh(W_C \cdot [h_{t-1}, x_t] \ + \ b_C)
C_t = f_t * C_{t-1} + i_t * \tilde{C}_t
o_t = \sigma\left(W_o \ [ h_{t-1}, x_t] \ + \ b_o\right)
h_t = o_t * \tanh(C_t)
"""

WIKIPEDIA = r"""
\begin{align}
f_t &= \sigma_g(W_{f} x_t + U_{f} h_{t-1} + b_f) \\
i_t &= \sigma_g(W_{i} x_t + U_{i} h_{t-1} + b_i) \\
o_t &= \sigma_g(W_{o} x_t + U_{o} h_{t-1} + b_o) \\
\tilde{c}_t &= \sigma_c(W_{c} x_t + U_{c} h_{t-1} + b_c) \\
c_t &= f_t \odot c_{t-1} + i_t \odot \tilde{c}_t \\
h_t &= o_t \odot \sigma_h(c_t)
\end{align}
"""

D2L = r"""
$$
\begin{aligned}
\mathbf{I}_t &= \sigma(\mathbf{X}_t \mathbf{W}_{\textrm{xi}} + \mathbf{H}_{t-1} \mathbf{W}_{\textrm{hi}} + \mathbf{b}_\textrm{i}),\\
\mathbf{F}_t &= \sigma(\mathbf{X}_t \mathbf{W}_{\textrm{xf}} + \mathbf{H}_{t-1} \mathbf{W}_{\textrm{hf}} + \mathbf{b}_\textrm{f}),\\
\mathbf{O}_t &= \sigma(\mathbf{X}_t \mathbf{W}_{\textrm{xo}} + \mathbf{H}_{t-1} \mathbf{W}_{\textrm{ho}} + \mathbf{b}_\textrm{o}),
\end{aligned}
$$
$$\tilde{\mathbf{C}}_t = \textrm{tanh}(\mathbf{X}_t \mathbf{W}_{\textrm{xc}} + \mathbf{H}_{t-1} \mathbf{W}_{\textrm{hc}} + \mathbf{b}_\textrm{c}),$$
$$\mathbf{C}_t = \mathbf{F}_t \odot \mathbf{C}_{t-1} + \mathbf{I}_t \odot \tilde{\mathbf{C}}_t.$$
$$\mathbf{H}_t = \mathbf{O}_t \odot \tanh(\mathbf{C}_t).$$
"""

D2L_GRU = r"""
\begin{aligned}
\mathbf{R}_t = \sigma(\mathbf{X}_t \mathbf{W}_{\textrm{xr}} + \mathbf{H}_{t-1} \mathbf{W}_{\textrm{hr}} + \mathbf{b}_\textrm{r}),\\
\mathbf{Z}_t = \sigma(\mathbf{X}_t \mathbf{W}_{\textrm{xz}} + \mathbf{H}_{t-1} \mathbf{W}_{\textrm{hz}} + \mathbf{b}_\textrm{z}),
\end{aligned}
\tilde{\mathbf{H}}_t = \tanh(\mathbf{X}_t \mathbf{W}_{\textrm{xh}} + \left(\mathbf{R}_t \odot \mathbf{H}_{t-1}\right) \mathbf{W}_{\textrm{hh}} + \mathbf{b}_\textrm{h}),
\mathbf{H}_t = \mathbf{Z}_t \odot \mathbf{H}_{t-1}  + (1 - \mathbf{Z}_t) \odot \tilde{\mathbf{H}}_t.
"""

COURSE = r"""
\Gamma_u = \sigma(W_u[a^{<t-1>}, x^{<t>}] + b_u)
\Gamma_f = \sigma(W_f[a^{<t-1>}, x^{<t>}] + b_f)
\Gamma_o = \sigma(W_o[a^{\langle t-1 \rangle}, x^{\langle t \rangle}] + b_o)
\tilde{c}^{<t>} = \tanh(W_c[a^{<t-1>}, x^{<t>}] + b_c)
c^{<t>} = \Gamma_u * \tilde{c}^{<t>} + \Gamma_f * c^{<t-1>}
a^{<t>} = \Gamma_o * \tanh(c^{<t>})
"""

GREFF = r"""
\bar{\mathbf{z}}^t &= \mathbf{W}_z \mathbf{x}^t + \mathbf{R}_z \mathbf{y}^{t-1} + \mathbf{b}_z \\
\mathbf{z}^t &= g(\bar{\mathbf{z}}^t) \\
\bar{\mathbf{i}}^t &= \mathbf{W}_i \mathbf{x}^t + \mathbf{R}_i \mathbf{y}^{t-1} + \mathbf{p}_i \odot \mathbf{c}^{t-1} + \mathbf{b}_i \\
\mathbf{i}^t &= \sigma(\bar{\mathbf{i}}^t) \\
\bar{\mathbf{f}}^t &= \mathbf{W}_f \mathbf{x}^t + \mathbf{R}_f \mathbf{y}^{t-1} + \mathbf{p}_f \odot \mathbf{c}^{t-1} + \mathbf{b}_f \\
\mathbf{f}^t &= \sigma(\bar{\mathbf{f}}^t) \\
\mathbf{c}^t &= \mathbf{z}^t \odot \mathbf{i}^t + \mathbf{c}^{t-1} \odot \mathbf{f}^t \\
\bar{\mathbf{o}}^t &= \mathbf{W}_o \mathbf{x}^t + \mathbf{R}_o \mathbf{y}^{t-1} + \mathbf{p}_o \odot \mathbf{c}^t + \mathbf{b}_o \\
\mathbf{o}^t &= \sigma(\bar{\mathbf{o}}^t) \\
\mathbf{y}^t &= h(\mathbf{c}^t) \odot \mathbf{o}^t
"""

SMALL_LETTERS = """
iₜ = σ(Wᵢ xₜ + Uᵢ hₜ₋₁ + bᵢ + pᵢ ⊙ cₜ₋₁)
fₜ = σ(W_f xₜ + U_f hₜ₋₁ + b_f + p_f ⊙ cₜ₋₁)
gₜ = tanh(W_g xₜ + U_g hₜ₋₁ + b_g)
cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ
oₜ = σ(Wₒ xₜ + Uₒ hₜ₋₁ + bₒ + pₒ ⊙ cₜ)
hₜ = oₜ ⊙ tanh(cₜ)
"""

BARE = """
i = sigmoid(Wi x + Ui h + bi)
f = sigmoid(Wf x + Uf h + bf)
g = tanh(Wg x + Ug h + bg)
c = f * c + i * g
o = sigmoid(Wo x + Uo h + bo)
h = o * tanh(c)
"""

CHO = r"""
r_t = \sigma(W_r x_t + U_r h_{t-1} + b_r)
z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z)
\tilde{h}_t = \tanh(W x_t + U (r_t \odot h_{t-1}) + b)
h_t = z_t \odot h_{t-1} + (1 - z_t) \odot \tilde{h}_t
"""

MGU = r"""
f_t = \sigma(W_f [h_{t-1}, x_t] + b_f)
\tilde{h}_t = \tanh(W_h [f_t \odot h_{t-1}, x_t] + b_h)
h_t = (1 - f_t) \odot h_{t-1} + f_t \odot \tilde{h}_t
"""

JANET = r"""
s_t = U_f h_{t-1} + W_f x_t + b_f
\tilde{h}_t = \tanh(U_c h_{t-1} + W_c x_t + b_c)
h_t = \sigma(s_t) \odot h_{t-1} + (1 - \sigma(s_t - 1)) \odot \tilde{h}_t
"""

XLSTM = r"""
h_t, c_t, n_t, m_t = slstm(x_t; h_{t-1}, c_{t-1}, n_{t-1}, m_{t-1})
m_0 = -\infty
\tilde{z}_t = w_z^\top x_t + r_z h_{t-1} + b_z
\tilde{i}_t = w_i^\top x_t + r_i h_{t-1} + b_i
\tilde{f}_t = w_f^\top x_t + r_f h_{t-1} + b_f
\tilde{o}_t = w_o^\top x_t + r_o h_{t-1} + b_o
z_t = \varphi(\tilde{z}_t)
o_t = \sigma(\tilde{o}_t)
m_t = \max(\tilde{f}_t + m_{t-1}, \tilde{i}_t)
i'_t = \exp(\tilde{i}_t - m_t)
f'_t = \exp(\tilde{f}_t + m_{t-1} - m_t)
c_t = f'_t \odot c_{t-1} + i'_t \odot z_t
n_t = f'_t \odot n_{t-1} + i'_t
h_t = o_t \odot (c_t / n_t)
"""


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        (ISSUE, gw.cells.lstm),
        (COLAH, gw.cells.lstm),
        (WIKIPEDIA, gw.cells.lstm),
        (D2L, gw.cells.lstm),
        (COURSE, gw.cells.lstm),
        (BARE, gw.cells.lstm),
        (GREFF, gw.cells.peephole_lstm),
        (SMALL_LETTERS, gw.cells.peephole_lstm),
        (D2L_GRU, gw.cells.gru_original),
        (CHO, gw.cells.gru_original),
        (MGU, gw.cells.mgu),
        (JANET, gw.cells.janet),
        (XLSTM, gw.cells.slstm.with_(forget="exp")),
    ],
    ids=lambda thing: thing.name if isinstance(thing, gw.Cell) else thing.strip().splitlines()[0][:20],
)
def test_a_printed_text_is_the_zoos_cell(text: str, cell: gw.Cell):
    read = gw.parse(text)
    assert_same_up_to_names(read, cell)
    assert_round_trip(read)
    assert_same_up_to_names(gw.parse(read.latex()), cell)


def test_the_six_lines_have_the_names_of_their_text():
    cell = gw.parse(ISSUE)
    assert (cell.inputs, cell.states) == (("x",), ("h", "c"))
    assert parameters(cell) == [f"{kind}_{gate}" for gate in "fico" for kind in "UWb"]
    assert list(cell.graph.names) == ["f", "i", "c_tilde", "c", "o", "h"]


TORCH_LSTM = r"""
\begin{array}{ll} \\
    i_t = \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
    f_t = \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
    g_t = \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
    o_t = \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
    c_t = f_t \odot c_{t-1} + i_t \odot g_t \\
    h_t = o_t \odot \tanh(c_t) \\
\end{array}
"""
TORCH_GRU = r"""
\begin{array}{ll}
    r_t = \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{(t-1)} + b_{hr}) \\
    z_t = \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{(t-1)} + b_{hz}) \\
    n_t = \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{(t-1)}+ b_{hn})) \\
    h_t = (1 - z_t) \odot n_t + z_t \odot h_{(t-1)}
\end{array}
"""
TORCH_RNN = r"h_t = \tanh(x_t W_{ih}^T + b_{ih} + h_{t-1}W_{hh}^T + b_{hh})"
WIKIPEDIA_PEEPHOLE = r"""
\begin{align}
f_t &= \sigma_g(W_{f} x_t + U_{f} c_{t-1} + b_f) \\
i_t &= \sigma_g(W_{i} x_t + U_{i} c_{t-1} + b_i) \\
o_t &= \sigma_g(W_{o} x_t + U_{o} c_{t-1} + b_o) \\
c_t &= f_t \odot c_{t-1} + i_t \odot \sigma_c(W_{c} x_t + b_c) \\
h_t &= \sigma_h(o_t \odot c_t)
\end{align}
"""
WIKIPEDIA_GRU = r"""
\begin{align}
z_t &= \sigma(W_{z} x_t + U_{z} h_{t-1} + b_z) \\
r_t &= \sigma(W_{r} x_t + U_{r} h_{t-1} + b_r) \\
\hat{h}_t &= \phi(W_{h} x_t + U_{h} (r_t \odot h_{t-1}) + b_h) \\
h_t &= (1-z_t) \odot h_{t-1} + z_t \odot \hat{h}_t
\end{align}
"""
COLAH_GRU = r"""
z_t = \sigma(W_z \cdot [h_{t-1}, x_t])
r_t = \sigma(W_r \cdot [h_{t-1}, x_t])
\tilde{h}_t = \tanh(W \cdot [r_t * h_{t-1}, x_t])
h_t = (1 - z_t) * h_{t-1} + z_t * \tilde{h}_t
"""
COLAH_PEEPHOLES = r"""
f_t = \sigma(W_f \cdot [\boldsymbol{C_{t-1}}, h_{t-1}, x_t] + b_f)
i_t = \sigma(W_i \cdot [\boldsymbol{C_{t-1}}, h_{t-1}, x_t] + b_i)
\tilde{C}_t = \tanh(W_C [h_{t-1}, x_t] + b_C)
C_t = f_t * C_{t-1} + i_t * \tilde{C}_t
o_t = \sigma(W_o \cdot [\boldsymbol{C_t}, h_{t-1}, x_t] + b_o)
h_t = o_t * \tanh(C_t)
"""


def two_biases(x, h, name):
    return affine(x, h, name=name) + bias(name=f"{name}2")


def torch_lstm(x, h, c):
    i, f, g, o = (
        squash(two_biases(x, h, k), name=k) for k, squash in zip("ifgo", (sigmoid, sigmoid, tanh, sigmoid), strict=True)
    )
    c = f * c + i * g
    return o * tanh(c), c


def torch_gru(x, h):
    r = sigmoid(two_biases(x, h, "r"))
    z = sigmoid(two_biases(x, h, "z"))
    n = tanh(affine(x) + r * affine(h))
    return (1 - z) * n + z * h


def wikipedia_peephole(x, c):
    f = sigmoid(affine(x, c))
    i = sigmoid(affine(x, c))
    o = sigmoid(affine(x, c))
    c = f * c + i * tanh(affine(x))
    return tanh(o * c), (c,)


def updated(x, h, product):
    z = sigmoid(product(x, h, name="z"))
    r = sigmoid(product(x, h, name="r"))
    n = tanh(product(x, r * h, name="n"))
    return (1 - z) * h + z * n


def colah_peepholes(x, h, c):
    f = sigmoid(affine(x, h, c))
    i = sigmoid(affine(x, h, c))
    g = tanh(affine(x, h))
    c = f * c + i * g
    o = sigmoid(affine(x, h, c))
    return o * tanh(c), c


@pytest.mark.parametrize(
    ("text", "function"),
    [
        (TORCH_LSTM, torch_lstm),
        (TORCH_GRU, torch_gru),
        (TORCH_RNN, lambda x, h: tanh(two_biases(x, h, "h"))),
        (WIKIPEDIA_PEEPHOLE, wikipedia_peephole),
        (WIKIPEDIA_GRU, lambda x, h: updated(x, h, affine)),
        (COLAH_GRU, lambda x, h: updated(x, h, linear)),
        (COLAH_PEEPHOLES, colah_peepholes),
    ],
    ids=["torch lstm", "torch gru", "torch rnn", "Wikipedia peephole", "Wikipedia gru", "colah gru", "colah peepholes"],
)
def test_a_printed_text_is_the_cell_that_it_describes(text: str, function):
    read = gw.parse(text)
    assert_same_up_to_names(read, gw.cell(name="written")(function))
    assert_round_trip(read)


# -- spellings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sign", ["⊙", "∘", "⊗", "*", "×", "·", "⋅", "@", r"\odot", r"\circ", r"\otimes", r"\ast", r"\times", r"\cdot"]
)
def test_signs_of_the_product(sign: str):
    assert one(f"h_{{t-1}} {sign} x_t") == "h_{t-1} ⊙ x_t"


@pytest.mark.parametrize(
    "old",
    [
        "h_{t-1}", "h_{t - 1}", "h_{t−1}", "h_{t–1}", "hₜ₋₁", "h^{t-1}", "h^{t−1}", "h_{(t-1)}", "h^{(t-1)}",
        r"h_{\langle t-1 \rangle}", r"h^{\langle t-1\rangle}", "h^{<t-1>}", "h^<t-1>", "h^⟨t-1⟩", r"\mathbf{h}_{t-1}",
        r"\mathbf{h_{t-1}}", r"\mathbf h_{t-1}", r"{h}_{t-1}"[1] + "_{t-1}", r"h_{t\,-\,1}",
    ],
)  # fmt: skip
def test_spellings_of_the_step_before(old: str):
    assert one(f"{old} + x_t") == "h_{t-1} + x_t"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("c_tilde", "c_tilde"), (r"\tilde{c}", "c_tilde"), (r"\widetilde{c}", "c_tilde"), ("c̃", "c_tilde"),
        (r"\tilde c", "c_tilde"), (r"\tilde{\mathbf{c}}", "c_tilde"), (r"\mathbf{\tilde{c}}", "c_tilde"),
        (r"\tilde\mathbf{c}", "c_tilde"), (r"\hat{c}", "c_hat"), ("ĉ", "c_hat"), (r"\bar{c}", "c_bar"), ("c̄", "c_bar"),
        (r"\dot{c}", "c_dot"), (r"\check{c}", "c_check"), ("α", "alpha"), (r"\alpha", "alpha"), (r"\Gamma_f", "Gamma_f"),
        (r"\varepsilon", "epsilon"), (r"\ell", "l"), ("c'", "c_prime"), ("c′", "c_prime"), (r"c_{\mathrm{new}}", "c_new"),
        (r"c_\mathrm{new}", "c_new"), (r"\mathrm{cell}", "cell"), (r"\bar{\bar{c}}", "c_bar_bar"), (r"c_{\tilde{d}}", "c_d_tilde"),
        (r"c_{\tilde d}", "c_d_tilde"), (r"c_{a,b}", "c_a_b"), (r"\operatorname{c}", "c"), ("变量", "变量"), ("c_1", "c_1"),
    ],
)  # fmt: skip
def test_spellings_of_names(written: str, name: str):
    cell = gw.parse(f"{written}_t = tanh(W x_t); h_t = h_{{t-1}} + {written}_t")
    assert list(cell.graph.names) == [name, "h"]


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (r"\sigma(x_t)", "σ(x_t)"), ("sigma(x_t)", "σ(x_t)"), ("sigmoid(x_t)", "σ(x_t)"), ("logistic(x_t)", "σ(x_t)"),
        ("σ x_t", "σ(x_t)"), (r"\sigma[x_t]", "σ(x_t)"), (r"\sigma\left[ x_t \right]", "σ(x_t)"), (r"\sigma\{x_t\}", "σ(x_t)"),
        (r"\operatorname{sigmoid}(x_t)", "σ(x_t)"), (r"\tanh x_t", "tanh(x_t)"), (r"\phi(x_t)", "tanh(x_t)"),
        (r"\mathrm{ReLU}(x_t)", "relu(x_t)"), ("ln(x_t)", "log(x_t)"), ("|x_t|", "abs(x_t)"), (r"\lvert x_t \rvert", "abs(x_t)"),
        (r"\sqrt{x_t}", "sqrt(x_t)"), ("max(x_t, 0)", "max(x_t, 0)"), ("maximum(x_t, 0)", "max(x_t, 0)"), ("max(x_t)", "max(x_t)"),
        ("min(x_t, 2)", "min(x_t, 2)"), ("mean(x_t)", "mean(x_t)"), ("sum(x_t)", "sum(x_t)"), ("sg(x_t)", "stop_gradient(x_t)"),
        ("LN(x_t)", "LN(x_t)"), ("LayerNorm(x_t)", "LN(x_t)"), ("LN(x_t, eps=0.25)", "LN(x_t, eps=0.25)"),
        ("gain_x ⊙ LN(x_t)", "gain_x ⊙ LN(x_t)"), ("repeat(x_t, 1)", "x_t"), ("g(x_t)", "tanh(x_t)"),
        ("where(x_t ≥ 0, x_t, 1)", "where(x_t ≥ 0, x_t, 1)"), (r"where(x_t \ge 0, x_t, 1)", "where(x_t ≥ 0, x_t, 1)"),
        ("where(x_t >= 0, x_t, 1)", "where(x_t ≥ 0, x_t, 1)"), ("where(x_t == 0, x_t, 1)", "where(x_t = 0, x_t, 1)"),
        (r"where(x_t \neq 0, x_t, 1)", "where(x_t ≠ 0, x_t, 1)"), (r"\frac{x_t}{2}", "x_t / 2"), ("x_t²", "x_t^2"),
        ("x_t^2", "x_t^2"), ("x_t**2", "x_t^2"), ("x_t^{-1}", "x_t^(-1)"), ("x_t^-1", "x_t^(-1)"), ("2^{x_t}", "2^(x_t)"),
        ("x_{t-2}", "x_{t-2}"), ("2 x_t", "2 ⊙ x_t"), ("2(x_t)", "2 ⊙ x_t"), (r"\mathbf{1} - x_t", "1 - x_t"), ("--x_t", "--x_t"),
        (r"\left( x_t \right)", "x_t"), (r"\bigl( x_t \bigr)", "x_t"), ("((x_t))", "x_t"), (r"x_t\tag{3}", "x_t"), ("x_t.", "x_t"),
        ("x_t # a note", "x_t"), ("x_t % a note", "x_t"), ("1e-3 x_t", "0.001 ⊙ x_t"), (".5 x_t", "0.5 ⊙ x_t"),
    ],
)  # fmt: skip
def test_spellings_of_functions_and_signs(written: str, printed: str):
    assert one(f"h_{{t-1}} + {written}") == f"h_{{t-1}} + {printed}"


@pytest.mark.parametrize(
    "products",
    [
        "W_f x_t + U_f h_{t-1}", "W_f · x_t + U_f · h_{t-1}", "W_f·x_t + U_f·h_{t-1}", r"W_f \cdot x_t + U_f \cdot h_{t-1}",
        "x_t W_f + h_{t-1} U_f", "W_f(x_t) + U_f(h_{t-1})", "W_f [x_t, h_{t-1}]", r"W_f \cdot [x_t, h_{t-1}]", "w_f[x_t, h_{t-1}]",
        "Wf [x_t, h_{t-1}]", "x_t W_f^T + h_{t-1} U_f^\\top", r"x_t W_f^{\top} + h_{t-1} U_f^{T}", "W_fᵀ x_t + U_fᵀ h_{t-1}",
        "W_f^⊤ x_t + U_f^⊤ h_{t-1}", r"W_f^{\intercal} x_t + U_f h_{t-1}", r"W_f \left[ x_t, h_{t-1} \right]",
    ],
)  # fmt: skip
def test_spellings_of_products(products: str):
    assert one(f"tanh({products} + b_f)") == "tanh(W_f x_t + U_f h_{t-1} + b_f)"


@pytest.mark.parametrize(
    "end", ["\n", ";", ",", ", ", ",\\\\ ", "\\\\\n", ".\n", " \\\\ \\nonumber ", "\n\n# words\n", "$$\n$$"]
)
def test_ends_of_equations(end: str):
    assert list(gw.parse(f"a_t = tanh(W x_t){end}h_t = a_t + h_{{t-1}}").graph.names) == ["a", "h"]


def test_an_equation_goes_on_inside_brackets():
    assert one("tanh(\n  W_f x_t\n  + U_f h_{t-1})") == "tanh(W_f x_t + U_f h_{t-1})"


def test_several_vectors_of_one_kind_behind_a_matrix():
    cell = gw.parse("h_t = tanh(W_f [c_{t-1}, h_{t-1}, x_t]); c_t = h_t")
    assert parameters(cell) == ["U_f_c", "U_f_h", "W_f"]


def test_capital_states_and_lower_case_weights():
    cell = gw.parse("H_t = tanh(w_h X_t + u_h H_{t-1} + b_h)")
    assert (cell.inputs, cell.states, parameters(cell)) == (("X",), ("H",), ["w_h", "u_h", "b_h"])
    assert [p.attr.kind for p in cell.params] == ["W", "U", "b"]


# -- what a name is ------------------------------------------------------------------------------------


def test_a_bare_name_is_the_old_value_until_its_own_equation_has_been_read():
    bare = gw.parse("o = σ(W x + U c); c = o ⊙ c; h = tanh(c)")
    exact = gw.parse("o_t = σ(W x_t + U c_{t-1}); c_t = o_t ⊙ c_{t-1}; h_t = tanh(c_t)")
    assert bare == exact


def test_both_ways_for_one_state_are_an_error():
    with pytest.raises(
        gw.NotationError, match=r"the old value of c is written as c here and as c_\{t-1\} elsewhere"
    ) as error:
        gw.parse("o_t = σ(W x_t + U c)\nc_t = o_t ⊙ c_{t-1}")
    assert (error.value.line, error.value.column) == (1, 19)


def test_equations_in_any_order():
    lines = str(gw.cells.peephole_lstm).splitlines()
    assert gw.parse("\n".join([lines[0], *reversed(lines[1:])])).graph.states == gw.cells.peephole_lstm.graph.states


def test_the_output_and_the_order_of_states():
    assert gw.parse("c_t = tanh(W x_t + U c_{t-1}); y_t = 2 c_t").graph.output_name == "y"
    assert gw.parse("c_t = tanh(W x_t + U h_{t-1} + c_{t-1}); h_t = 2 c_t").states == ("h", "c")
    assert gw.parse("a_t = x_t + b_{t-1}; b_t = a_t + a_{t-1}").states == ("b", "a")


def test_the_first_line_fixes_the_order():
    cell = gw.parse(
        "y_t; c_t, n_t = two(u_t, x_t; c_{t-1}, n_{t-1})\nc_t = u_t + n_{t-1}\nn_t = x_t + c_{t-1}\ny_t = c_t + n_t"
    )
    assert (cell.name, cell.inputs, cell.states) == ("two", ("u", "x"), ("c", "n"))
    assert cell.graph.output_name == "y"
    assert_round_trip(cell)


def test_the_name_may_be_given():
    assert gw.parse(str(gw.cells.gru), name="other").name == "other"
    assert gw.parse("h_t = tanh(W x_t + U h_{t-1})").name == "cell"


def test_a_weight_of_a_gate_whose_name_ends_in_t():
    cell = gw.parse("h_t = net(x_t; h_{t-1})\nf_t_t = σ(W_f_t x_t + b_f_t)\nh_t = f_t_t ⊙ h_{t-1}")
    assert (parameters(cell), list(cell.graph.names)) == (["W_f_t", "b_f_t"], ["f_t", "h"])


def test_initial_values():
    cell = gw.parse(
        "m_0 = -∞; n_{0} = 0.5; k_0 = \\mathbf{1}\nm_t = max(m_{t-1}, x_t); n_t = n_{t-1} + m_t; k_t = k_{t-1} + n_t"
    )
    assert {s.name: s.initial for s in cell.graph.states} == {"k": 1.0, "n": 0.5, "m": float("-inf")}
    assert_round_trip(cell)


@pytest.mark.parametrize(
    "line",
    [
        "width P: W_h, b_h", "W_h, b_h ∈ ℝ^{P×H}", r"W_h, b_h \in \mathbb{R}^{P \times H}", "W_h, b_h ∈ R^P",
        r"W_h, b_h &\in \mathbb{R}^{P \times (".replace("(", r"\cdot}"),
    ],
)  # fmt: skip
def test_widths(line: str):
    cell = gw.parse(f"{line}\nh_t = W_h tanh(W_c x_t + U_c h_{{t-1}}) + b_h")
    assert {p.attr.name: p.attr.width for p in cell.params} == {"W_c": None, "U_c": None, "W_h": "P", "b_h": "P"}
    assert_round_trip(cell)
    assert_same_up_to_names(gw.parse(cell.latex()), cell)


def test_the_width_of_a_matrix_before_a_list_is_that_of_both():
    cell = gw.parse("width 7: w_a, b_a\na_t = tanh(w_a [h_{t-1}, x_t] + b_a); h_t = U_h a_t")
    assert {p.attr.name: p.attr.width for p in cell.params} == {"U_a": "7", "W_a": "7", "b_a": "7", "U_h": None}


# -- and back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(gw.cells))
def test_every_cell_of_the_zoo_as_text_and_as_latex(name: str):
    cell = gw.cells[name]
    assert_round_trip(cell)
    read = gw.parse(cell.latex())
    assert_same_up_to_names(read, cell)
    assert (read.inputs, read.states, read.graph.output_name) == (cell.inputs, cell.states, cell.graph.output_name)


def test_latex_has_a_first_line_only_where_the_order_does_not_follow():
    assert "lstm" not in gw.cells.lstm.latex()
    assert r"c_{t}, n_{t}, m_{t} &= \mathrm{slstm}(x_{t}; h_{t-1}, c_{t-1}" in gw.cells.slstm.latex()


@pytest.mark.slow
@settings(max_examples=60)
@given(recipes())
def test_random_cells_as_text_and_as_latex(recipe):
    cell = gw.Cell.of_graph(recipe.graph(), "random")
    assert_round_trip(cell)
    assert gw.parse(cell.latex()).graph.states[0].initial == 0.5


@given(st.floats(allow_nan=False))
def test_every_number_comes_back(value: float):
    cell = gw.cell(lambda x, h: h * value + x**value, name="number")
    assert_round_trip(cell)
    assert gw.parse(cell.latex()).graph.states == cell.graph.states


# -- mistakes ------------------------------------------------------------------------------------------

OK = "h_t = tanh(W x_t + U h_{t-1})\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "there is no equation here: write one such as h_t = tanh"),
        ("\n\n  # nothing\n", 4, 1, "there is no equation here"),
        ("h_0 = 1", 1, 8, "there is no equation here"),
        ("h_t", 1, 4, "expected '=' behind h, not the end of the equation"),
        ("= x_t", 1, 1, "an equation starts with a name, as in `f_t = …`, not '='"),
        ("1 = x_t", 1, 1, "an equation starts with a name"),
        (f"{OK}a_t =", 2, 6, "expected a value, not the end of the equation"),
        ("h_t = h_{t-1} +", 1, 16, "expected a value, not the end of the equation"),
        ("h_t = h_{t-1} ⊙ ⊙ x_t", 1, 17, "expected a value, not '⊙'"),
        ("h_t = (h_{t-1} + x_t", 1, 21, r"expected '\)' to close the bracket"),
        ("h_t = h_{t-1} + x_t)", 1, 20, r"'\)' is not expected here"),
        ("h_t = h_{t-1} + |x_t", 1, 21, r"expected '\|' to close the absolute value"),
        ("h_t = h_{t-1} + tanh()", 1, 22, r"expected a value, not '\)'"),
        ("h_t = h_{t-1} + tanh(x_t, 1)", 1, 17, "tanh takes 1 value, not 2"),
        ("h_t = h_{t-1} + max(x_t, 1, 2)", 1, 17, "max takes 1 value, not 3"),
        ("h_t = h_{t-1} + é ? 3", 1, 19, r"'\?' \(U\+003F\) has no meaning in an equation"),
        (f"{OK}\ty_t = ?", 2, 8, "has no meaning in an equation"),
        (r"h_t = h_{t-1} + \foo x_t", 1, 17, r"\\foo has no meaning in an equation"),
        ("h_t = h_{t-1} + \\", 1, 17, "a lone backslash"),
        (r"h_t = h_{t-1} + \mathbf{a + b}", 1, 17, r"\\mathbf stands over one name"),
        (r"h_t = h_{t-1} + \tilde{?}", 1, 24, "has no meaning in an equation"),
        ("h_t = h_{t-1} + x_{", 1, 19, "this { is never closed"),
        ("h_t = h_{t-1} + x_{t\n}", 1, 19, "this { is never closed"),
        ("h_t = h_{t-1} + x_", 1, 18, "a subscript is missing behind the _"),
        ("h_t = h_{t-1} + x_{a+b}", 1, 17, r"the subscript 'a\+b' is no name"),
        ("h_t = h_{t-1} + x_{t+1}", 1, 17, "a step sees no later one: t, t-1, t-2"),
        ("h_t = h_{t-1} + x_{t-1,t}", 1, 17, "a name has two time indices"),
        ("h_t = h_t-1 + x_t", 1, 7, r"write h_\{t-1\} for the step before, or h_t - 1"),
        ("h_t = h_{t-1} x_t", 1, 7, r"h_\{t-1\} is no matrix \(a name such as W_f\): write ⊙ \(or \*\) between"),
        ("h_t = tanh(h_{t-1}) x_t", 1, 21, "what stands before it is no matrix"),
        ("h_t = h_{t-1} + 3 .2", 1, 19, r"'\.2' is not expected here"),
        ("h_t = h_{t-1} + foo", 1, 17, "foo is not defined: no equation gives it, and it is no input and no parameter"),
        ("gate_t = x_t; h_t = h_{t-1} + gat", 1, 31, "gat is not defined.*did you mean 'gate'"),
        ("h_t = softmax(W x_t + U h_{t-1})", 1, 7, "softmax is no function of a cell; it knows sigma, sigmoid"),
        ("h_t = sigmod(W x_t + U h_{t-1})", 1, 7, "sigmod is no function .*did you mean 'sigmoid'"),
        ("h_t = psi(W x_t + U h_{t-1})", 1, 7, "psi is no function of a cell"),
        ("h_t = [h_{t-1}, x_t]", 1, 7, r"a list of vectors stands behind a matrix, as in W_f \[h_"),
        ("h_t = h_{t-1} + (x_t > 2)", 1, 22, r"a comparison stands in where\(condition, a, b\) alone"),
        ("h_t = where(x_t, h_{t-1}, 2)", 1, 7, r"where needs a condition and two values: where\(a > b, c, d\)"),
        ("h_t = h_{t-1} + repeat(x_t, 0)", 1, 29, r"repeat\(v, n\): n is at least 1"),
        ("h_t = h_{t-1} + repeat(x_t, 1.5)", 1, 17, "repeat takes a vector and a whole number"),
        ("h_t = h_{t-1} + repeat(x_t, 1e999)", 1, 17, "repeat takes a vector and a whole number"),
        ("h_t = h_{t-1} + LN_3(x_t)", 1, 17, "LN_3 of 1 vectors: LN_k gives the k-th of them"),
        ("h_t = h_{t-1} + LN(x_t, eps=0)", 1, 29, "eps is a number above 0"),
        ("h_{t-1} = x_t", 1, 1, "an equation gives a value of this step: its name ends in _t"),
        (f"{OK}h_t = x_t", 2, 1, "h has two equations"),
        ("h_t = h_{t-2} + x_t", 1, 7, r"a state reaches one step back: carry h_\{t-1\} in a state of its own"),
        ("h_t = σ(W x_t + U h_t)", 1, 1, r"no state: a value of the step before, such as h_\{t-1\}, stands nowhere"),
        ("h_t = W h_{t-1} + W x_t", 1, 19, "W stands for two different parameters"),
        ("h_t = tanh(W [h_{t-1}, x_t] + U x_t)", 1, 31, "U stands for two different parameters"),
        ("h_t = tanh(W_f [σ(h_{t-1}), h_{t-1}] + x_t)", 1, 17, "several vectors of one kind stand behind a matrix"),
        ("a_t = c_t + h_{t-1}; c_t = a_t\nh_t = c_t + x_t", 1, 1, "a → c → a: each needs the other in the same step"),
        (f"{OK}m_0 = 3", 2, 1, r"m_0 has a value, but m is no state \(h\)"),
        (f"{OK}h_0 = 3\nh_0 = 4", 3, 1, "h_0 has two values"),
        (f"{OK}h_0 = x_t", 2, 7, "a state begins with a number, as in m_0 = -∞"),
        (f"{OK}width P: W_q", 2, 10, "no parameter is called W_q"),
        (f"{OK}width P W", 2, 9, "expected ':' behind the name of the width"),
        (f"{OK}width 2.5: W", 2, 7, "expected a width: a name such as P, or a whole number"),
        (f"{OK}width 0: W", 2, 7, "expected a width: a name such as P, or a whole number"),
        (f"{OK}W ∈ ℝ", 2, 6, r"expected '\^' and the size"),
        (f"{OK}W ∈ ℝ^{{2H×I}}", 2, 9, "expected '}' behind the size"),
        ("h_t = f(x_t + 3; h_{t-1})\n" + OK, 1, 1, "the first line should be `h_t, c_t = name"),
        ("h_t, c_t = f(x_t; h_{t-1})\n" + OK, 1, 1, "the first line should be"),
        ("h_t = f(x_t, x_t; h_{t-1})\n" + OK, 1, 1, "the first line has a name twice"),
        (OK + "h_t = f(x_t; h_{t-1})", 2, 1, "the line that names inputs and states stands first, and once"),
        ("h_t = f(x_t; h_{t-1})\nh_t = tanh(W x_t + U h_{t-1} + c_t)", 2, 32, "c is not defined"),
        ("h_t = f(x_t; h_{t-1})\nc_t = x_t; h_t = tanh(h_{t-1} + c_{t-1})", 2, 33, "c is no state of the first line"),
    ],
)
def test_mistakes_have_line_column_and_caret(text: str, line: int, column: int, message: str):
    with pytest.raises(gw.NotationError, match=message) as error:
        gw.parse(text)
    assert (error.value.line, error.value.column) == (line, column)
    first, source, caret = str(error.value).split("\n")
    assert first.startswith(f"line {line}, column {column}: ")
    assert source == "  " + text.split("\n")[line - 1].replace("\t", " ")
    assert re.fullmatch(" *\\^+", caret)
    assert caret.index("^") == column + 1  # behind the two spaces


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h_t, c_t = f(x_t; h_{t-1}, c_{t-1})\n" + OK, "the first line promises c_t, but no equation gives it"),
        ("h_t = f(x_t; h_{t-1})\nx_t = 1\n" + OK, "x is an input, and an equation gives it too"),
        ("h_t = f(x_t, u_t; h_{t-1})\n" + OK, "the input u is never used: use it, or leave it out"),
        ("a_t = W_a x_t\n" + OK, "W_a is a parameter of the cell, but a is computed and never used"),
        ("h_t = tanh(U h_{t-1})", "the text reads no input, such as x_t: a cell has one at least"),
    ],
)
def test_texts_that_are_no_cell(text: str, message: str):
    with pytest.raises(gw.CellError, match=message):
        gw.parse(text)


@pytest.mark.parametrize("thing", [None, 3, b"h_t = x_t", ["h_t = x_t"]])
def test_only_a_str_is_read(thing):
    with pytest.raises(gw.CellError, match="parse: expected the equations as a str, not a"):
        gw.parse(thing)


# -- bounds --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["+", "-", "*", "/"])
def test_long_sums_and_products(sign: str):
    cell = gw.parse(f"h_t = tanh(W x_t + U h_{{t-1}}){f' {sign} x_t' * 5000}")
    assert_round_trip(cell)
    if sign != "/":  # a fraction in LaTeX has more tokens than are read
        assert gw.parse(cell.latex()).graph.states == cell.graph.states


def test_many_equations():
    chain = "\n".join(f"a_{{{k},t}} = tanh a_{{{k - 1},t}}" for k in range(1, 900))
    cell = gw.parse(f"h_t = h_{{t-1}} + a_{{899,t}}\n{chain}\na_{{0,t}} = tanh x_t")
    assert len(cell.graph.names) == 901
    assert_round_trip(cell)


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        ("tanh(" * 5000 + "x_t" + ")" * 5000, "nested more than 60 deep"),
        ("(" * 5000 + "x_t" + ")" * 5000, "nested more than 60 deep"),
        ("[" * 5000 + "x_t" + "]" * 5000, "nested more than 60 deep"),
        ("{" * 5000 + "x_t" + "}" * 5000, "nested more than 60 deep"),
        ("|" * 5000 + "x_t" + "|" * 5000, "nested more than 60 deep"),
        ("tanh " * 5000 + "x_t", "nested more than 60 deep"),
        (r"\frac{" * 3000 + "x_t" + "}{2}" * 3000, "nested more than 60 deep"),
        (r"\sqrt{" * 3000 + "x_t" + "}" * 3000, "nested more than 60 deep"),
        ("x_t^{" * 3000 + "2" + "}" * 3000, "nested more than 60 deep"),
        ("-" * 5000 + "x_t", "too many signs"),
        ("W " * 5000 + "x_t", "more than 60 things side by side"),
        ("x_t" + " W" * 5000, "more than 60 things side by side"),
        (r"\tilde{" * 3000 + "x" + "}" * 3000 + "_t", "more than 8 fonts and accents over one name"),
        (r"\tilde" * 3000 + "{x}_t", "more than 8 fonts and accents over one name|stands over one name"),
        ("x_{t-" + "9" * 5000 + "}", "is no name"),
        ("LN_" + "9" * 5000 + "(x_t)", "is no function of a cell"),
        ("repeat(x_t, " + "9" * 200 + ")", "at most 65536 times"),
        ("repeat(W x_t, 65537)", "at most 65536 times"),
        ("x_t" + " + x_t" * 12_000, "more than 20000 symbols"),
        ("x_t" + " + x_t" * 50_000, "characters: at most 100000 are read"),
        ("x_t\n" + "a_t = 1\n" * 1200, "more than 1000 equations|has two equations"),
    ],
    ids=lambda thing: thing[:12],
)
def test_what_is_too_large_or_too_deep(piece: str, message: str):
    with pytest.raises(gw.CellError, match=message):
        gw.parse(f"h_t = h_{{t-1}} + {piece}")


def test_the_deepest_that_is_allowed_works():
    depth = syntax.MAX_DEPTH - 2
    assert_round_trip(gw.parse(f"h_t = {'tanh(' * depth}W x_t + U h_{{t-1}}{')' * depth}"))
    assert_round_trip(gw.parse(f"h_t = h_{{t-1}} + x_{{t-{10**9 - 1}}}"))


def test_a_deep_cell_is_printed_in_pieces():
    def deep(x, h):
        for _ in range(500):
            h = tanh(h) * x
        return h

    assert_round_trip(gw.cell(deep))


# -- fuzz ----------------------------------------------------------------------------------------------

TEXTS = [
    ISSUE,
    COLAH,
    WIKIPEDIA,
    D2L,
    GREFF,
    SMALL_LETTERS,
    BARE,
    XLSTM,
    COURSE,
    TORCH_GRU,
    *map(str, gw.cells.values()),
]
PIECES = [
    "h_t", "h_{t-1}", "x_t", "x", "c", "W_f", "W", "b", "p", "=", "+", "-", "*", "·", "/", "^", "(", ")", "[", "]", "{", "}", "|", ",", ";",
    "\n", "\\\\", "\\", "\\tilde", "\\mathbf", "\\frac", "\\sqrt", "\\left(", "tanh", "σ", "max", "where", "LN", "LN_2", "repeat", "2", "0.5",
    "<", "≤", "==", "∈", "ℝ", "width", "P", ":", "_", "_t", "_0", "^t", "^{t-1}", "^T", "ₜ", "₋₁", "²", "∞", "\\infty", "~", "$", ".", "'", "̃", "é",
    "\\begin{array}", "\\end", "\\tag", "#", "%", "\t", "\0", "\U0001d465", "t-1", "_1_t", "eps", "y_t; ", "name(x_t; h_{t-1})",
]  # fmt: skip


def parses_or_explains(text: str) -> None:
    """Parses and comes back, or raises `CellError`; anything else fails the test."""
    cell = None
    with suppress(gw.CellError):
        cell = gw.parse(text)
    if cell is not None:
        assert_round_trip(cell)
        gw.parse(cell.latex())


@settings(max_examples=300)
@given(st.text(max_size=60))
@example("LN_a(x_t)")
@example("h_t = [;")
@example("g_t = W\nf_t = σ(W_f x_t) ⊙ g_t\nh_t = f_t + g_t ⊙ h_{t-1}")
def test_any_text(text: str):
    parses_or_explains(text)
    parses_or_explains(f"{OK}{text}")


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_row_of_pieces(pieces: list[str]):
    parses_or_explains(" ".join(pieces))
    parses_or_explains(f"{OK}h_t = h_{{t-1}} + x_t {''.join(pieces)}")


@pytest.mark.slow
@settings(max_examples=500)
@given(st.data())
def test_texts_with_a_mistake(data):
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 3))):
        at, left_out = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 3))
        text = text[:at] + data.draw(st.sampled_from(["", *PIECES])) + text[at + left_out :]
    parses_or_explains(text)


# -- the page ------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("text"), ids=lambda text: text.splitlines()[0][:20])
def test_the_examples_of_the_page(text: str):
    assert_round_trip(gw.parse(text))


def test_the_page_says_what_the_code_does(capsys: pytest.CaptureFixture[str]):
    page = DOCS.read_text(encoding="utf-8")
    assert f"Version {syntax.VERSION} " in page
    for limit in (
        f"{scanner.MAX_CHARACTERS:,}",
        f"{scanner.MAX_TOKENS:,}",
        f"{syntax.MAX_LINES:,}",
        f"{syntax.MAX_DEPTH} deep",
    ):
        assert limit in page
    for name in syntax.FUNCTIONS:
        assert f"`{name}" in page, name
    (program,) = blocks("python")
    exec(program, {})
    shown = capsys.readouterr().out.splitlines()
    assert shown == [line.removeprefix("    # ") for line in program.splitlines() if line.startswith("    # ")]
