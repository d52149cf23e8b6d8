"""`gw.Stream`: a layer or a whole model that carries its own state from step to step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..graph import Cell
from . import arguments
from .call import State
from .carried_layers import LAYERS, Layer, form_of
from .carrying import Carrier, Inputs, carried_by, evaluating
from .lens import unseen
from .nested import axis_of_time, compare, leaves, mapped

States = tuple[Tensor, ...]
NO_DIRECTIONS = "sees a sequence's end first; a stream has none yet: call it on whole sequences"


class Stream:
    """A recurrent layer or a model with some inside, as a thing that takes one step after another.

    `stream(x)` gives what the model gives for the whole sequence at that step. It runs in evaluation mode and without
    derivatives, whatever mode the model is in, with the model's weights as they are at each step.

    Args:
        model: a recurrent layer with one direction, a `gw.Ensemble` or a `gw.ConvRecurrent`, or a module that has such
            layers in it, under any modules. What else looks along time in it (a convolution over time, attention) sees
            one step alone: `check` finds out.
        time: for a model, the axis of time in what it takes and gives. Default 1 where its layers are `batch_first`,
            else 0. One sequence without a batch axis has its time in axis 0.

    A step of a layer is (B, features), or (features,) for one sequence; the output is that of the layer, (B, units) or
    (units,). A step of an ensemble is (features,), (B, features) or (n, B, features), as its own `step` takes it; that
    of a layer of convolutions is a frame, (B, C, *space) or (C, *space). A step of a model is what it takes without its
    axis of time: (B, features), (B,) for an embedding.

    Raises:
        ValueError: a layer with two directions, a torch layer whose state would be lost, or no layer to carry.

    >>> import gatewright as gw, torch
    >>> stream = gw.Stream(gw.LSTM(3, 5))
    >>> for x in torch.randn(4, 3):  # (features,), or (B, features)
    ...     y = stream(x)
    >>> y.shape, [s.shape for s in stream.state]
    (torch.Size([5]), [torch.Size([1, 5]), torch.Size([1, 5])])

    >>> class Tagger(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.embed, self.lstm, self.head = torch.nn.Embedding(9, 3), gw.LSTM(3, 5), torch.nn.Linear(5, 2)
    ...     def forward(self, tokens):  # (T, B)
    ...         return self.head(self.lstm(self.embed(tokens))[0])
    >>> tagger, tokens = Tagger(), torch.randint(9, (7, 4))
    >>> stream = gw.Stream(tagger)
    >>> steps = torch.stack([stream(t) for t in tokens])  # each (B,) to (B, 2)
    >>> torch.allclose(steps, tagger(tokens), atol=1e-6), list(stream.state)
    (True, ['lstm'])
    """

    def __new__(cls, *given: Any, **options: Any) -> Self:
        kind: Any = cls
        if cls is Stream:
            model = given[0] if given else options.get("model")
            kind = LayerStream if isinstance(model, LAYERS) else ModelStream
        return object.__new__(kind)

    def __init__(self, model: nn.Module, *, time: int | None = None):
        raise NotImplementedError

    def __call__(self, *steps: Any, **options: Any) -> Any:
        """One step."""
        raise NotImplementedError

    def chunk(self, *steps: Any, **options: Any) -> Any:
        """Several steps at once, laid out as the model takes sequences; what it gives for them."""
        raise NotImplementedError

    @property
    def state(self) -> Any:
        """A copy of the state; None before the first step. Setting it goes on from there."""
        raise NotImplementedError

    @state.setter
    def state(self, state: Any) -> None:
        raise NotImplementedError

    def reset(self, mask: Tensor | Sequence[bool] | None = None) -> None:
        """Forget: the next step starts from the initial state.

        mask: (B,) boolean, only the sequences where it is True: `stream.reset(done)` where episodes have ended; of an
            ensemble also (n, B).
        """
        raise NotImplementedError

    def _fresh(self) -> Stream:
        """The same without a state."""
        raise NotImplementedError

    def _times(self, found: Any) -> Sequence[int | None]:
        """The axis of time of each tensor in what `chunk` gives; None where there is none."""
        raise NotImplementedError

    def _time_of(self, x: Tensor) -> int:
        """The axis of time of a chunk."""
        raise NotImplementedError

    def check(self, *chunk: Any, **options: Any) -> None:
        """Raise where steps, one by one, give something else than all of them at once; the state is left alone.

        So it is where something else than recurrent layers looks along time. Arguments are as for `chunk`.

        Raises:
            ValueError: outputs differ by more than rounding; the message says by how much, and from which step on.
        """
        stream, whole = self._fresh(), leaves(self._fresh().chunk(*chunk, **options))
        steps = next(x.shape[self._time_of(x)] for x in leaves(chunk))
        for t in range(steps):
            step = mapped(lambda x: x.select(self._time_of(x), t), chunk)  # noqa: B023 it is called at once
            found = stream(*step, **options)
            for k, (x, y, axis) in enumerate(zip(leaves(found), whole, stream._times(found), strict=True)):
                if axis is not None:
                    compare(x, y.select(axis, t), f"output {k}" if len(whole) > 1 else "the output", t)
                elif t == steps - 1:
                    compare(x, y, f"output {k}, which has no time,", t)


class LayerStream(Stream):
    """The stream of a single layer: straight to the kernels; what `gw.Stream(layer)` is."""

    def __init__(self, model: Layer):
        self.layer, self._form = model, form_of(model)
        if self._form.one.bidirectional:
            raise ValueError(f"Stream: a layer with two directions {NO_DIRECTIONS}")
        self._carrier = Carrier(self._form)

    def _fresh(self) -> LayerStream:
        return LayerStream(self.layer)

    def _time_of(self, x: Tensor) -> int:
        return self._form.time_in(x)

    def _times(self, found: Tensor) -> list[int | None]:
        return [self._form.time_out(found)]

    def __call__(self, input: Inputs, *, out: Tensor | None = None) -> Tensor:
        """One step of (B, features), or (features,): the output, (B, units) or (units,).

        out: where to write the output, contiguous and of its shape and dtype; nothing is allocated then.
        """
        carried = self._carrier.prepared(input, "step")
        if carried is None:
            return self._by_step(input, out)
        if out is not None:
            _check_out(out, carried.out)
        return carried((input,), out)  # pyright: ignore[reportArgumentType]  # one tensor, as prepared

    def _modules(self) -> list[nn.Module]:
        """What has a mode of its own: an ensemble has its layer's beside it."""
        return [self.layer] if self._form.one is self.layer else [self.layer, self._form.one]

    def _by_step(self, input: Inputs, out: Tensor | None) -> Tensor:
        if isinstance(input, Tensor) and input.dim() > self._form.most:
            shape = f"shape {tuple(input.shape)}"
            raise arguments.wrong("input", f"one step, {self._form.steps}", shape, "chunk() takes several")
        with evaluating(self._modules()):
            output = self._carrier.step(input)
        if out is None:
            return output
        _check_out(out, output)
        return out.copy_(output)

    def chunk(self, input: Inputs, *, lengths=None, reset: Tensor | None = None) -> Tensor:
        """Several steps at once: the output of the layer on this part of its sequences.

        Args:
            input: as the layer takes it, (T, B, I), (B, T, I) or (T, I).
            lengths, reset: as the layer's.
        """
        with evaluating(self._modules()):
            return self._carrier.over(input, None, lengths=lengths, reset=reset)[0]

    @property
    def state(self) -> States | None:
        """A copy of the state, as `layer.step` takes it; None before the first step. Setting it goes on from there."""
        return self._carrier.state

    @state.setter
    def state(self, state: State | None) -> None:
        self._carrier.state = state

    def reset(self, mask: Tensor | Sequence[bool] | None = None) -> None:
        self._carrier.forget(_checked_mask(mask))


class ModelStream(Stream):
    """The stream of a model: the model itself runs, its recurrent layers go on from where they were.

    A step is called with the axis of time put into each of the positional tensors; keyword arguments are passed as
    they are. What comes back loses its axis of time where it has one, in tuples, lists and dicts as well: which one it
    is shows at the first step, by a look at what the model gives for two. The state of a layer that is called several
    times in one step is kept for each of the calls (`name`, `name#2`).
    """

    def __init__(self, model: nn.Module, *, time: int | None = None):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a recurrent layer or an nn.Module, got {type(model).__name__}")
        self.model = model
        self._given_time = time
        self._carriers: dict[str, Carrier] = {}
        self._axes: dict[tuple, list[int | None]] = {}
        self._look()

    def __getstate__(self) -> tuple:
        """What is copied and saved."""
        return self.model, self._given_time, self.state

    def __setstate__(self, saved: tuple) -> None:
        model, time, state = saved
        self.__init__(model, time=time)
        self.state = state

    def _look(self) -> None:
        """Take the model as it stands now: its modules, and which of them have a state."""
        self._modules = list(self.model.modules())
        self._children = [m._modules for m in self._modules]
        self._seen = [dict(children) for children in self._children]
        self._names = {m: name for name, m in self.model.named_modules() if isinstance(m, LAYERS)}
        _check_modules(self.model, list(self._names))
        self._modules += [form_of(m).one for m in self._names if form_of(m).one is not m]
        self.time = self._time_axis()
        self._carriers = {key: c for key, c in self._carriers.items() if c.layer in self._names}

    def _time_axis(self) -> int:
        if self._given_time is not None:
            return self._given_time
        first = {form_of(layer).one.batch_first for layer in self._names}
        if len(first) > 1:
            raise ValueError("Stream: some layers are batch_first and some are not; say where the model has time=")
        return int(first.pop())

    # -- a step ------------------------------------------------------------------------------------

    def __call__(self, *steps: Any, **options: Any) -> Any:
        """One step: tensors without the axis of time, batch first where there is one."""
        chunk = [self._with_time(x) if type(x) is Tensor else mapped(self._with_time, x) for x in steps]
        key = tuple([x.dim() if type(x) is Tensor else (*map(Tensor.dim, leaves(x)),) for x in chunk] + [*options])
        with self._ready():
            found = self._run(chunk, options)
            axes = self._axes.get(key)
            if axes is None:
                axes = self._axes[key] = self._axes_of(found, chunk, options)
        if type(found) is Tensor:
            return found if axes[0] is None else found.squeeze(axes[0])
        each = iter(axes)
        return mapped(lambda x: x if (axis := next(each)) is None else x.select(axis, 0), found)

    def chunk(self, *steps: Any, **options: Any) -> Any:
        """Several steps at once: what the model gives for this part of its sequences, laid out as it does."""
        with self._ready():
            return self._run(steps, options)

    def _fresh(self) -> ModelStream:
        return ModelStream(self.model, time=self._given_time)

    def _time_of(self, x: Tensor) -> int:
        return min(self.time, x.dim() - 1)

    def _times(self, found: Any) -> list[int | None]:  # noqa: ARG002 the last step has shown it
        return next(reversed(self._axes.values()))

    def _with_time(self, x: Tensor) -> Tensor:
        return x.unsqueeze(self.time if x.dim() >= self.time else x.dim())

    def _ready(self):
        if self._children != self._seen:
            self._look()
        return evaluating(self._modules)

    def _run(self, chunk: Sequence[Any], options: Mapping[str, Any]) -> Any:
        self._calls: dict[Layer, int] = {}
        with carried_by(self):
            return self.model(*chunk, **options)

    def _axes_of(self, found: Any, chunk: Sequence[Any], options: Mapping[str, Any]) -> list[int | None]:
        """Where the outputs of one step have their axis of time, by those of two steps."""
        two = [mapped(lambda x: torch.cat([x, x], self._time_of(x)), x) for x in chunk]
        with carried_by(_Stateless()), unseen:
            longer = self.model(*two, **options)
        return [axis_of_time(one, more) for one, more in zip(leaves(found), leaves(longer), strict=True)]

    def forward(self, layer: Layer, input: Any, hx: State | None, **how: Any) -> tuple:
        """What a layer of the model runs meanwhile."""
        return self._carrier_of(layer).over(input, hx, **how)

    def _carrier_of(self, layer: Layer) -> Carrier:
        name = self._names.get(layer)
        if name is None:
            raise RuntimeError(f"Stream: the model called {layer!r}, which is none of its submodules; register it")
        count = self._calls[layer] = self._calls.get(layer, 0) + 1
        key = name if count == 1 else f"{name}#{count}"
        if key not in self._carriers:
            self._carriers[key] = Carrier(form_of(layer))
        return self._carriers[key]

    # -- the state -----------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, States] | None:
        """A copy of each layer's state by the layer's name; None before the first step. Setting it goes on from it."""
        found = {name: state for name, c in self._carriers.items() if (state := c.state) is not None}
        return found or None

    @state.setter
    def state(self, state: Mapping[str, State] | None) -> None:
        layers = {name: layer for layer, name in self._names.items()}
        given = {} if state is None else dict(state)
        if unknown := [name for name in given if name.partition("#")[0] not in layers]:
            raise arguments.wrong("state", f"the names of layers: {', '.join(layers)}", ", ".join(unknown))
        self._carriers = {name: Carrier(form_of(layers[name.partition("#")[0]])) for name in given}
        for name, carrier in self._carriers.items():
            carrier.state = given[name]

    def reset(self, mask: Tensor | Sequence[bool] | None = None) -> None:
        checked = _checked_mask(mask)
        for carrier in self._carriers.values():
            carrier.forget(checked)


class _Stateless:
    """Runs layers from the state that they are given, or their initial one, and keeps nothing."""

    def forward(self, layer: Layer, input: Any, hx: State | None, **how: Any) -> tuple:
        with carried_by(None):
            return layer(input, hx, **how)


def _check_modules(model: nn.Module, layers: Sequence[Layer]) -> None:
    """Every state of the model can be carried, and there is one."""
    names = dict(model.named_modules())
    both = [name for name, m in names.items() if isinstance(m, LAYERS) and form_of(m).one.bidirectional]
    if both:
        raise ValueError(f"Stream: a layer with two directions ({', '.join(both)}) {NO_DIRECTIONS}")
    theirs = [name or "the model" for name, m in names.items() if isinstance(m, nn.RNNBase | nn.RNNCellBase)]
    if theirs:
        remedy = "gw.replace(model) puts ours in the place of nn.LSTM, nn.GRU and nn.RNN"
        raise ValueError(f"Stream: torch's layers would begin anew at each step ({', '.join(theirs)}); {remedy}")
    others = [f"{name} {type(m).__name__}".strip() for name, m in names.items() if _has_another_state(m)]
    if others:
        expected = "recurrent layers: gw.Recurrent, gw.LSTM, gw.GRU, gw.RNN, gw.ConvRecurrent and gw.Ensemble"
        raise arguments.wrong("Stream", expected, ", ".join(others), "its state would be lost at each step")
    if not layers:
        raise ValueError("Stream: expected a recurrent layer or a model with some in it, got none; call it directly")


def _has_another_state(module: nn.Module) -> bool:
    """Whether it runs a cell in a way of its own: a single step."""
    return isinstance(getattr(module, "cell", None), Cell) and not isinstance(module, LAYERS)


def _check_out(out: object, like: Tensor) -> None:
    if not isinstance(out, Tensor):
        raise TypeError(f"out: expected a tensor, got {type(out).__name__}")
    if out.shape != like.shape or out.dtype != like.dtype or out.device != like.device or not out.is_contiguous():
        expected = f"a contiguous tensor of shape {tuple(like.shape)} and {like.dtype}"
        raise arguments.wrong("out", expected, f"{tuple(out.shape)} and {out.dtype}")


def _checked_mask(mask: Any) -> Tensor | None:
    if mask is None:
        return None
    found = torch.as_tensor(mask)
    if found.dtype != torch.bool:
        raise arguments.wrong("mask", "booleans, one for each sequence", found.dtype)
    return found
