"""What every recurrent layer is: a stack of layers and directions of one cell, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..backends import vendor
from ..backends.masks import in_order, reversed_in_time
from ..backends.reference import Reference
from ..graph import Cell, CellError, Graph, Sizes
from ..graph.cell import width_sizes
from ..graph.node import topological
from . import arguments
from .layout import Layout, layout
from .rows import Rows

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

BACKENDS = ("auto", "reference", "vendor")
State = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Choice:
    """Which backend will run, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@dataclass(frozen=True)
class Layer:
    """One layer of the stack: its widths as numbers, and how its parameters are stored."""

    sizes: Sizes
    layout: Layout


@dataclass(frozen=True)
class _Call:
    """One call's arguments, batched and checked; layouts as the user gave them."""

    inputs: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    lengths: Tensor | None
    reset: Tensor | None
    every: bool


class Stack(Rows, nn.Module):
    """The common part of all recurrent layers; use `Recurrent` or a drop-in.

    Subclasses say how weights begin (`reset_parameters`).
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int | tuple[int, ...],
        hidden_size: int,
        num_layers: int,
        *,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        backend: str,
        sizes: Mapping[str, int] | None,
        heads: int,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ):
        super().__init__()
        _check_settings(num_layers, dropout, backend, heads)
        self.cell, self.heads, self.backend = cell, heads, backend
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout = float(dropout)
        self._graph = cell.graph if bias else cell.graph.without_bias()
        self._layers = _solve(self._graph, self, dict(sizes or {}))
        for k, layer in enumerate(self._layers):
            for suffix in self._suffixes:
                for stored in layer.layout.stored:
                    weight = torch.empty(stored.shape, dtype=dtype, device=device)
                    self.register_parameter(f"{stored.name}_l{k}{suffix}", nn.Parameter(weight))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        raise NotImplementedError

    # -- what it is ------------------------------------------------------------------------------

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def output_size(self) -> int:
        """The width of the output's last dimension: both directions, side by side."""
        return self._width_of_output * len(self._suffixes)

    @cached_property
    def _width_of_output(self) -> int:
        return self._layers[0].sizes.of(self._graph.output)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The width of each state, by name."""
        return dict(self._state_sizes)

    @cached_property
    def _state_sizes(self) -> dict[str, int]:
        """Solved once: widths are exact fractions, and a call should cost microseconds."""
        return {s.name: self._layers[0].sizes.of_state(s.name) for s in self._graph.states}

    def _tensors(self, k: int, suffix: str) -> dict[str, Tensor]:
        return {s.name: getattr(self, f"{s.name}_l{k}{suffix}") for s in self._layers[k].layout.stored}

    def weights(self, layer: int = 0, reverse: bool = False, grad: bool = False) -> dict[str, Tensor]:
        """Live views of the weights of one layer and direction, by the equations' names.

        Writing into a view (under `torch.no_grad()`) writes into the layer. Where the layer is stored as torch
        stores it, a bias is the sum of two: `b_i` is `b_i_x` + `b_i_h`.

        Args:
            layer: from 0.
            reverse: of the reverse direction.
            grad: views of the gradients instead; empty before there are any.

        >>> import gatewright as gw
        >>> layer = gw.Recurrent("peephole_lstm", 3, 5)
        >>> layer.weights()["U_f"].shape
        torch.Size([5, 5])
        """
        if not 0 <= layer < self.num_layers:
            raise arguments.wrong("layer", f"0 to {self.num_layers - 1}", layer)
        if reverse and not self.bidirectional:
            raise arguments.wrong("reverse", "False", True, "this layer has one direction")
        tensors = self._tensors(layer, "_reverse" if reverse else "")
        if not grad:
            return self._layers[layer].layout.views(tensors)
        found = {name: t.grad for name, t in tensors.items() if t.grad is not None}
        return self._layers[layer].layout.views(found) if len(found) == len(tensors) else {}

    def extra_repr(self) -> str:
        parts = [f"{self.cell.name}, {self.input_size}, {self.hidden_size}"]
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        shown |= {"heads": 1, "backend": "auto"}
        parts += [f"{k}={getattr(self, k)!r}" for k, usual in shown.items() if getattr(self, k) != usual]
        return ", ".join(parts)

    # -- which backend -----------------------------------------------------------------------------

    def backend_for(
        self,
        input: Tensor | PackedSequence | tuple[Tensor, ...],
        *,
        reset: Tensor | None = None,
        states: str | None = None,
    ) -> Choice:
        """What will run on this input, and why: `print(layer.backend_for(x))`."""
        first = input.data if isinstance(input, PackedSequence) else input
        first = first[0] if isinstance(first, tuple) else first
        why_not = self._vendor_refuses(first, reset is not None, states is not None)
        if self.backend == "reference":
            return Choice("reference", "backend='reference' was asked for")
        if self.backend == "vendor" and why_not:
            raise arguments.wrong("backend", "a cell and a call that the vendor's kernel knows", why_not)
        if why_not:
            return Choice("reference", why_not)
        form = self._layers[0].layout.form
        assert form is not None
        return Choice("vendor", f"the equations are torch's {vendor.NAMES[form.mode]}, and its kernel is fast")

    def _vendor_refuses(self, x: Tensor, reset: bool, every: bool) -> str | None:
        if self._layers[0].layout.form is None:
            return f"the equations of {self.cell.name} are none of torch's LSTM, GRU and RNN"
        if self._projects_in_place:
            return "torch's kernel takes a projection to as many units for none"
        if reset:
            return "torch's kernels know no resets"
        if every:
            return "torch's kernels do not give every state"
        if x.numel() == 0:
            return "torch's kernels refuse an empty input"
        return vendor.refuses(x)

    @cached_property
    def _projects_in_place(self) -> bool:
        """Whether the output is a projection that is as wide as what it projects; torch tells them by width."""
        form, sizes = self._layers[0].layout.form, set(self._state_sizes.values())
        return form is not None and form.projection is not None and len(sizes) == 1

    # -- calling it --------------------------------------------------------------------------------

    def forward(
        self,
        input: Float[Tensor, "T B I"] | PackedSequence | tuple[Tensor, ...],
        hx: State | None = None,
        *,
        lengths: Int[Tensor, " B"] | Sequence[int] | None = None,
        reset: Bool[Tensor, "T B"] | None = None,
        states: str | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run over sequences: (output, final state).

        Args:
            input: (T, B, I); (B, T, I) with `batch_first`; (T, I) for one sequence; or a PackedSequence. For a cell
                with several inputs a tuple with one for each; a further one may be (B, features), the same at
                every step.
            hx: the state before the first step, each (layers · directions, B, its width): a tensor where the cell
                has one state, else a tuple in the cell's order; default the cell's initial values.
            lengths: (B,), each sequence's number of valid steps, in any order, 0 allowed. Behind its end the output
                is 0 and the state stays.
            reset: boolean, laid out like the input's time and batch: True where a new episode starts.
            states: "all" returns every state at every step in place of the final one, with a time axis behind the
                first: (layers · directions, T, B, width).

        Raises:
            ValueError, TypeError: an argument is wrong; the message names it, what was expected and what to do.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, lengths, reset, states)
        inputs, batched = self._inputs(input)
        call = self._checked(inputs, hx, lengths, reset, states, batched)
        choice = self.backend_for(inputs[0], reset=reset, states=states)
        run = self._run_vendor if choice.name == "vendor" else self._run_reference
        output, final = run(call)
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            final = tuple(s.squeeze((1 if self.batch_first else 2) if call.every else 1) for s in final)
        return output, one_or_all(final)

    def step(self, input: Tensor | tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
        """One step: (output, new state); input is (B, I), or (I,) for one sequence.

        For a cell that looks at previous inputs, the state has one more part at its end: those inputs.

        >>> import gatewright as gw, torch
        >>> layer = gw.GRU(3, 5)
        >>> y, state = layer.step(torch.zeros(2, 3))
        >>> y, state = layer.step(torch.zeros(2, 3), state)
        >>> y.shape, state.shape
        (torch.Size([2, 5]), torch.Size([1, 2, 5]))
        """
        if self.bidirectional:
            raise ValueError("step: a layer with two directions sees a sequence's end first; call it on sequences")
        if self._looks_back:
            return self._step_with_history(input, state)
        inputs = tuple(input) if isinstance(input, tuple | list) else (input,)
        self._check_step(inputs)
        time = 1 if self.batch_first and inputs[0].dim() > 1 else 0
        output, new = self(one_or_all(tuple(x.unsqueeze(time) for x in inputs)), state)
        return output.squeeze(time), new

    def _check_step(self, inputs: tuple[Tensor, ...]) -> None:
        self._check_features(inputs, dims=(1, 2))
        if any(x.dim() != inputs[0].dim() for x in inputs):
            shapes = [tuple(x.shape) for x in inputs]
            raise arguments.wrong("input", "every input (B, features), or every one (features,)", f"shapes {shapes}")

    # -- arguments -----------------------------------------------------------------------------------

    def _inputs(self, given: Tensor | tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], bool]:
        """The inputs with a batch axis, and whether they had one."""
        names = self._graph.inputs
        inputs = tuple(given) if isinstance(given, tuple | list) else (given,)
        self._check_features(inputs, dims=(2, 3))
        batched = inputs[0].dim() == 3
        if not batched:
            axis = 0 if self.batch_first else 1
            inputs = tuple(x.unsqueeze(0 if x.dim() == 1 else axis) for x in inputs)
        first = inputs[0]
        time = 1 if self.batch_first else 0
        batch = first.shape[0 if self.batch_first else 1]
        steady = []
        for x, name in zip(inputs[1:], names[1:], strict=True):
            shape = tuple(first.shape[:2]) if x.dim() == 3 else (batch,)
            if tuple(x.shape[:-1]) != shape:
                where = "time and batch" if x.dim() == 3 else "a batch of"
                raise arguments.wrong(f"input {name}", f"{where} {shape}", f"shape {tuple(x.shape)}")
            steady.append(x if x.dim() == 3 else x.unsqueeze(time).expand(*first.shape[:2], -1))
        return (first, *steady), batched

    def _check_features(self, inputs: tuple[Tensor, ...], *, dims: tuple[int, ...]) -> None:
        """There is a tensor for each of the cell's inputs, of its size; `dims` are the first one's."""
        names = self._graph.inputs
        if len(inputs) != len(names):
            listed = ", ".join(names)
            raise arguments.wrong("input", f"a tuple of {len(names)} tensors ({listed})", f"{len(inputs)}")
        weight = next(iter(self._parameters.values()), None)
        weight = next(self.parameters()) if weight is None else weight  # where parametrisations hold all of them
        for i, (x, name, size) in enumerate(zip(inputs, names, self._input_sizes, strict=True)):
            label = "input" if i == 0 else f"input {name}"
            arguments.check_input(x, label, size, weight.dtype, weight.device, dims=(1, 2, 3) if i else dims)

    @property
    def _input_sizes(self) -> tuple[int, ...]:
        return self.input_size if isinstance(self.input_size, tuple) else (self.input_size,)

    def _checked(self, inputs, hx, lengths, reset, states, batched: bool) -> _Call:
        shape = inputs[0].shape[:2]
        steps, batch = (shape[1], shape[0]) if self.batch_first else shape
        device = inputs[0].device
        if lengths is not None:
            lengths = arguments.check_lengths(lengths, batch, steps, device)
        if reset is not None:
            reset = arguments.check_reset(reset, tuple(shape) if batched else (steps,), device)
            reset = reset if batched else reset.unsqueeze(0 if self.batch_first else 1)
        if states not in (None, "all"):
            raise arguments.wrong("states", "None or 'all'", repr(states))
        return _Call(inputs, self._began(hx, inputs[0], batch, batched), lengths, reset, states == "all")

    def _began(self, hx: State | None, like: Tensor, batch: int, batched: bool) -> tuple[Tensor, ...]:
        layers = self.num_layers * len(self._suffixes)
        sizes = self._state_sizes
        if hx is None:
            return tuple(like.new_full((layers, batch, sizes[s.name]), s.initial) for s in self._graph.states)
        shapes = [(layers, batch, size) if batched else (layers, size) for size in sizes.values()]
        given = arguments.check_states(hx, tuple(sizes), shapes, like)
        return given if batched else tuple(s.unsqueeze(1) for s in given)

    # -- the vendor's kernel ---------------------------------------------------------------------------

    @cached_property
    def _stored_names(self) -> tuple[str, ...]:
        """The names of all weights, in torch's order."""
        return tuple(self._stored())

    def _vendor_call(self) -> tuple[vendor.Call, list[Tensor]]:
        form = self._layers[0].layout.form
        assert form is not None
        weights = [getattr(self, name) for name in self._stored_names]
        call = vendor.Call(
            form.mode,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
        )
        return call, weights

    def _run_vendor(self, call: _Call) -> tuple[Tensor, tuple[Tensor, ...]]:
        how, weights = self._vendor_call()
        (x,) = call.inputs
        if call.lengths is not None:
            if not bool(call.lengths.any()):
                return self._run_reference(call)  # torch has no kernel for no steps at all; derivatives are still 0
            return vendor.run_lengths(how, weights, x, call.states, call.lengths)
        y, final = vendor.run(how, weights, x, call.states)
        assert isinstance(y, Tensor)
        return y, final

    # -- the reference -----------------------------------------------------------------------------------

    @cached_property
    def _looks_back(self) -> tuple[tuple[str, int], ...]:
        """The (input, k) of every `previous`."""
        found = [(n.args[0].attr, n.attr) for n in topological(self._graph.results) if n.op == "previous"]
        return tuple(sorted(found))

    def _run_reference(self, call: _Call) -> tuple[Tensor, tuple[Tensor, ...]]:
        time_major = [x.transpose(0, 1) if self.batch_first else x for x in call.inputs]
        reset = call.reset.transpose(0, 1) if call.reset is not None and self.batch_first else call.reset
        x, *others = time_major
        finals: list[list[Tensor]] = [[] for _ in self._graph.states]
        for k in range(self.num_layers):
            if k > 0 and self.dropout:
                x = dropout(x, self.dropout, self.training)
            both = []
            for d, suffix in enumerate(self._suffixes):
                at = k * len(self._suffixes) + d
                began = tuple(s[at] for s in call.states)
                y, states = self._direction(k, suffix, (x, *others), began, call.lengths, reset, call.every)
                both.append(y)
                for found, state in zip(finals, states, strict=True):
                    found.append(state)
            x = torch.cat(both, -1) if len(both) > 1 else both[0]
        final = tuple(torch.stack(found) for found in finals)
        if not self.batch_first:
            return x, final
        return x.transpose(0, 1), tuple(s.transpose(1, 2) for s in final) if call.every else final

    def _direction(
        self,
        k: int,
        suffix: str,
        inputs: tuple[Tensor, ...],
        began: tuple[Tensor, ...],
        lengths: Tensor | None,
        reset: Tensor | None,
        every: bool,
        seen: Mapping[tuple[str, int], Tensor] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """One layer in one direction: (outputs, final states, or all states where `every`).

        `seen` has what `previous` looks back at, where a single step is run.
        """
        layer, names = self._layers[k], [s.name for s in self._graph.states]
        sequences = in_order(inputs, self._graph.inputs, self._looks_back, lengths, reset, reverse=suffix == "_reverse")
        if seen is not None:
            sequences = replace(sequences, previous=seen)
        initial = [
            b.new_full((self._state_sizes[s.name],), s.initial) for s, b in zip(self._graph.states, began, strict=True)
        ]
        weights = layer.layout.weights(self._tensors(k, suffix))
        reference = Reference(self._graph, record=names if every else ())
        outputs, final, records = reference.run(weights, sequences, began, initial)
        shape = inputs[0].shape[:2]
        widths = [self._width_of_output, *(self._state_sizes[n] for n in names)]
        series = [outputs, *(records[n] for n in names)] if every else [outputs]
        stacked = [
            torch.stack(s) if s else inputs[0].new_zeros(*shape, w) for s, w in zip(series, widths, strict=False)
        ]
        if suffix:
            stacked = [reversed_in_time(s, lengths) for s in stacked]
        return stacked[0], stacked[1:] if every else final

    def _step_with_history(self, input: Tensor | tuple[Tensor, ...], state: State | None) -> tuple[Tensor, State]:
        """A step of a cell that looks back: the last inputs of every layer are the last part of the state."""
        given = tuple(input) if isinstance(input, tuple | list) else (input,)
        self._check_step(given)
        batched = given[0].dim() > 1
        time = 1 if self.batch_first and batched else 0
        inputs, _ = self._inputs(tuple(x.unsqueeze(time) for x in given))
        x, *others = (i.transpose(0, 1) if self.batch_first else i for i in inputs)  # (1, B, features)
        hx, history = _split_history(state)
        states = self._began(hx, x, x.shape[1], batched)
        finals: list[list[Tensor]] = [[] for _ in self._graph.states]
        kept: list[dict[str, Tensor]] = []
        for k in range(self.num_layers):
            if k > 0 and self.dropout:
                x = dropout(x, self.dropout, self.training)
            here = dict(zip(self._graph.inputs, (x, *others), strict=True))
            past = history[k] if history is not None else self._nothing_seen(here)
            seen = {(name, back): past[name][-back].unsqueeze(0) for name, back in self._looks_back}
            kept.append({name: torch.cat([before[1:], here[name]]) for name, before in past.items()})
            began = tuple(s[k] for s in states)
            x, final = self._direction(k, "", (x, *others), began, None, None, every=False, seen=seen)
            for found, new in zip(finals, final, strict=True):
                found.append(new)
        stacked = [torch.stack(found) if batched else torch.stack(found).squeeze(1) for found in finals]
        new: Any = (*stacked, tuple(kept))
        return (x.squeeze(0) if batched else x.reshape(-1)), new

    def _nothing_seen(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Zeros, as far back as the cell looks at each input: (K, B, features)."""
        depth: dict[str, int] = {}
        for name, back in self._looks_back:
            depth[name] = max(back, depth.get(name, 0))
        return {name: inputs[name].new_zeros(k, *inputs[name].shape[1:]) for name, k in depth.items()}

    # -- packed sequences ------------------------------------------------------------------------------

    def _packed(self, packed: PackedSequence, hx, lengths, reset, states) -> tuple[PackedSequence, State]:
        """As torch does: outputs packed in the same way, states in the order of the sequences."""
        if lengths is not None or reset is not None or states is not None:
            raise ValueError("a PackedSequence has its lengths: give lengths=, reset= and states= with a padded tensor")
        self._check_features((packed.data,), dims=(2,))
        choice = self.backend_for(packed)
        if choice.name == "vendor":
            began = self._began(hx, packed.data, int(packed.batch_sizes[0]), batched=True)
            y, final = self._run_packed(packed, began)
        else:
            padded, counts = pad_packed_sequence(packed, self.batch_first)
            call = self._checked((padded,), hx, counts, None, None, batched=True)
            out, final = self._run_reference(call)
            y = _pack_like(out, counts, packed, self.batch_first)
        return y, one_or_all(final)

    def _run_packed(self, packed: PackedSequence, began: tuple[Tensor, ...]):
        how, weights = self._vendor_call()
        if packed.sorted_indices is not None:
            began = tuple(s.index_select(1, packed.sorted_indices) for s in began)
        y, final = vendor.run(how, weights, packed, began)
        if packed.unsorted_indices is not None:
            final = tuple(s.index_select(1, packed.unsorted_indices) for s in final)
        assert isinstance(y, PackedSequence)
        return y, final


def one_or_all(states: tuple[Tensor, ...]) -> State:
    """A cell with one state gives a tensor, not a tuple."""
    return states if len(states) != 1 else states[0]


def _split_history(state: Any) -> tuple[State | None, Any]:
    """(states, history) of a state that `step` gave."""
    if state is None:
        return None, None
    if not isinstance(state, tuple) or not isinstance(state[-1], tuple):
        raise arguments.wrong(
            "state", "what step() returned, with the inputs seen so far at its end", type(state).__name__
        )
    return state[:-1], state[-1]


def _pack_like(out: Tensor, counts: Tensor, like: PackedSequence, batch_first: bool) -> PackedSequence:
    """Outputs packed with the very indices of the input."""
    if like.sorted_indices is not None:
        out = out.index_select(0 if batch_first else 1, like.sorted_indices)
        counts = counts[like.sorted_indices.cpu()]
    data = pack_padded_sequence(out, counts, batch_first).data
    return PackedSequence(data, like.batch_sizes, like.sorted_indices, like.unsorted_indices)


def _check_settings(num_layers: int, dropout: float, backend: str, heads: int) -> None:
    arguments.check_size("num_layers", num_layers)
    arguments.check_size("heads", heads)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise arguments.wrong("dropout", "a probability from 0 to 1", repr(dropout))
    if backend not in BACKENDS:
        raise arguments.wrong("backend", f"one of {', '.join(BACKENDS)}", repr(backend))


def _solve(graph: Graph, stack: Stack, given: dict[str, int]) -> list[Layer]:
    """The sizes of every layer: the first input of a higher one is the output of the one below."""
    arguments.check_size("hidden_size", stack.hidden_size)
    for name, size in given.items():
        if name in ("H", "I"):
            ours = "hidden_size" if name == "H" else "input_size"
            raise arguments.wrong("sizes", "the cell's own widths", repr(name), f"that is {ours}")
        arguments.check_size(f"sizes[{name!r}]", size)
    inputs = stack.input_size if isinstance(stack.input_size, tuple) else (stack.input_size,)
    for size in inputs:
        arguments.check_size("input_size", size)
    layers = []
    for k in range(stack.num_layers):
        try:
            sizes = graph.sizes(width_sizes(graph, inputs, stack.hidden_size, given))
        except CellError as error:
            where = f"layer {k} of {stack.cell.name}(input_size={inputs[0]}, hidden_size={stack.hidden_size})"
            raise CellError(f"{where}: {error}") from None
        layers.append(Layer(sizes, layout(graph, sizes, bias=stack.bias, heads=stack.heads)))
        inputs = (sizes.of(graph.output) * (2 if stack.bidirectional else 1), *inputs[1:])
    return layers
