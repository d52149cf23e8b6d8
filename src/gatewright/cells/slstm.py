"""The sLSTM of the xLSTM: exponential gates, a normaliser and a stabiliser."""

from math import inf

from ..graph import cell
from ..graph.language import affine, exp, maximum, sigmoid, softplus, tanh
from .options import one_of


@cell(initial={"m": -inf})
def slstm(x, h, c, n, m, *, forget="sigmoid"):
    """The sLSTM; `forget` is "sigmoid" or "exp". With `heads=k` on the layer its products are k blocks.

    m keeps the exponentials in range and cancels out of h. It starts at −∞: nothing has been let in yet.

    Source: M. Beck et al., xLSTM: extended long short-term memory, arXiv 2405.04517, 2024, equations 8-17.
    """
    one_of("forget", forget, ("sigmoid", "exp"))
    log_i = affine(x, h, name="i")
    f_pre = affine(x, h, name="f")
    log_f = f_pre if forget == "exp" else -softplus(-f_pre)
    m_old = m
    m = maximum(log_f + m_old, log_i)
    i = exp(log_i - m)
    f = exp(log_f + m_old - m)
    g = tanh(affine(x, h))
    o = sigmoid(affine(x, h))
    c = f * c + i * g
    n = f * n + i
    h = o * (c / n)
    return h, c, n, m
