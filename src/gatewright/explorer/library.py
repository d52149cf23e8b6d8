"""The cells of the library that the page offers, to train and to begin from."""

from __future__ import annotations

from typing import TypedDict

from ..cells import zoo

FIRST = ("rnn", "lstm", "gru")
_WORDS = {"peephole", "layer", "norm", "original"}


class Offered(TypedDict):
    """A cell by the name that `gw.cells` knows it by."""

    name: str
    title: str
    equations: str


def title(name: str) -> str:
    """`peephole_lstm` as people write it.

    >>> title("peephole_lstm"), title("mingru"), title("gru_original"), title("lstm_1997")
    ('peephole LSTM', 'minGRU', 'GRU, original', 'LSTM 1997')
    """
    for family in ("gru", "lstm"):
        if name == f"min{family}":
            return f"min{family.upper()}"
    words = " ".join(word if word in _WORDS else word.upper() for word in name.split("_"))
    return words.replace(" original", ", original").replace("SLSTM", "sLSTM").replace("INDRNN", "IndRNN")


def offered() -> list[Offered]:
    """Those that take one input, the best known first."""
    names = [*FIRST, *(name for name in zoo if name not in FIRST and len(zoo[name].inputs) == 1)]
    return [Offered(name=name, title=title(name), equations=str(zoo[name])) for name in names]
