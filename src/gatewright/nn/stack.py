"""What every recurrent layer is: a stack of layers and directions of one cell, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence

from ..backends import vendor
from ..backends.reference import Draw
from ..graph import Cell, Graph
from ..graph.node import node, topological
from ..plan.regularise import Rates
from . import arguments, by_kernel, by_reference, initial
from .beside import looked_beside
from .call import BACKENDS, Call, State, call_of, check_features, check_step, one_or_all, start
from .carrying import running
from .choice import Choice, choose
from .dropout import check_kind
from .layout import layers
from .lens import Lenses
from .merge import check_merge, merged, merged_width
from .packing import Packing
from .ready import Ready
from .recompute import Recompute, check_recompute
from .regularisers import made
from .rows import Rows
from .steps import Steps

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


RUNS = {"cpu": by_kernel.run, "reference": by_reference.run}


class Stack(Rows, nn.Module):
    """The common part of all recurrent layers; use `Recurrent` or a drop-in.

    Subclasses say how weights begin (`reset_parameters`). `lenses` is what `gw.record` and `gw.clamp` have put on it.
    """

    lenses = Lenses()

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
        recurrent_dropout: Rates,
        zoneout: Rates,
        weight_drop: Rates,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        merge: str = "concat",
        dropout_kind: str = "fresh",
        learned_state: initial.Learned = False,
        recompute: Recompute = None,
    ):
        super().__init__()
        _check_settings(
            num_layers, dropout, backend, heads, bias=bias, batch_first=batch_first, bidirectional=bidirectional
        )
        self.cell, self.heads, self.backend = cell, heads, backend
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self._sizes = float(dropout), arguments.check_sizes(sizes)
        self.merge, self.dropout_kind = check_merge(merge), check_kind(dropout_kind)
        self.recompute, self.kept_every = recompute, check_recompute(recompute)
        self._graph = cell.graph if bias else cell.graph.without_bias()
        self._layers = layers(self._graph, self, self._sizes)
        self.regularisers = made(
            self._graph,
            self._layers[0].layout,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            weight_drop=weight_drop,
        )
        for k, layer in enumerate(self._layers):
            for suffix in self._suffixes:
                for stored in layer.layout.stored:
                    weight = arguments.weight(stored.shape, dtype, device)
                    self.register_parameter(f"{stored.name}_l{k}{suffix}", weight)
        self._solve_once()
        self.learned = initial.learned_names(self._graph, learned_state)
        self.learned_state = learned_state if isinstance(learned_state, bool) else self.learned
        initial.register(self, dtype, device)
        self.programs = by_kernel.programs(self)
        self.reset_parameters()

    def _solve_once(self) -> None:
        """What no call changes; widths are exact fractions, and a call should cost microseconds."""
        sizes, form = self._layers[0].sizes, self._layers[0].layout.form
        self._width_of_output = sizes.of(self._graph.output)
        self._state_sizes = {s.name: sizes.of_state(s.name) for s in self._graph.states}
        self._stored_names = tuple(self._stored())
        self._full_names = {
            (k, suffix): [(s.name, f"{s.name}_l{k}{suffix}") for s in layer.layout.stored]
            for k, layer in enumerate(self._layers)
            for suffix in self._suffixes
        }
        back = {(n.args[0].attr, n.attr) for n in topological(self._graph.results) if n.op == "previous"}
        self.looks_back: tuple[tuple[str, int], ...] = tuple(sorted(back))
        self.directions = len(self._suffixes)
        self._steps, self._ready = Steps(), Ready()
        self.lookback = self._lookback()
        self.starts = tuple((self._state_sizes[s.name], s.begins.attr) for s in self._graph.states)
        # torch's kernel tells a projection by its width: one to as many units it takes for none
        self._projects_in_place = bool(form and form.projection) and len(set(self._state_sizes.values())) == 1

    def reset_parameters(self) -> None:
        """Draw new weights."""
        raise NotImplementedError

    # -- what it is ------------------------------------------------------------------------------

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def output_size(self) -> int:
        """The width of the output's last dimension: of both directions, side by side unless `merge` adds them."""
        return merged_width(self._width_of_output, len(self._suffixes), self.merge)

    @property
    def state_sizes(self) -> dict[str, int]:
        """The width of each state, by name."""
        return dict(self._state_sizes)

    @property
    def equations(self) -> Graph:
        """The layer's equations: the cell's, without biases where the layer has none."""
        return self._graph

    @property
    def running(self) -> Graph:
        """The graph that runs now, in training or in evaluation: the equations with the regularisers in them."""
        return self.regularisers.equations[self.training]

    @property
    def recurrent_dropout(self) -> Rates:
        return self.regularisers.recurrent_dropout

    @property
    def zoneout(self) -> Rates:
        return self.regularisers.zoneout

    @property
    def weight_drop(self) -> Rates:
        return self.regularisers.weight_drop

    def _lookback(self) -> tuple[int, list[int]]:
        """How many inputs are carried to the next call (K), and how many features of them in each layer."""
        if not self.looks_back or self.bidirectional:
            return 0, []
        seen = {name for name, _ in self.looks_back}
        inputs = [node("input", attr=name) for name in self.cell.inputs if name in seen]
        return max(k for _, k in self.looks_back), [sum(layer.sizes.of(n) for n in inputs) for layer in self._layers]

    def named_weights(self, k: int, d: int, draw: Draw | None = None) -> dict[str, Tensor]:
        """The parameters of the equations, for one layer and direction; some dropped where something is drawn."""
        tensors = self._tensors(k, self._suffixes[d])
        return self._layers[k].layout.weights(
            self.regularisers.dropped(tensors, self._layers[k].layout, draw) if draw else tensors
        )

    def stored_weights(self, k: int, d: int, draw: Draw | None = None) -> tuple[Tensor, ...]:
        """The same as they are stored, in the order of the layout; a kernel draws what is drawn."""
        tensors = self._tensors(k, self._suffixes[d])
        if draw:
            tensors = self.regularisers.dropped(tensors, self._layers[k].layout, draw, native=True)
        return tuple(tensors.values())

    def _tensors(self, k: int, suffix: str) -> dict[str, Tensor]:
        own: Mapping = self._parameters
        names = self._full_names[k, suffix]
        try:
            return {name: own[full] for name, full in names}
        except KeyError:  # a parametrised weight is not there, but an attribute all the same
            return {name: getattr(self, full) for name, full in names}

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
        arguments.check_place(self.num_layers, self.directions, layer, reverse, grad)
        tensors = self._tensors(layer, "_reverse" if reverse else "")
        if not grad:
            return self._layers[layer].layout.views(tensors)
        found = {name: t.grad for name, t in tensors.items() if t.grad is not None}
        return self._layers[layer].layout.views(found) if len(found) == len(tensors) else {}

    def extra_repr(self) -> str:
        parts = [f"{self.cell.name}, {self.input_size}, {self.hidden_size}"]
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        shown |= {"merge": "concat", "dropout_kind": "fresh", "learned_state": False, "recompute": None}
        shown |= {"heads": 1, "backend": "auto", "recurrent_dropout": 0.0, "zoneout": 0.0, "weight_drop": 0.0}
        parts += [f"{k}={getattr(self, k)!r}" for k, usual in shown.items() if getattr(self, k) != usual]
        parts += [f"sizes={self._sizes}"] if self._sizes else []
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
        arguments.check_asked(first, states)
        choice = choose(self, first, reset=reset is not None, every=states is not None)
        if choice.name == "cpu" and forward_ad._current_level >= 0:
            return Choice("reference", "forward-mode derivatives go through the reference")
        return choice

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
                has one state, else a tuple in the cell's order; default what the layer begins with. Of a cell that
                looks at previous inputs, the state goes on with those inputs, (K, B, features) for each layer (not
                with two directions); left out, they are zero.
            lengths: (B,), each sequence's number of valid steps, in any order, 0 allowed. Behind its end the output
                is 0 and the state stays.
            reset: boolean, laid out like the input's time and batch: True where a new episode starts.
            states: "all" returns every state at every step in place of the final one, with a time axis behind the
                first: (layers · directions, T, B, width).

        Raises:
            ValueError, TypeError: an argument is wrong; the message names it, what was expected and what to do.
        """
        if not torch.compiler.is_compiling() and (stream := running.stream) is not None:
            return stream.forward(self, input, hx, lengths=lengths, reset=reset, states=states)
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, lengths, reset, states)
        call, name = self._ready.call(self, input, hx, lengths, reset, states)
        output, final = self._run(name, call)
        if not call.batched:
            output = output.squeeze(0 if self.batch_first else 1)
            final = tuple(s.squeeze((1 if self.batch_first else 2) if call.every else 1) for s in final)
        return output, one_or_all(final)

    def step(self, input: Tensor | tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
        """One step: (output, new state); input is (B, I), or (I,) for one sequence.

        The state is that of `forward`: a stream may go on from a sequence, and the other way round.

        >>> import gatewright as gw, torch
        >>> layer = gw.GRU(3, 5)
        >>> y, state = layer.step(torch.zeros(2, 3))
        >>> y, state = layer.step(torch.zeros(2, 3), state)
        >>> y.shape, state.shape
        (torch.Size([2, 5]), torch.Size([1, 2, 5]))
        """
        if self.bidirectional:
            raise ValueError("step: a layer with two directions sees a sequence's end first; call it on sequences")
        inputs = tuple(input) if isinstance(input, (tuple, list)) else (input,)
        if state is not None and not self._forward_hooks and not self.lenses:
            states = tuple(state) if isinstance(state, (tuple, list)) else (state,)
            if (found := self._steps.step(self, inputs, states)) is not None:
                output, *new = found
                return output, tuple(new) if len(new) != 1 else new[0]
        check_step(self, inputs)
        time = 1 if self.batch_first and inputs[0].dim() > 1 else 0
        output, new = self(one_or_all(tuple(x.unsqueeze(time) for x in inputs)), state)
        return output.squeeze(time), new

    # -- the vendor's kernel ---------------------------------------------------------------------------

    def _vendor_call(self) -> tuple[vendor.Call, list[Tensor]]:
        form = self._layers[0].layout.form
        assert form is not None
        own = self._parameters  # a parametrised weight is not there, but an attribute all the same
        weights = [own[name] if name in own else getattr(self, name) for name in self._stored_names]
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

    def _run(self, name: str, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
        if name != "vendor":
            return RUNS[name](self, call)
        return looked_beside(self, call, self._by_vendor) if self.lenses else self._by_vendor(call)

    def _by_vendor(self, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
        how, weights = self._vendor_call()
        (x,) = call.inputs
        if call.lengths is not None:
            if not bool(call.lengths.any()):
                return by_reference.run(self, call)  # torch has no kernel for no steps at all; derivatives are still 0
            y, final = vendor.run_lengths(how, weights, x, call.states, call.lengths)
            return self._merged(y), final
        y, final = vendor.run(how, weights, x, call.states)
        assert isinstance(y, Tensor)
        return self._merged(y), final

    def _merged(self, y: Tensor) -> Tensor:
        """A vendor's output, which has both directions side by side, as `merge` wants it."""
        return y if self.merge == "concat" else merged(y.chunk(self.directions, -1), self.merge)

    # -- packed sequences ------------------------------------------------------------------------------

    def _packed(self, packed: PackedSequence, hx, lengths, reset, states) -> tuple[PackedSequence, State]:
        """As torch does: outputs packed in the same way, states in the order of the sequences."""
        if lengths is not None or reset is not None or states is not None:
            raise ValueError("a PackedSequence has its lengths: give lengths=, reset= and states= with a padded tensor")
        check_features(self, (packed.data,), dims=(2,))
        choice = self.backend_for(packed)
        if choice.name == "vendor" and not self.lenses:
            began, _ = start(self, hx, packed.data, int(packed.batch_sizes[0]), batched=True)
            y, final = self._run_packed(packed, began)
        else:
            draws = self.training and self.regularisers.draws
            packing = Packing(packed, sort=not draws)  # masks are those of the user's sequences
            padded = packing.padded().transpose(0, 1) if self.batch_first else packing.padded()
            call = call_of(self, (padded,), hx, None, None, None, batched=True)
            began, past = packing.arranged(call.states), packing.arranged(call.past)
            order = packed.unsorted_indices if packing.moved else None
            call = call._replace(states=began, past=past, lengths=packing.lengths, order=order)
            out, final = self._run(choice.name, call)
            y, final = packing.packed(out.transpose(0, 1) if self.batch_first else out), packing.returned(final)
        return y, one_or_all(final)

    def _run_packed(self, packed: PackedSequence, began: tuple[Tensor, ...]):
        how, weights = self._vendor_call()
        if packed.sorted_indices is not None:
            began = tuple(s.index_select(1, packed.sorted_indices) for s in began)
        y, final = vendor.run(how, weights, packed, began)
        if packed.unsorted_indices is not None:
            final = tuple(s.index_select(1, packed.unsorted_indices) for s in final)
        assert isinstance(y, PackedSequence)
        return y._replace(data=self._merged(y.data)), final


def _check_settings(num_layers: int, dropout: float, backend: str, heads: int, **switches: object) -> None:
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise arguments.wrong(name, "True or False", repr(value))
    arguments.check_size("num_layers", num_layers)
    arguments.check_size("heads", heads)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise arguments.wrong("dropout", "a probability from 0 to 1", repr(dropout))
    if backend not in BACKENDS:
        raise arguments.wrong("backend", f"one of {', '.join(BACKENDS)}", repr(backend))
