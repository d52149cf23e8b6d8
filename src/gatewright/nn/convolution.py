"""Recurrent layers whose products are convolutions: ConvLSTM, and any other cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..backends.piecewise import Piecewise
from ..graph import Cell, Graph, Node
from ..graph.node import node, topological
from . import arguments, init
from .call import State, one_or_all
from .carrying import running
from .choice import Choice
from .convolution_call import BACKENDS, call_of, choose, inputs_of
from .convolution_layout import Kernels, check_settings, convolution_layers
from .convolution_walk import run
from .initial import stand_in
from .recurrent import named
from .rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Size = int | tuple[int, ...]


class ConvRecurrent(Rows, nn.Module):
    """Layers of any cell whose matrix products are convolutions over frames of 1, 2 or 3 dimensions.

    The equations stay as they are: every matrix W or U is the kernel of a convolution that keeps a frame's size, a bias
    or a gain is one number for each channel, and a layer norm is over the channels of each pixel. With
    `"peephole_lstm"` that is the ConvLSTM of its paper, with `"gru"` the ConvGRU.

    Args:
        cell: a `gw.Cell`, or a name of `gw.cells`.
        in_channels: channels of the input; for a cell with several inputs a tuple.
        hidden_channels: channels of a state, the width H.
        kernel_size: taps of the kernels in each dimension of a frame: a number, or one for each dimension.
        num_layers: layers on top of each other.
        dims: how many dimensions a frame has: 1, 2 or 3.
        recurrent_kernel_size: the same for the matrices U; default `kernel_size`.
        dilation: the distance between a kernel's taps, in pixels.
        padding_mode: what lies around a frame and around a state: "zeros", "circular", "reflect" or "replicate".
        peephole_size: the size of all frames, for diagonals (p ⊙ c) with a number for each channel and pixel as in the
            paper; default None: one number for each channel, and frames of any size.
        bias: False leaves every bias out.
        batch_first: inputs and outputs are (B, T, …) rather than (T, B, …).
        dropout: probability between layers, in training.
        bidirectional: a second direction runs from each sequence's end to its start; outputs are side by side, as
            channels.
        backend: "auto" takes the fastest; "cpu": native convolutions, and the equations' rest by kernels that are
            compiled from them; "torch": all gates' convolutions at once and that rest by torch's operations, on any
            device; "reference": the equations, product by product.
        sizes: the sizes of the cell's own widths: `sizes={"P": 32}`.
        dtype, device: of the weights; default torch's.

    Shapes: input (T, B, C, *space), output (T, B, directions · its channels, *space), each state (layers · directions,
    B, its channels, *space); what comes out has its channels last in memory. Weights are stacked by kind, `W_l0`
    (rows, C, *kernel), `U_l0`, `b_l0`, `p_l0`, and begin as those of `gw.Recurrent`.

    Raises:
        CellError: an unknown cell, or widths that do not fit; the message names the equations.
        ValueError, TypeError: another argument is wrong.

    Source: X. Shi, Z. Chen, H. Wang, D.-Y. Yeung, W.-K. Wong and W.-C. Woo, Convolutional LSTM network: a machine
    learning approach for precipitation nowcasting, 2015; N. Ballas, L. Yao, C. Pal and A. Courville, Delving deeper
    into convolutional networks for learning video representations, 2016 (the GRU).

    >>> import gatewright as gw, torch
    >>> layer = gw.ConvRecurrent("peephole_lstm", in_channels=1, hidden_channels=4, kernel_size=3)
    >>> y, (h, c) = layer(torch.zeros(7, 2, 1, 8, 8))
    >>> y.shape, c.shape, layer.weights()["U_f"].shape
    (torch.Size([7, 2, 4, 8, 8]), torch.Size([1, 2, 4, 8, 8]), torch.Size([4, 4, 3, 3]))
    """

    def __init__(
        self,
        cell: Cell | str,
        in_channels: int | tuple[int, ...],
        hidden_channels: int,
        kernel_size: Size,
        num_layers: int = 1,
        *,
        dims: int = 2,
        recurrent_kernel_size: Size | None = None,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        peephole_size: Size | None = None,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backend: str = "auto",
        sizes: Mapping[str, int] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        self.cell = named(cell)
        check_settings(num_layers, dropout, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        if backend not in BACKENDS:
            raise arguments.wrong("backend", f"one of {', '.join(BACKENDS)}", repr(backend))
        self.kernels = Kernels.made(dims, kernel_size, recurrent_kernel_size, dilation, padding_mode, peephole_size)
        self.in_channels, self.hidden_channels, self.num_layers = in_channels, hidden_channels, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.backend, self._sizes = float(dropout), backend, arguments.check_sizes(sizes)
        self._graph = self.cell.graph if bias else self.cell.graph.without_bias()
        self._layers = convolution_layers(self._graph, self, self._sizes)
        for k, layer in enumerate(self._layers):
            for suffix in self._suffixes:
                for stored in layer.layout.stored:
                    weight = arguments.weight(stored.shape, dtype, device)
                    self.register_parameter(f"{stored.name}_l{k}{suffix}", weight)
        stand_in(self, dtype, device)
        self._solve_once()
        self.reset_parameters()

    def _solve_once(self) -> None:
        """What no call changes."""
        sizes = self._layers[0].sizes
        self.directions = len(self._suffixes)
        self.state_channels: dict[str, int] = {s.name: sizes.of_state(s.name) for s in self._graph.states}
        self.initial = {s.name: float(s.initial) for s in self._graph.states if not isinstance(s.initial, Node)}
        self.output_channels: int = sizes.of(self._graph.output) * self.directions
        back = {(n.args[0].attr, n.attr) for n in topological(self._graph.results) if n.op == "previous"}
        self.looks_back: tuple[tuple[str, int], ...] = tuple(sorted(back))
        seen = [node("input", attr=name) for name in self.cell.inputs if any(name == n for n, _ in back)]
        carries = bool(back) and not self.bidirectional
        self.lookback = max(k for _, k in back) if carries else 0
        self.channels_back = [sum(layer.sizes.of(n) for n in seen) for layer in self._layers] if carries else []
        maps = frozenset(p.attr.name for p in self._graph.params if p.attr.kind == "p" and self.kernels.peephole_size)
        joined = self.kernels.kernel_size == self.kernels.recurrent_kernel_size
        self.piecewise = [
            Piecewise(self._graph, {s.name: s.rows for s in layer.layout.stored}, layer.sizes, maps, joined=joined)
            for layer in self._layers
        ]

    def reset_parameters(self) -> None:
        """Draw new weights: Glorot, orthogonal, and biases that keep states."""
        for k in range(self.num_layers):
            for reverse in (False, True)[: self.directions]:
                init.default(self._graph, self.weights(k, reverse))

    # -- what it is ------------------------------------------------------------------------------

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def equations(self) -> Graph:
        """The layer's equations: the cell's, without biases where the layer has none."""
        return self._graph

    def stored_weights(self, k: int, d: int) -> dict[str, Tensor]:
        """The stored tensors of one layer and direction, by their names without either."""
        suffix = self._suffixes[d]
        return {s.name: getattr(self, f"{s.name}_l{k}{suffix}") for s in self._layers[k].layout.stored}

    def weights(self, layer: int = 0, reverse: bool = False, grad: bool = False) -> dict[str, Tensor]:
        """Live views of the weights of one layer and direction, by the equations' names.

        Writing into a view (under `torch.no_grad()`) writes into the layer.

        Args:
            layer: from 0.
            reverse: of the reverse direction.
            grad: views of the gradients instead; empty before there are any.
        """
        arguments.check_place(self.num_layers, self.directions, layer, reverse, grad)
        tensors = self.stored_weights(layer, int(reverse))
        if not grad:
            return self._layers[layer].layout.views(tensors)
        found = {name: t.grad for name, t in tensors.items() if t.grad is not None}
        return self._layers[layer].layout.views(found) if len(found) == len(tensors) else {}

    def extra_repr(self) -> str:
        kernels = self.kernels
        parts = [f"{self.cell.name}, {self.in_channels}, {self.hidden_channels}, kernel_size={kernels.kernel_size}"]
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        parts += [f"{k}={getattr(self, k)!r}" for k, usual in shown.items() if getattr(self, k) != usual]
        parts += kernels.unusual()
        parts += [f"backend={self.backend!r}"] if self.backend != "auto" else []
        parts += [f"sizes={self._sizes}"] if self._sizes else []
        return ", ".join(parts)

    # -- calling it --------------------------------------------------------------------------------

    def backend_for(self, input: Tensor | tuple[Tensor, ...]) -> Choice:
        """What will run on this input, and why: `print(layer.backend_for(x))`."""
        inputs_of(self, input)
        return choose(self)

    def forward(
        self,
        input: Float[Tensor, "T B C *space"] | tuple[Tensor, ...],
        hx: State | None = None,
        *,
        lengths: Int[Tensor, " B"] | Sequence[int] | None = None,
        reset: Bool[Tensor, "T B"] | None = None,
        states: str | None = None,
    ) -> tuple[Tensor, State]:
        """Run over sequences of frames: (output, final state).

        Args:
            input: (T, B, C, *space); (B, T, C, *space) with `batch_first`; (T, C, *space) for one sequence. For a cell
                with several inputs a tuple with one for each; a further one may be (B, C, *space), the same at every
                step, or (B, C), the same at every pixel too.
            hx: the state before the first step, each (layers · directions, B, its channels, *space): a tensor where the
                cell has one state, else a tuple in the cell's order; default the cell's initial values. Of a cell that
                looks at previous inputs, the state goes on with those inputs, (K, B, C, *space) for each layer.
            lengths: (B,), each sequence's number of valid steps, in any order, 0 allowed. Behind its end the output
                is 0 and the state stays.
            reset: boolean, laid out like the input's time and batch: True where a new episode starts.
            states: "all" returns every state at every step in place of the final one, with a time axis behind the
                first: (layers · directions, T, B, its channels, *space).

        Raises:
            ValueError, TypeError: an argument is wrong; the message names it, what was expected and what to do.
        """
        if not torch.compiler.is_compiling() and (stream := running.stream) is not None:
            return stream.forward(self, input, hx, lengths=lengths, reset=reset, states=states)
        inputs, batched = inputs_of(self, input)
        call = call_of(self, inputs, hx, lengths, reset, states, batched=batched)
        output, final = run(self, call, choose(self).name)
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            final = tuple(s.squeeze((1 if self.batch_first else 2) if call.every else 1) for s in final)
        return output, one_or_all(final)

    def step(self, input: Tensor | tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
        """One step: (output, new state); input is (B, C, *space), or (C, *space) for one sequence.

        The state is that of `forward`, so what was seen as a sequence can be continued frame by frame.

        >>> import gatewright as gw, torch
        >>> layer = gw.ConvRecurrent("gru", 2, 3, kernel_size=3, dims=1)
        >>> y, state = layer.step(torch.zeros(2, 2, 10))
        >>> y, state = layer.step(torch.zeros(2, 2, 10), state)
        >>> y.shape, state.shape
        (torch.Size([2, 3, 10]), torch.Size([1, 2, 3, 10]))
        """
        if self.bidirectional:
            raise ValueError("step: a layer with two directions sees a sequence's end first; call it on sequences")
        first, *others = (input if isinstance(input, tuple | list) else (input,)) or (None,)
        first = arguments.check_tensor("input", first)
        time = 1 if self.batch_first and first.dim() == self.kernels.dims + 2 else 0
        output, new = self(one_or_all((first.unsqueeze(time), *others)), state)
        return output.squeeze(time), new
