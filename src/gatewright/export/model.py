"""Whole models: recurrent layers, and what stands before, between and behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from ..graph.errors import suggestion
from ..nn.blocks import Block
from ..nn.deep import Deep
from ..nn.stack import Stack
from .builder import Body, Value
from .clock import Clock
from .layer import Given, LayerWriter
from .modules import MODULES
from .report import Used


class States(NamedTuple):
    """The states of one recurrent layer, and the inputs that it looks back at; each as names of values."""

    states: Sequence[str]
    past: Sequence[str]


class Recurred(NamedTuple):
    """What a recurrent layer gives: (output, state); the state of a `Deep` has an entry for each of its layers."""

    output: Value
    state: Any


@dataclass
class Sequences:
    """What every recurrent layer of one call is told.

    clock: lengths and resets. begin: the states before the first step, by the layer's path; end: those after the
    last, filled in while layers are written.
    """

    clock: Clock
    begin: Mapping[str, States] = field(default_factory=dict)
    end: dict[str, States] = field(default_factory=dict)


@dataclass
class ModelWriter:
    """Writes modules into a body. allowed: whether nodes of ONNX's own may be used."""

    body: Body
    allowed: bool
    used: list[Used] = field(default_factory=list)

    def module(self, module: nn.Module, path: str, inputs: Sequence[Value], at: Sequences) -> Value | Recurred:
        """Any module that is known; inputs in the module's own layout."""
        if isinstance(module, Stack):
            return self.stack(module, path, inputs, at)
        if isinstance(module, Deep):
            return self.deep(module, path, inputs, at)
        if is_plain_sequential(module):
            return self.sequential(module, path, inputs, at)
        (x,) = inputs
        return known_row(module, path)(self.body, module, path, x)

    def sequential(self, module: nn.Module, path: str, inputs: Sequence[Value], at: Sequences) -> Value | Recurred:
        """One module after the other; of a recurrent layer the output goes on."""
        found: Value | Recurred | None = None
        for name, child in module._modules.items():
            assert child is not None
            given = inputs if found is None else [output_of(found)]
            found = self.module(child, f"{path}.{name}" if path else name, given, at)
        assert found is not None
        return found

    # -- recurrent layers --------------------------------------------------------------------------------

    def stack(self, layer: Stack, path: str, inputs: Sequence[Value], at: Sequences) -> Recurred:
        """A stack of layers of one cell."""
        begin = at.begin.get(path)
        given = Given(
            [self._turned(layer.batch_first, x) for x in inputs],
            begin.states if begin else None,
            self._past(layer, begin, at.clock),
            at.clock,
        )
        prefix = f"{path}." if path else ""
        result = LayerWriter(self.body, layer, prefix, self.allowed).write(given)
        self.used += result.used
        at.end[path] = States(result.states, result.past)
        widths = [*layer.state_sizes.values(), *layer.lookback[1]]
        state = tuple(Value(n, 3, w) for n, w in zip([*result.states, *result.past], widths, strict=False))
        return Recurred(self._turned(layer.batch_first, result.output), state if len(state) != 1 else state[0])

    def _past(self, layer: Stack, begin: States | None, clock: Clock) -> Sequence[str] | None:
        """The inputs before the first step; zeros where there are none, so that those for the next call are given."""
        depth, widths = layer.lookback
        if begin and begin.past:
            return begin.past
        return [self.body.filled(0.0, depth, clock.batch, width) for width in widths] or None

    def _turned(self, batch_first: bool, x: Value) -> Value:
        """Time first  ↔  batch first."""
        if not batch_first or x.rank != 3:
            return x
        return x._replace(name=self.body.node("Transpose", x.name, perm=[1, 0, 2]))

    def deep(self, deep: Deep, path: str, inputs: Sequence[Value], at: Sequences) -> Recurred:
        """Layers with shortcuts and norms: `Deep._through`, in evaluation."""
        x, *others = inputs
        further, states = dict(zip(deep.further, others, strict=True)), []
        for block in deep.blocks:
            if block.below():
                raise ValueError(
                    f"{path or 'the model'}: expected layers that see outputs alone, got one with the states of the "
                    f"layer below ({', '.join(block.further)}); this cannot be exported"
                )
            given = [self._entering(deep, block, path, x), *(further[name] for name in block.further)]
            found = self._child(deep.layers[block.at], f"layers.{block.at}", path, given, at)
            assert isinstance(found, Recurred)
            states.append(found.state)
            x = self._leaving(deep, block, path, x, found.output, at)
        return Recurred(x, tuple(states))

    def _child(self, module: nn.Module, name: str, path: str, inputs: Sequence[Value], at: Sequences):
        return self.module(module, f"{path}.{name}" if path else name, inputs, at)

    def _entering(self, deep: Deep, block: Block, path: str, x: Value) -> Value:
        if block.at and deep.norms is not None and deep.settings.norm == "pre":
            return self._plain(deep.norms[str(block.at)], f"norms.{block.at}", path, x)
        return x

    def _leaving(self, deep: Deep, block: Block, path: str, x: Value, y: Value, at: Sequences) -> Value:
        for i in block.behind:
            y = self._plain(deep.layers[i], f"layers.{i}", path, y)
        if deep.settings.residual and block.at:
            y = y._replace(name=self.body.node("Add", x.name, y.name))
        if deep.highways is not None and block.at:
            y = self._highway(deep.highways[str(block.at)], f"highways.{block.at}", path, x, y)
        if deep.norms is not None and deep.settings.norm == "post":
            y = self._plain(deep.norms[str(block.at)], f"norms.{block.at}", path, y)
        elif not block.behind:
            return y
        return self._valid(deep.batch_first, y, at.clock)

    def _plain(self, module: nn.Module, name: str, path: str, x: Value) -> Value:
        return output_of(self._child(module, name, path, [x], at=Sequences(Clock(self.body, x.name, None, None))))

    def _highway(self, highway: Any, name: str, path: str, x: Value, y: Value) -> Value:
        """x + σ(gate(x)) ⊙ (y − x)"""
        gate = self.body.node("Sigmoid", self._plain(highway.gate, f"{name}.gate", path, x).name)
        step = self.body.node("Mul", gate, self.body.node("Sub", y.name, x.name))
        return y._replace(name=self.body.node("Add", x.name, step))

    def _valid(self, batch_first: bool, y: Value, clock: Clock) -> Value:
        """0 behind a sequence's end."""
        if clock.active is None:
            return y
        mask = self._turned(batch_first, Value(clock.active, 3, 1)).name
        return y._replace(name=self.body.node("Where", mask, y.name, self.body.number(0.0)))


def output_of(found: Value | Recurred) -> Value:
    """What goes on to the next module."""
    return found.output if isinstance(found, Recurred) else found


def is_plain_sequential(module: nn.Module) -> bool:
    """A Sequential that does nothing of its own."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def is_known(module: nn.Module) -> bool:
    """Whether a module can be written as it is, without a look into its `forward`."""
    return isinstance(module, Stack | Deep) or type(module) in MODULES


def known_row(module: nn.Module, path: str):
    """The row of a module; raises where there is none."""
    if type(module) in MODULES:
        return MODULES[type(module)]
    names = [known.__name__ for known in MODULES]
    name = type(module).__name__
    raise ValueError(
        f"{path or 'model'}: expected a recurrent layer of gatewright or one of {', '.join(names)}; got {name}"
        f"{suggestion(name, names)}" + _remedy(module)
    )


def _remedy(module: nn.Module) -> str:
    if isinstance(module, nn.RNNBase):
        return "; gw.replace makes a layer of gatewright of it"
    return "; export the recurrent part by itself"


def recurrences(model: nn.Module) -> dict[str, Stack]:
    """Every recurrent layer by its path, each place where one stands."""
    return {path: m for path, m in model.named_modules(remove_duplicate=False) if isinstance(m, Stack)}
