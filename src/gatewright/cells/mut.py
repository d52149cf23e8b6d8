"""The three cells that an evolutionary search over 10,000 found."""

from ..graph import cell
from ..graph.language import affine, sigmoid, tanh


@cell
def mut1(x, h):
    """MUT1 of the architecture search; x is as wide as h.

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, An empirical exploration of recurrent network architectures,
    ICML 2015.
    """
    z = sigmoid(affine(x))
    r = sigmoid(affine(x, h))
    n = tanh(affine(r * h) + tanh(x))
    h = n * z + h * (1 - z)
    return h


@cell
def mut2(x, h):
    """MUT2 of the architecture search; x is as wide as h.

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, An empirical exploration of recurrent network architectures,
    ICML 2015.
    """
    z = sigmoid(affine(x, h))
    r = sigmoid(x + affine(h))
    n = tanh(affine(r * h, x))
    h = n * z + h * (1 - z)
    return h


@cell
def mut3(x, h):
    """MUT3 of the architecture search.

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, An empirical exploration of recurrent network architectures,
    ICML 2015.
    """
    z = sigmoid(affine(x, tanh(h)))
    r = sigmoid(affine(x, h))
    n = tanh(affine(r * h, x))
    h = n * z + h * (1 - z)
    return h
