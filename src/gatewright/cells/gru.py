"""The gated recurrent unit, its two kinds, and what was made smaller from it."""

from ..graph import cell
from ..graph.language import affine, sigmoid, tanh


@cell
def gru(x, h):
    """The GRU that resets after the product; torch's `nn.GRU` and cuDNN's.

    Source: J. Chung, C. Gulcehre, K. Cho and Y. Bengio, Empirical evaluation of gated recurrent neural networks on
    sequence modeling, arXiv 1412.3555, 2014, in the form of cuDNN.
    """
    r = sigmoid(affine(x, h))
    z = sigmoid(affine(x, h))
    n = tanh(affine(x) + r * affine(h))
    h = (1 - z) * n + z * h
    return h


@cell
def gru_original(x, h):
    """The GRU that resets before the product, as it was first described.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder for statistical machine
    translation, EMNLP 2014 (arXiv 1406.1078).
    """
    r = sigmoid(affine(x, h))
    z = sigmoid(affine(x, h))
    n = tanh(affine(x, r * h))
    h = z * h + (1 - z) * n
    return h


@cell
def mgu(x, h):
    """The minimal gated unit: one gate both resets and updates.

    Source: G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, Minimal gated unit for recurrent neural networks,
    International Journal of Automation and Computing 13, 2016.
    """
    f = sigmoid(affine(x, h))
    n = tanh(affine(x, f * h))
    h = (1 - f) * h + f * n
    return h


@cell
def janet(x, h, *, beta=1.0):
    """Just another network: an LSTM with nothing but its forget gate; `beta` lets more in than is forgotten.

    Source: J. van der Westhuizen and J. Lasenby, The unreasonable effectiveness of the forget gate, arXiv
    1804.04849, 2018.
    """
    f_pre = affine(x, h, name="f")
    f = sigmoid(f_pre)
    g = tanh(affine(x, h))
    h = f * h + (1 - sigmoid(f_pre - beta)) * g
    return h
