"""The one file that knows in which order other libraries stack their gates, and where their biases go.

Gates bear our letters: i f g o are the LSTM's input gate, forget gate, block input and output gate; r z n the GRU's
reset gate, update gate and candidate; h the simple network's only one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GateOrder:
    """How a library stacks one kind of layer.

    gates: in its order. peepholes: the gates whose peephole weights it has, in its order. biases: 2 where one comes
    with the input and one with the state, 1 where one is for both.
    """

    gates: str
    peepholes: str = ""
    biases: int = 2


ONNX = {"LSTM": GateOrder("iofg", peepholes="iof"), "GRU": GateOrder("zrn"), "RNN": GateOrder("h")}
"""The operators of ONNX. W (D, gates · H, I) and R (D, gates · H, H); B (D, 2 · gates · H) holds all biases that come
with the input, then all that come with the state. A GRU's z keeps the old state: h = (1 − z) ⊙ n + z ⊙ h."""

KERAS = {
    "LSTM": GateOrder("ifgo", biases=1),
    "GRU": GateOrder("zrn"),
    "GRU, reset before": GateOrder("zrn", biases=1),
    "RNN": GateOrder("h", biases=1),
}
"""The cells of Keras 3. kernel (I, gates · H) and recurrent_kernel (H, gates · H); bias (gates · H,), of a GRU with
reset_after=True (2, gates · H): the input's above the state's. `unit_forget_bias` says how a bias begins and nothing
else. A GRU's z keeps the old state."""

FLAX = {"LSTM": GateOrder("ifgo", biases=1), "GRU": GateOrder("rzn", biases=1), "RNN": GateOrder("h", biases=1)}
"""The cells of Flax NNX. dense_i.kernel (I, gates · H) and dense_h.kernel (H, gates · H); one bias, the LSTM's with
dense_h, the others' with dense_i: a GRU has none inside the reset gate's product. LSTMCell, and the cells of Linen,
have a kernel for each gate: `ii`, `hi`, …. The carry of an LSTM is (c, h). A GRU's z keeps the old state."""
