"""Write the gates; get the network: recurrent cells as the equations of a paper."""

from .cells import zoo as cells
from .graph import Cell, CellError, NotationError, cell, parse
from .graph.language import (
    abs,
    affine,
    bias,
    constant,
    diagonal,
    exp,
    layer_norm,
    linear,
    log,
    max,
    maximum,
    mean,
    minimum,
    previous,
    relu,
    repeat,
    sigmoid,
    softplus,
    sqrt,
    stop_gradient,
    sum,
    tanh,
    where,
)
from .nn import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RNNCell, Stream, init, replace

# isort: split
from . import tasks  # it builds on all of the above

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "CellError",
    "GRUCell",
    "LSTMCell",
    "NotationError",
    "RNNCell",
    "Recurrent",
    "Stream",
    "abs",
    "affine",
    "bias",
    "cell",
    "cells",
    "constant",
    "diagonal",
    "exp",
    "init",
    "layer_norm",
    "linear",
    "log",
    "max",
    "maximum",
    "mean",
    "minimum",
    "parse",
    "previous",
    "relu",
    "repeat",
    "replace",
    "sigmoid",
    "softplus",
    "sqrt",
    "stop_gradient",
    "sum",
    "tanh",
    "tasks",
    "where",
]
