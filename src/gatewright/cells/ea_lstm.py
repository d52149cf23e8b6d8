"""The entity-aware LSTM of hydrology."""

from ..graph import cell
from ..graph.language import affine, sigmoid, tanh


@cell
def ea_lstm(x, static, /, h, c):
    """The entity-aware LSTM: the input gate sees what does not change (`static`), and nothing else.

    Source: F. Kratzert, D. Klotz, G. Shalev, G. Klambauer, S. Hochreiter and G. Nearing, Towards learning universal,
    regional, and local hydrological behaviors via machine learning applied to large-sample datasets, Hydrology and
    Earth System Sciences 23, 2019.
    """
    i = sigmoid(affine(static))
    f = sigmoid(affine(x, h))
    g = tanh(affine(x, h))
    o = sigmoid(affine(x, h))
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
