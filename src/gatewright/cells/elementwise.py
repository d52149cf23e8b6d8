"""Cells without a matrix product in the loop: their gates see inputs, or their own unit, alone."""

from ..graph import cell
from ..graph.language import affine, diagonal, linear, previous, relu, sigmoid, tanh
from .options import one_of


@cell
def indrnn(x, h):
    """The independently recurrent network: every unit sees its own last value alone.

    Source: S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, Independently recurrent neural network (IndRNN): building a
    longer and deeper RNN, CVPR 2018.
    """
    h = relu(affine(x) + diagonal(h))
    return h


@cell
def sru(x, c):
    """The simple recurrent unit: a light recurrence and a highway past it; x is as wide as c.

    Source: T. Lei, Y. Zhang, S. I. Wang, H. Dai and Y. Artzi, Simple recurrent units for highly parallelizable
    recurrence, EMNLP 2018, equations 1-4.
    """
    c_old = c
    f = sigmoid(affine(x) + diagonal(c_old))
    g = linear(x)
    c = f * c_old + (1 - f) * g
    r = sigmoid(affine(x) + diagonal(c_old))
    h = r * c + (1 - r) * x
    return h, (c,)


@cell
def qrnn(x, c, *, window=2, pooling="fo"):
    """The quasi-recurrent network: a convolution over `window` steps, and pooling of kind f, fo or ifo.

    Source: J. Bradbury, S. Merity, C. Xiong and R. Socher, Quasi-recurrent neural networks, ICLR 2017.
    """

    one_of("pooling", pooling, ("f", "fo", "ifo"))

    def convolution(gate):
        older = (linear(previous(x, k), name=f"{gate}_{k}") for k in range(1, window))
        return sum(older, start=affine(x, name=gate))

    g = tanh(convolution("g"))
    f = sigmoid(convolution("f"))
    i = sigmoid(convolution("i")) if "i" in pooling else 1 - f
    c = f * c + i * g
    h = sigmoid(convolution("o"), name="o") * c if "o" in pooling else c
    return h, (c,)


@cell
def minlstm(x, h):
    """The minimal LSTM: gates of the input alone, scaled to sum to 1, and a linear candidate.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, Were RNNs all we needed?, arXiv
    2410.01201, 2024.
    """
    f = sigmoid(affine(x))
    i = sigmoid(affine(x))
    g = affine(x)
    h = f / (f + i) * h + i / (f + i) * g
    return h


@cell
def mingru(x, h):
    """The minimal GRU: one gate of the input alone, and a linear candidate.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, Were RNNs all we needed?, arXiv
    2410.01201, 2024.
    """
    z = sigmoid(affine(x))
    n = affine(x)
    h = (1 - z) * h + z * n
    return h
