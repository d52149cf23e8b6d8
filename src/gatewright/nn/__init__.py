"""Cells as modules that drop into PyTorch."""

from . import constraints, convert, debug, init, penalties, sequences
from .constraints import constrain
from .convolution import ConvRecurrent
from .deep import Deep
from .drop_in import GRU, LSTM, RNN, replace
from .dropout import EmbeddingDropout, LockedDropout
from .ensemble import Ensemble
from .recurrent import Recurrent
from .saving import load, save
from .step_cell import GRUCell, LSTMCell, RNNCell
from .streaming import Stream
from .truncated import detach, truncated

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "ConvRecurrent",
    "Deep",
    "EmbeddingDropout",
    "Ensemble",
    "GRUCell",
    "LSTMCell",
    "LockedDropout",
    "RNNCell",
    "Recurrent",
    "Stream",
    "constrain",
    "constraints",
    "convert",
    "debug",
    "detach",
    "init",
    "load",
    "penalties",
    "replace",
    "save",
    "sequences",
    "truncated",
]
