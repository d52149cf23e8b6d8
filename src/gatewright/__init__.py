"""Write the gates; get the network."""

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
