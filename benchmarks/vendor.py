"""What the layers cost over torch's own modules, and the reference over a loop written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gatewright as gw

from .timing import Row

PROMISED = 1.03
"""At T=100 B=32 H=128 a drop-in may take this much of torch's time."""

Pair = tuple[Callable[[], object], Callable[[], object]]


def rows() -> Iterator[Row]:
    """All comparisons of this file."""
    large, small, single = {"T": 100, "B": 32, "H": 128}, {"T": 100, "B": 1, "H": 64}, {"T": 1, "B": 1, "H": 64}
    for shape, limit in ((large, PROMISED), (small, None), (single, None)):
        for kind in ("LSTM", "GRU", "RNN"):
            for training in (False, True):
                yield _row(f"gw.{kind} / nn.{kind}", _drop_in, kind, shape=shape, training=training, limit=limit)
    for kind in ("LSTM", "GRU"):
        yield _row(f"gw.{kind}(lengths=) / packing", _lengths, kind, shape=large, training=True)
        yield _row(f"gw.{kind}Cell / nn.{kind}Cell", _cell, kind, shape={"B": 1, "H": 64}, training=False)
    for shape in ({"T": 100, "B": 32, "H": 64}, {"T": 100, "B": 1, "H": 64}):
        for training in (False, True):
            yield _row("peephole LSTM: reference / loop by hand", _reference, shape=shape, training=training)


def _row(name: str, make: Callable[..., Pair], *args, shape: dict[str, int], training: bool, limit=None) -> Row:
    kind = "forward + backward" if training else "inference"
    return Row(f"{name}, {kind}", shape, "float32", lambda: make(*args, shape, training), limit)


def _run(call: Callable[[], Tensor], training: bool) -> Callable[[], object]:
    """The forward pass without gradients, or both passes."""

    def inference():
        with torch.no_grad():
            call()

    return (lambda: call().sum().backward()) if training else inference


def _modules(kind: str, hidden: int) -> tuple[nn.Module, nn.Module]:
    """Ours and theirs with the very same weights: where they lie in memory is worth a percent or two."""
    theirs = getattr(nn, kind)(hidden, hidden)
    return gw.replace(theirs), theirs


def _drop_in(kind: str, shape: dict[str, int], training: bool) -> Pair:
    ours, theirs = _modules(kind, shape["H"])
    x = torch.randn(shape["T"], shape["B"], shape["H"])
    return _run(lambda: ours(x)[0], training), _run(lambda: theirs(x)[0], training)


def _lengths(kind: str, shape: dict[str, int], training: bool) -> Pair:
    ours, theirs = _modules(kind, shape["H"])
    x = torch.randn(shape["T"], shape["B"], shape["H"])
    lengths = torch.randint(1, shape["T"] + 1, (shape["B"],))

    def packed() -> Tensor:
        y, _ = theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y, total_length=shape["T"])[0]

    return _run(lambda: ours(x, lengths=lengths)[0], training), _run(packed, training)


def _cell(kind: str, shape: dict[str, int], training: bool) -> Pair:
    theirs, ours = (getattr(library, f"{kind}Cell")(shape["H"], shape["H"]) for library in (nn, gw))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape["B"], shape["H"])
    return _run(lambda: ours(x)[0], training), _run(lambda: theirs(x)[0], training)


def _reference(shape: dict[str, int], training: bool) -> Pair:
    layer = gw.Recurrent("peephole_lstm", shape["H"], shape["H"], backend="reference")
    x = torch.randn(shape["T"], shape["B"], shape["H"])
    w, u, b, p = (layer.get_parameter(f"{kind}_l0") for kind in "WUbp")

    def by_hand() -> Tensor:
        """As one would write it: one product for all gates, those with x before the loop."""
        h = c = x.new_zeros(shape["B"], shape["H"])
        p_i, p_f, p_o = p.chunk(3)
        outputs = []
        for from_x in x @ w.T + b:
            i, f, g, o = (from_x + h @ u.T).chunk(4, -1)
            i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs)

    torch.testing.assert_close(layer(x)[0], by_hand())
    return _run(lambda: layer(x)[0], training), _run(by_hand, training)
