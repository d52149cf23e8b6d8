"""The LSTM with peepholes, and the variants of it that the Search Space Odyssey compares.

The variants are the paper's: each changes one thing of the peephole LSTM V. Gates are called i f g o here; the
paper's block input z is g.
"""

from ..graph import cell
from ..graph.language import affine, diagonal, linear, sigmoid, tanh
from .options import letters_of

ODYSSEY = """
Source: K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink and J. Schmidhuber, LSTM: a search space odyssey,
IEEE Transactions on Neural Networks and Learning Systems 28, 2017 (arXiv 1503.04069, 2015).
"""


@cell
def peephole_lstm(x, h, c, *, peepholes="ifo", gates="ifo", squash="gc", coupled=False):
    """The LSTM whose gates see the cell: i and f its old value, o its new one.

    `peepholes` names the gates that have one. `gates` leaves a gate out (as if it were 1), `squash` leaves out the
    tanh of the block input (g) or of the cell (c), `coupled` makes f = 1 − i.

    Source: F. A. Gers, N. N. Schraudolph and J. Schmidhuber, Learning precise timing with LSTM recurrent networks,
    Journal of Machine Learning Research 3, 2002.
    """

    letters_of("peepholes", peepholes, "ifo")
    letters_of("gates", gates, "ifo")
    letters_of("squash", squash, "gc")

    def gate(name, cell):
        if name not in gates:
            return None
        if name not in peepholes:
            return sigmoid(affine(x, h, name=name))
        return sigmoid(affine(x, h, name=name) + diagonal(cell, name=name))

    def through(gate, value):
        return value if gate is None else gate * value

    i = gate("i", c)
    f = 1 - i if coupled and i is not None else gate("f", c)
    g = tanh(affine(x, h, name="g")) if "g" in squash else affine(x, h, name="g")
    c = through(f, c) + through(i, g)
    o = gate("o", c)
    h = through(o, tanh(c) if "c" in squash else c)
    return h, c


nig = peephole_lstm.with_(gates="fo").named("nig", f"No input gate: i = 1.\n{ODYSSEY}")
nfg = peephole_lstm.with_(gates="io").named("nfg", f"No forget gate: f = 1.\n{ODYSSEY}")
nog = peephole_lstm.with_(gates="if").named("nog", f"No output gate: o = 1.\n{ODYSSEY}")
niaf = peephole_lstm.with_(squash="c").named("niaf", f"No input activation function: g is linear.\n{ODYSSEY}")
noaf = peephole_lstm.with_(squash="g").named("noaf", f"No output activation function: h = o ⊙ c.\n{ODYSSEY}")
peephole_cifg = peephole_lstm.with_(coupled=True).named(
    "peephole_cifg", f"Coupled input and forget gate, f = 1 − i, with peepholes.\n{ODYSSEY}"
)
cifg = peephole_lstm.with_(coupled=True, peepholes="").named(
    "cifg", f"Coupled input and forget gate, f = 1 − i, without peepholes.\n{ODYSSEY}"
)


@cell
def fgr(x, h, c, i, f, o):
    """Full gate recurrence: every gate also sees all gates of the step before.

    Source: K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink and J. Schmidhuber, LSTM: a search space
    odyssey, IEEE Transactions on Neural Networks and Learning Systems 28, 2017; the recurrence is that of 1997.
    """
    i_old, f_old, o_old = i, f, o
    i = sigmoid(affine(x, h) + linear(i_old, f_old, o_old) + diagonal(c))
    f = sigmoid(affine(x, h) + linear(i_old, f_old, o_old) + diagonal(c))
    g = tanh(affine(x, h))
    c = f * c + i * g
    o = sigmoid(affine(x, h) + linear(i_old, f_old, o_old) + diagonal(c))
    h = o * tanh(c)
    return h, c, i, f, o
