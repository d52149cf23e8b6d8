"""The LSTM as it is used today, with its projected and layer-normalised forms."""

from ..graph import cell
from ..graph.language import affine, bias, layer_norm, linear, sigmoid, tanh


@cell
def lstm(x, h, c):
    """The LSTM with forget gates and no peepholes; torch's `nn.LSTM`.

    Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9, 1997; the forget gate:
    F. A. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural Computation 12, 2000.
    """
    i = sigmoid(affine(x, h))
    f = sigmoid(affine(x, h))
    g = tanh(affine(x, h))
    o = sigmoid(affine(x, h))
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell
def lstmp(x, h, c):
    """The LSTM whose output is projected to P units; torch's `nn.LSTM(proj_size=P)`.

    Source: H. Sak, A. Senior and F. Beaufays, Long short-term memory based recurrent neural network architectures
    for large vocabulary speech recognition, arXiv 1402.1128, 2014.
    """
    i = sigmoid(affine(x, h))
    f = sigmoid(affine(x, h))
    g = tanh(affine(x, h))
    o = sigmoid(affine(x, h))
    c = f * c + i * g
    h = linear(o * tanh(c), width="P")
    return h, c


@cell
def layer_norm_lstm(x, h, c, *, joint=False):
    """The LSTM with layer normalisation: of each gate, or of all four together as in the paper (`joint=True`).

    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, Layer normalization, arXiv 1607.06450, 2016, equations 20-22.
    """
    if joint:
        from_x = layer_norm(*(linear(x, name=gate) for gate in "ifgo"))
        from_h = layer_norm(*(linear(h, name=gate) for gate in "ifgo"))
    else:
        from_x = [layer_norm(linear(x, name=gate)) for gate in "ifgo"]
        from_h = [layer_norm(linear(h, name=gate)) for gate in "ifgo"]
    i = sigmoid(from_x[0] + from_h[0] + bias())
    f = sigmoid(from_x[1] + from_h[1] + bias())
    g = tanh(from_x[2] + from_h[2] + bias())
    o = sigmoid(from_x[3] + from_h[3] + bias())
    c = f * c + i * g
    h = o * tanh(layer_norm(c) + bias())
    return h, c
