"""The simple recurrent network."""

from ..graph import cell
from ..graph.language import affine, relu, tanh
from .options import one_of

_SQUASHING = {"tanh": tanh, "relu": relu}


@cell
def rnn(x, h, *, nonlinearity="tanh"):
    """The Elman network: one layer that sees its own last output; torch's `nn.RNN`.

    Source: J. L. Elman, Finding structure in time, Cognitive Science 14, 1990.
    """
    one_of("nonlinearity", nonlinearity, _SQUASHING)
    squash = _SQUASHING[nonlinearity]
    h = squash(affine(x, h))
    return h
