"""Many networks at once: independent layers of one cell, run as one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from . import arguments, by_operator, networks
from .call import State, one_or_all, weight_of
from .carrying import running
from .choice import Choice, choose
from .stack import Stack

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class Ensemble(nn.Module):
    """n independent networks of one layer's cell and sizes, run together.

    On the CPU all of them are one kernel call for each layer and direction: each thread takes its share of the
    networks, and nothing of Python, autograd or torch stands between them. Every network computes what it would
    compute by itself.

    Args:
        layer: what each network is, a `Recurrent` or a drop-in. It is a pattern only: it stays as it is, and every
            network begins with weights of its own, drawn as the layer draws them.
        n: how many.

    Shapes: input (T, B, I) for all networks, or (n, T, B, I), one for each; output (n, T, B, `output_size`), each state
    (n, layers · directions, B, its width); with the layer's `batch_first` T and B change places. Parameters have the
    layer's names, and (n, …) in front of its shapes.

    Raises:
        TypeError: not a recurrent layer of this package.
        ValueError: n is below 1, or the layer's weights are parametrised.

    >>> import gatewright as gw, torch
    >>> ensemble = gw.Ensemble(gw.LSTM(3, 5), 8)
    >>> y, (h, c) = ensemble(torch.randn(7, 2, 3))
    >>> y.shape, h.shape, ensemble.weight_hh_l0.shape
    (torch.Size([8, 7, 2, 5]), torch.Size([8, 1, 2, 5]), torch.Size([8, 20, 5]))
    >>> one = ensemble[3]
    >>> one
    LSTM(lstm, 3, 5)
    >>> torch.allclose(one(torch.ones(7, 2, 3))[0], ensemble(torch.ones(7, 2, 3))[0][3], atol=1e-6)
    True
    """

    def __init__(self, layer: Stack, n: int):
        super().__init__()
        _check_layer("layer", layer)
        self.n = arguments.check_size("n", n)
        self._pattern = (_copy(layer),)  # in a tuple, so that its weights are not the ensemble's
        for name, p in layer.named_parameters():
            weight = nn.Parameter(p.detach().expand(n, *p.shape).clone(), requires_grad=p.requires_grad)
            self.register_parameter(name, weight)
        self.training = layer.training
        self.reset_parameters()

    @classmethod
    def of(cls, layers: Sequence[Stack]) -> Ensemble:
        """The ensemble of layers that are there: copies of their weights, in their order.

        Raises:
            ValueError: no layers, or layers that differ in more than their weights; the message says which.

        >>> import gatewright as gw
        >>> ensemble = gw.Ensemble.of([gw.GRU(3, 5) for _ in range(4)])
        >>> len(ensemble)
        4
        """
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}")
        layers = list(layers)
        if not layers:
            raise arguments.wrong("layers", "at least one layer", "none")
        for i, layer in enumerate(layers):
            _check_layer(f"layers[{i}]", layer)
            if (own := _kind(layer)) != (wanted := _kind(layers[0])):
                differs = next((a, b) for a, b in zip(wanted, own, strict=True) if a != b)
                raise arguments.wrong(f"layers[{i}]", f"what layers[0] is, {differs[0]}", differs[1])
        found = cls.__new__(cls)
        nn.Module.__init__(found)
        found.n, found._pattern, found.training = len(layers), (_copy(layers[0]),), layers[0].training
        each = [dict(layer.named_parameters()) for layer in layers]
        for name, p in each[0].items():
            weight = torch.stack([own[name].detach() for own in each])
            found.register_parameter(name, nn.Parameter(weight, requires_grad=p.requires_grad))
        return found

    # -- what it is --------------------------------------------------------------------------------

    @property
    def layer(self) -> Stack:
        """The layer that each network is, for its settings and sizes; its weights are nobody's."""
        return self._pattern[0]

    @property
    def output_size(self) -> int:
        """The width of the output's last dimension."""
        return self.layer.output_size

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Stack:
        """A copy of network i as a layer by itself."""
        if isinstance(i, bool) or not isinstance(i, int):
            raise TypeError(f"ensemble[i]: expected the number of a network, got {i!r}")
        if not -self.n <= i < self.n:
            raise IndexError(f"ensemble[{i}]: expected {-self.n} to {self.n - 1}, there are {self.n} networks")
        one = copy.deepcopy(self.layer)
        for name, p in self.everything().items():
            one.register_parameter(name, nn.Parameter(p[i].detach().clone(), requires_grad=p.requires_grad))
        return one.train(self.training)

    def weights(self, layer: int = 0, reverse: bool = False, grad: bool = False) -> dict[str, Tensor]:
        """Live views of one layer and direction's weights by the equations' names, (n, …) each; as `Recurrent.weights`.

        >>> import gatewright as gw
        >>> gw.Ensemble(gw.LSTM(3, 5), 8).weights()["U_f"].shape
        torch.Size([8, 5, 5])
        """
        one = self.layer
        one.weights(layer, reverse, grad)  # which says what is wrong with the arguments
        found = self.stored(layer, reverse)
        tensors = {name: t.grad if grad else t for name, t in found.items()}
        turned = {name: t.movedim(0, -1) for name, t in tensors.items() if t is not None}
        if len(turned) < len(tensors):
            return {}
        return {name: view.movedim(-1, 0) for name, view in one._layers[layer].layout.views(turned).items()}

    def stored(self, layer: int, reverse: bool) -> dict[str, Tensor]:
        """One layer and direction's weights as they are stored, (n, …) each."""
        return {name: getattr(self, full) for name, full in self.layer._full_names[layer, "_reverse" * reverse]}

    def everything(self) -> dict[str, Tensor]:
        """All weights by the layer's names, (n, …) each; a parametrised one is computed."""
        return {name: getattr(self, name) for name, _ in self.layer.named_parameters()}

    def reset_parameters(self) -> None:
        """Draw new weights for every network, as its layer draws them."""
        with torch.no_grad():
            for i in range(self.n):
                self.layer.reset_parameters()
                for name, p in self.layer.named_parameters():
                    self.get_parameter(name)[i].copy_(p)

    def extra_repr(self) -> str:
        return f"{self.n} × {self.layer}"

    # -- calling it --------------------------------------------------------------------------------

    def forward(
        self,
        input: Float[Tensor, "... T B I"] | tuple[Tensor, ...],
        hx: State | None = None,
        *,
        lengths: Int[Tensor, "*n B"] | Sequence[int] | None = None,
        reset: Bool[Tensor, "*n T B"] | None = None,
        states: str | None = None,
    ) -> tuple[Tensor, State]:
        """Run every network over sequences: (output, final state).

        Args:
            input: (T, B, I) for all networks, (n, T, B, I) one for each; (B, T, I) and (n, B, T, I) with `batch_first`;
                (T, I) is one sequence for all. For a cell with several inputs a tuple, of which all have the networks'
                axis or none.
            hx: the state before the first step, each (n, layers · directions, B, its width), as a layer takes it;
                default what each network begins with.
            lengths: (B,) for all networks, or (n, B): each sequence's number of valid steps.
            reset: boolean, laid out like the input's time and batch, for all networks or with (n, …) in front.
            states: "all" returns every state at every step in place of the final one:
                (n, layers · directions, T, B, width).

        Raises:
            ValueError, TypeError: an argument is wrong; the message names it, what was expected and what to do.
        """
        if not torch.compiler.is_compiling() and (stream := running.stream) is not None:
            return stream.forward(self, input, hx, lengths=lengths, reset=reset, states=states)
        call = networks.call_of(self, input, hx, lengths, reset, states)
        choice = self._choice(call.inputs[0], reset=reset is not None, every=call.every)
        if choice.name == "reference" and torch.compiler.is_dynamo_compiling():
            found = networks.together(self, call, by_operator.run)
        elif choice.name == "reference" or torch.is_autocast_enabled(call.inputs[0].device.type):
            found = networks.batched(self, call)
        elif choice.name == "vendor":
            found = networks.in_turn(self, call)
        else:
            found = networks.together(self, call)
        output, final = found
        final = (final,) if isinstance(final, Tensor) else final
        if not call.batched:
            batch = 1 if self.layer.batch_first else 2
            output = output.squeeze(batch)
            final = tuple(s.squeeze(batch + 1 if call.every else 2) for s in final)
        return output, one_or_all(final)

    def step(self, input: Tensor | tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
        """One step: (output, new state); input is (B, I) for all networks, or (n, B, I); (I,) is one sequence for all.

        >>> import gatewright as gw, torch
        >>> ensemble = gw.Ensemble(gw.GRU(3, 5), 8)
        >>> y, state = ensemble.step(torch.zeros(2, 3))
        >>> y, state = ensemble.step(torch.zeros(8, 2, 3), state)
        >>> y.shape, state.shape
        (torch.Size([8, 2, 5]), torch.Size([8, 1, 2, 5]))
        """
        if self.layer.bidirectional:
            raise ValueError("step: a layer with two directions sees a sequence's end first; call it on sequences")
        inputs = tuple(input) if isinstance(input, tuple | list) else (input,)
        for x in inputs or (None,):
            shape = tuple(arguments.check_tensor("input", x).shape)
            if len(shape) not in (1, 2, 3):
                raise arguments.wrong("input", "(B, features) for all networks, or (n, B, features)", shape)
        first = inputs[0].dim()
        axis = max(0, first - 2) + (1 if self.layer.batch_first and first > 1 else 0)
        output, new = self(one_or_all(tuple(x.unsqueeze(axis) for x in inputs)), state)
        return output.squeeze(axis if first == 3 else axis + 1), new

    def backend_for(
        self, input: Tensor | tuple[Tensor, ...], *, reset: Tensor | None = None, states: str | None = None
    ) -> Choice:
        """What will run on this input, and why: `print(ensemble.backend_for(x))`."""
        first = input[0] if isinstance(input, tuple | list) else input
        arguments.check_asked(first, states)
        choice = self._choice(first, reset=reset is not None, every=states is not None)
        how = {
            "cpu": f"one call for all {self.n} networks",
            "vendor": f"{self.n} calls, one network after the other",
            "reference": f"every operation once for all {self.n} networks",
        }
        return Choice(choice.name, f"{choice.why}; {how[choice.name]}")

    def _choice(self, x: Tensor, *, reset: bool, every: bool) -> Choice:
        return choose(self.layer, x, reset=reset, every=every)

    # -- what a module does --------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Ensemble:
        super().train(mode)
        self.layer.train(mode)
        return self

    def _apply(self, fn, recurse=True):
        self.layer._apply(fn, recurse)
        return super()._apply(fn, recurse)

    # -- saving and loading --------------------------------------------------------------------------

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """The weights, and beside them what the layer saves beside its own: the names of their rows."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        beside: dict[str, Tensor] = {}
        self.layer._save_to_state_dict(beside, prefix, keep_vars)
        weights = {prefix + name for name, _ in self.layer.named_parameters()}
        destination.update({name: t for name, t in beside.items() if name not in weights})

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Network by network as the layer loads its own: rows are matched by their names."""
        own = {prefix + name for name, _ in self.layer.named_parameters()}
        saved = {name: tuple(state_dict[name].shape) for name in sorted(own & state_dict.keys())}
        if wrong := {name: shape for name, shape in saved.items() if shape[:1] != (self.n,)}:
            error_msgs += [
                f"{name}: expected the {self.n} networks in the first dimension, got shape {shape}"
                for name, shape in wrong.items()
            ]
            return
        loaded = []
        inside = tuple(f"{prefix}{name}." for name in self._modules)  # what computes weights, and loads its own part
        beside = {name: t for name, t in state_dict.items() if not name.startswith(inside)} if inside else state_dict
        for i in range(self.n):
            one = self[i]
            for name in one._parameters.keys() - self._parameters.keys():
                del one._parameters[name]  # it is computed, and no part of what is loaded
            part = {name: t[i] if name in own else t for name, t in beside.items()}
            said: tuple[list[str], ...] = ([], [], [])
            one._load_from_state_dict(part, prefix, local_metadata, strict, *said)
            if i == 0:  # all have the same keys
                missing_keys += said[0]
                unexpected_keys += said[1]
            if said[2]:
                error_msgs += said[2]
                return
            loaded.append(one._parameters)
        found = {name: torch.stack([one[name].detach() for one in loaded]) for name in loaded[0]}
        if local_metadata.get("assign_to_params_buffers", False):
            self._take(found)
            return
        with torch.no_grad():
            for name, p in self.named_parameters(recurse=False):
                p.copy_(found[name])

    def _take(self, weights: dict[str, Tensor]) -> None:
        """The weights themselves become the ensemble's, and the pattern is what they are: `assign=True`."""
        for name, p in list(self.named_parameters(recurse=False)):
            setattr(self, name, nn.Parameter(weights[name], requires_grad=p.requires_grad))
        for name, p in list(self.layer.named_parameters()):
            like = weights[name][0] if name in weights else p
            setattr(self.layer, name, nn.Parameter(torch.empty_like(like), requires_grad=False))


def _check_layer(name: str, layer: object) -> None:
    if not isinstance(layer, Stack):
        got = type(layer).__name__
        raise TypeError(
            f"{name}: expected a recurrent layer (gw.Recurrent, gw.LSTM, …), got {got}; many networks of another kind "
            f"run by torch.func.stack_module_state, functional_call and vmap, their recurrent layers as one call too"
        )
    if any("." in own for own, _ in layer.named_parameters()):
        raise arguments.wrong(
            name, "weights that are the layer's own", "parametrised ones", "parametrise the ensemble's"
        )


def _copy(layer: Stack) -> Stack:
    """The layer without gradients: a pattern."""
    return copy.deepcopy(layer).requires_grad_(False)


def _kind(layer: Stack) -> tuple[str, ...]:
    """All that layers of one ensemble have in common, in words."""
    weight = weight_of(layer)
    mode = "in training" if layer.training else "in evaluation"
    return repr(layer), str(layer.cell), f"{weight.dtype} on {weight.device}", mode
