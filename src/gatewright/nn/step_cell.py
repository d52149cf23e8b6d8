"""`gw.LSTMCell`, `gw.GRUCell` and `gw.RNNCell`: one step as a module, torch's by signature and `state_dict`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..backends import vendor
from ..backends.cpu import op
from ..backends.padding import Sequences
from ..backends.reference import prepared
from ..cells import zoo
from ..graph import Cell
from ..graph.cell import width_sizes
from . import arguments, by_operator, init
from .by_kernel import program_for
from .call import BACKENDS, one_or_all
from .choice import kernels_refuse
from .layout import layout


class _StepCell(nn.Module):
    """One step of a cell that is torch's."""

    weight_ih: Tensor

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, bias: bool, device, dtype, backend: str):
        super().__init__()
        arguments.check_size("input_size", input_size)
        arguments.check_size("hidden_size", hidden_size)
        arguments.check_flag("bias", bias)
        if backend not in BACKENDS:
            raise arguments.wrong("backend", f"one of {', '.join(BACKENDS)}", repr(backend))
        self.cell, self.backend = cell, backend
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._graph = cell.graph if bias else cell.graph.without_bias()
        self._layout = layout(
            self._graph, self._graph.sizes(width_sizes(self._graph, input_size, hidden_size)), bias=bias
        )
        self._program = program_for(self._graph, self._layout)
        for stored in self._layout.stored:
            self.register_parameter(stored.name, arguments.weight(stored.shape, dtype, device))
        if not bias:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights as torch does: U(−1/√H, 1/√H)."""
        init.like_torch(dict(self.named_parameters()), self.hidden_size)

    def weights(self) -> dict[str, Tensor]:
        """Live views of the weights by the equations' names."""
        return self._layout.views(self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        return {stored.name: getattr(self, stored.name) for stored in self._layout.stored}

    def forward(self, input: Tensor, hx: Tensor | tuple[Tensor, ...] | None = None):
        """One step: input (B, I) or (I,), each state (B, H) or (H,); gives the new state."""
        weight = self.weight_ih
        arguments.check_input(input, "input", self.input_size, weight.dtype, weight.device, dims=(1, 2))
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        states = self._states(hx, x, batched)
        run = {"cpu": self._by_kernel, "reference": self._by_reference, "vendor": self._by_vendor}[self._chosen(x)]
        found = run(x, states)
        found = found if batched else tuple(s.squeeze(0) for s in found)
        return one_or_all(found)

    def _states(self, hx, x: Tensor, batched: bool) -> tuple[Tensor, ...]:
        names = tuple(s.name for s in self._graph.states)
        if hx is None:
            return tuple(x.new_zeros(x.shape[0], self.hidden_size) for _ in names)
        shape = (x.shape[0], self.hidden_size) if batched else (self.hidden_size,)
        given = arguments.check_states(hx, names, [shape] * len(names), x)
        return given if batched else tuple(s.unsqueeze(0) for s in given)

    def _chosen(self, x: Tensor) -> str:
        """Which backend runs; raises where the kernels were asked for and cannot."""
        if self.backend == "auto":
            return "reference" if vendor.refuses(x) else "vendor"
        if self.backend == "cpu" and (why_not := kernels_refuse(self.weight_ih)):
            raise arguments.wrong("backend", "a cell that the CPU's kernels know", why_not)
        return self.backend

    def _by_kernel(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        dtype = self.weight_ih.dtype  # under autocast the input may have another
        weights = tuple(self._tensors().values())
        began = tuple(s.to(dtype) for s in states)
        return op.run(self._program, (x.to(dtype).unsqueeze(0),), weights, began)[1]

    def _by_reference(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if torch.compiler.is_dynamo_compiling():
            return by_operator.run(self._program, (x.unsqueeze(0),), tuple(self._tensors().values()), states)[1]
        weights = self._layout.weights(self._tensors())
        _, final, _ = prepared(self._graph).run(weights, Sequences((x.unsqueeze(0),), {}), states, states)
        return tuple(final)

    def _by_vendor(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        assert self._layout.form is not None
        weights = list(self._tensors().values()) + ([] if self.bias else [None, None])
        hidden = one_or_all(states)
        found = vendor.STEPS[self._layout.form.mode](x, hidden, *weights)
        return found if isinstance(found, tuple) else (found,)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class LSTMCell(_StepCell):
    """`torch.nn.LSTMCell`: (h, c) = cell(x, (h, c)).

    >>> import gatewright as gw, torch
    >>> h, c = gw.LSTMCell(3, 5)(torch.zeros(2, 3))
    >>> h.shape
    torch.Size([2, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None, *, backend="auto"
    ):
        super().__init__(zoo.lstm, input_size, hidden_size, bias, device, dtype, backend)


class GRUCell(_StepCell):
    """`torch.nn.GRUCell`: h = cell(x, h)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None, *, backend="auto"
    ):
        super().__init__(zoo.gru, input_size, hidden_size, bias, device, dtype, backend)


class RNNCell(_StepCell):
    """`torch.nn.RNNCell`: h = cell(x, h), with tanh or relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device=None,
        dtype=None,
        *,
        backend="auto",
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise arguments.wrong("nonlinearity", "'tanh' or 'relu'", repr(nonlinearity))
        self.nonlinearity = nonlinearity
        cell = zoo.rnn.with_(nonlinearity=nonlinearity)
        super().__init__(cell, input_size, hidden_size, bias, device, dtype, backend)
