"""The LSTMs of the first papers, with memory blocks whose cells share their gates."""

from ..graph import cell
from ..graph.language import affine, linear, repeat, sigmoid
from .options import one_of


def scaled(a, span):
    """The logistic function stretched to [-span, span]."""
    return 2 * span * sigmoid(a) - span


@cell
def lstm_1997(x, y, c, i, o, *, cells=1, bias="all"):
    """The LSTM of 1997: no forget gate; S blocks of `cells` cells share an input and an output gate.

    Every unit sees the inputs, all cells' outputs and all gates of the step before (the gate-to-gate links of the
    paper). `bias` is "all", "gates" (the cells have none) or "none", as the paper's tasks differ.

    Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997.
    """
    one_of("bias", bias, ("all", "gates", "none"))
    into_gate = affine if bias in ("all", "gates") else linear
    into_cell = affine if bias == "all" else linear
    i_old, o_old = i, o
    i = sigmoid(into_gate(x, y, i_old, o_old, width="S"))
    o = sigmoid(into_gate(x, y, i_old, o_old, width="S"))
    g = scaled(into_cell(x, y, i_old, o_old, name="g"), 2)
    c = c + repeat(i, cells) * g
    y = repeat(o, cells) * scaled(c, 1)
    return y, c, i, o


@cell
def lstm_2000(x, y, c, *, cells=2):
    """The LSTM with forget gates, as first described: blocks of `cells` cells, whose inputs have no bias.

    Source: F. A. Gers, J. Schmidhuber and F. Cummins, Learning to forget: continual prediction with LSTM, Neural
    Computation 12, 2000.
    """
    i = sigmoid(affine(x, y, width="S"))
    f = sigmoid(affine(x, y, width="S"))
    o = sigmoid(affine(x, y, width="S"))
    g = scaled(linear(x, y, name="g"), 2)
    c = repeat(f, cells) * c + repeat(i, cells) * g
    y = repeat(o, cells) * scaled(c, 1)
    return y, c
