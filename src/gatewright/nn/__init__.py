"""Cells as modules that drop into PyTorch."""

from . import init
from .drop_in import GRU, LSTM, RNN, replace
from .recurrent import Recurrent
from .step_cell import GRUCell, LSTMCell, RNNCell
from .streaming import Stream

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Recurrent", "Stream", "init", "replace"]
