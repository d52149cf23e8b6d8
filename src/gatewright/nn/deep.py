"""Recurrent layers of any kind on top of each other, with what stands between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from ..graph import Cell
from . import arguments
from .between import Highway, Settings, check_shortcuts, checked, normed
from .blocks import Block, Layer, Listed, blocks_of, first_stack, further_sizes
from .call import weight_of
from .choice import Choice
from .dropout import locked
from .feeding import Ran, sequence, step
from .packing import Packing
from .recurrent import Recurrent, named

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

DeepState = tuple[Any, ...]
"""One entry for each recurrent layer, in order: that layer's own state."""


class Deep(Listed):
    """Recurrent layers on top of each other: any cells, any widths, with shortcuts, norms and dropout between them.

    With f a recurrent layer and what stands behind it in the list, x its input and y its output, for each f but the
    first:

        y = x + f(x)                                      residual=True
        y = t ⊙ f(x) + (1 − t) ⊙ x, t = σ(W x + b)        highway=True
        y = x + f(dropout(norm(x)))                       residual=True, norm="pre", dropout=0.2
        y = norm(x + f(dropout(x)))                       residual=True, norm="post", dropout=0.2

    Of the first layer y = f(x), or norm(f(x)) with norm="post".

    Args:
        layers: recurrent layers (`gw.Recurrent`, `gw.LSTM`, …, also `gw.Deep`), the first one in front. Between and
            behind them there may be modules that work on each step by itself, as `nn.Linear(256, 128)` or `nn.Tanh()`
            do: they belong to the layer before them. All layers have the same `batch_first`, which is the stack's.
        residual: add the input of each layer but the first to its output; as many features must come out as go in.
        highway: mix the two by a gate instead. The weights are `highways.k.gate`, with k the place of the layer.
        norm: "pre" normalises the input of each layer but the first, "post" the output of each, behind the shortcut.
            The weights are `norms.k`. (The first layer's input is not normalised: of one feature nothing would be
            left.)
        norm_layer: makes a norm of a number of features: `nn.LayerNorm`, `nn.RMSNorm`, ….
        dropout: probability that a unit of the input of each layer but the first is 0, at each step, in training. The
            shortcut goes past it.
        dropout_kind: "fresh" draws it at each step, as torch does; "locked" once a call for each sequence and unit.

    Shapes are those of `gw.Recurrent`. The state is a tuple with the state of each recurrent layer, as that layer
    takes and returns it; `hx` may have None for a layer that is to begin anew. Behind a sequence's end the output is
    0, whatever stands between the layers.

    A layer whose cell has a further input named `c_below` gets the states c of the layer below, step by step (and so
    for every state of that layer): direct links between the cells of layers (Zhang et al. 2016). Other inputs but
    the first are the stack's own, by their names, and come behind x in a tuple.

    Raises:
        ValueError, TypeError: layers that do not fit; the message says which, and what would fit.

    Sources: K. He et al., Deep residual learning for image recognition, 2016; A. Prakash et al., Neural paraphrase
    generation with stacked residual LSTM networks, 2016; R. K. Srivastava et al., Training very deep networks, 2015;
    J. L. Ba et al., Layer normalization, 2016; Y. Zhang et al., Highway long short-term memory RNNs for distant
    speech recognition, 2016.

    >>> import gatewright as gw, torch
    >>> deep = gw.Deep([gw.Recurrent("lstm", 8, 16), gw.Recurrent("gru", 16, 16)], residual=True, norm="pre")
    >>> y, ((h, c), n) = deep(torch.zeros(7, 2, 8), lengths=torch.tensor([7, 4]))
    >>> y.shape, h.shape, n.shape
    (torch.Size([7, 2, 16]), torch.Size([1, 2, 16]), torch.Size([1, 2, 16]))
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        *,
        residual: bool = False,
        highway: bool = False,
        norm: str | None = None,
        norm_layer: Callable[[int], nn.Module] = nn.LayerNorm,
        dropout: float = 0.0,
        dropout_kind: str = "fresh",
    ):
        super().__init__()
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers: expected a list of modules, got {type(layers).__name__}")
        if not callable(norm_layer):
            raise TypeError(f"norm_layer: expected what makes a norm, as nn.LayerNorm, got {norm_layer!r}")
        modules = list(layers)
        self.blocks = blocks_of(modules)
        self.layers = nn.ModuleList(modules)
        self.settings = checked(Settings(residual, highway, norm, dropout, dropout_kind))
        if residual or highway:
            check_shortcuts(self.blocks, "residual" if residual else "highway")
        recurrent = [self._layer(block) for block in self.blocks]
        self.batch_first = recurrent[0].batch_first
        self.bidirectional = any(layer.bidirectional for layer in recurrent)
        further = further_sizes(self.blocks, recurrent)
        self.further = tuple(further)
        sizes = (self.blocks[0].input_size, *further.values())
        self.input_size = sizes if further else sizes[0]
        self.output_size = self.blocks[-1].output_size
        self._feeds = tuple(bool(above and above.below()) for above in (*self.blocks[1:], None))
        self.norms = self._modules_for(norm_layer, normed(self.blocks, norm))
        self.highways = self._modules_for(Highway, {b.at: b.input_size for b in self.blocks[1:]} if highway else {})

    @classmethod
    def of(
        cls,
        cell: Cell | str | Sequence[Cell | str],
        input_size: int | tuple[int, ...],
        hidden_size: int | Sequence[int],
        num_layers: int | None = None,
        *,
        projection: int | None = None,
        residual: bool = False,
        highway: bool = False,
        norm: str | None = None,
        norm_layer: Callable[[int], nn.Module] = nn.LayerNorm,
        dropout: float = 0.0,
        dropout_kind: str = "fresh",
        **options: Any,
    ) -> Deep:
        """The same from cells and sizes: layers of `gw.Recurrent` that fit each other.

        Args:
            cell: of every layer, or a list with one for each.
            input_size: features of the input.
            hidden_size: units of every layer, or a list with those of each.
            num_layers: how many; default 1, or as many as the lists have.
            projection: a linear map of every layer's output to so many features.
            residual, highway, norm, norm_layer, dropout, dropout_kind: as of `gw.Deep`.
            options: everything else that `gw.Recurrent` takes, for all layers: `batch_first`, `bidirectional`,
                `merge`, `zoneout`, ….

        >>> import gatewright as gw, torch
        >>> deep = gw.Deep.of("lstm", 8, 16, 4, residual=True, bidirectional=True, merge="sum")
        >>> deep(torch.zeros(7, 2, 8))[0].shape
        torch.Size([7, 2, 16])
        >>> gw.Deep.of(["lstm", "gru"], 8, [32, 16]).output_size
        16
        """
        sizes = input_size if isinstance(input_size, tuple) else (input_size,)
        if not sizes:
            raise arguments.wrong("input_size", "a size for each input", "none")
        size, *others = (arguments.check_size("input_size", one) for one in sizes)
        layers: list[nn.Module] = []
        for one, width in _each(cell, hidden_size, num_layers):
            several = others and len(named(one).inputs) > 1
            layer = Recurrent(one, (size, *others) if several else size, width, **options)
            size = layer.output_size
            layers.append(layer)
            if projection is not None:
                arguments.check_size("projection", projection)
                like = weight_of(layer)
                layers.append(nn.Linear(size, projection, bias=layer.bias, device=like.device, dtype=like.dtype))
                size = projection
        return cls(
            layers,
            residual=residual,
            highway=highway,
            norm=norm,
            norm_layer=norm_layer,
            dropout=dropout,
            dropout_kind=dropout_kind,
        )

    # -- what it is --------------------------------------------------------------------------------

    def _layer(self, block: Block) -> Layer:
        return self.layers[block.at]  # pyright: ignore[reportReturnType]

    def _modules_for(self, make: Callable[[int], nn.Module], widths: dict[int, int]) -> nn.ModuleDict | None:
        """A module for each of these layers, in the dtype and on the device of the weights."""
        if not widths:
            return None
        like = weight_of(first_stack(self))
        made = {str(at): _checked_norm(make(width)) for at, width in widths.items()}
        return nn.ModuleDict(made).to(device=like.device, dtype=like.dtype)

    def extra_repr(self) -> str:
        usual = Settings()
        return ", ".join(f"{k}={v!r}" for k, v in self.settings._asdict().items() if v != getattr(usual, k))

    def backend_for(
        self,
        input: Tensor | PackedSequence | tuple[Tensor, ...],
        *,
        reset: Tensor | None = None,
        states: str | None = None,
    ) -> Choices:
        """What will run in each recurrent layer, and why: `print(deep.backend_for(x))`."""
        first = input.data if isinstance(input, PackedSequence) else input
        first = first[0] if isinstance(first, tuple) else first
        arguments.check_asked(first, states)
        found = []
        for block, feeds in zip(self.blocks, self._feeds, strict=True):
            x = first.new_empty(()).expand(*first.shape[:-1], block.input_size)
            every = "all" if feeds else states
            found.append(self._layer(block).backend_for(x, reset=reset, states=every))
        return Choices(found)

    # -- calling it --------------------------------------------------------------------------------

    def forward(
        self,
        input: Float[Tensor, "T B I"] | PackedSequence | tuple[Tensor, ...],
        hx: Sequence[Any] | None = None,
        *,
        lengths: Int[Tensor, " B"] | Sequence[int] | None = None,
        reset: Bool[Tensor, "T B"] | None = None,
        states: str | None = None,
    ) -> tuple[Tensor | PackedSequence, DeepState]:
        """Run over sequences: (output, the final state of each recurrent layer).

        Args:
            input: (T, B, I); (B, T, I) with `batch_first`; (T, I) for one sequence; or a PackedSequence. With
                further inputs a tuple.
            hx: the state before the first step, as it is returned; None, or None for a layer: its initial one.
            lengths: (B,), each sequence's number of valid steps, in any order, 0 allowed. Behind its end the output
                is 0 and the states stay.
            reset: boolean, laid out like the input's time and batch: True where a new episode starts.
            states: "all" returns every state at every step in place of the final ones.

        Raises:
            ValueError, TypeError: an argument is wrong; the message names it, what was expected and what to do.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, lengths, reset, states)
        x, further = self._inputs(input, dims=(2, 3))
        return self._over(x, further, hx, lengths, reset, states)

    def step(self, input: Tensor | tuple[Tensor, ...], state: Sequence[Any] | None = None) -> tuple[Tensor, DeepState]:
        """One step: (output, new state); input is (B, I), or (I,) for one sequence.

        >>> import gatewright as gw, torch
        >>> deep = gw.Deep.of("gru", 3, 5, 2, residual=True)
        >>> y, state = deep.step(torch.zeros(2, 3))
        >>> y, state = deep.step(torch.zeros(2, 3), state)
        >>> y.shape, [s.shape for s in state]
        (torch.Size([2, 5]), [torch.Size([1, 2, 5]), torch.Size([1, 2, 5])])
        """
        if self.bidirectional:
            raise ValueError("step: a layer with two directions sees a sequence's end first; call it on sequences")
        x, further = self._inputs(input, dims=(1, 2))
        return self._through(x, further, self._began(state), step)

    def _inputs(self, input: Tensor | tuple[Tensor, ...], *, dims: tuple[int, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        """The first input, checked, and the others by name; the layers check those."""
        x, *others = (tuple(input) if isinstance(input, tuple | list) else (input,)) or (None,)
        if len(others) != len(self.further):
            listed = ", ".join(("x", *self.further))
            raise arguments.wrong("input", f"{1 + len(self.further)} tensors ({listed})", 1 + len(others))
        weight = weight_of(first_stack(self))
        arguments.check_input(x, "input", self.blocks[0].input_size, weight.dtype, weight.device, dims=dims)
        return arguments.check_tensor("input", x), dict(zip(self.further, others, strict=True))

    def _began(self, hx: Sequence[Any] | None) -> Sequence[Any]:
        if hx is None:
            return (None,) * len(self.blocks)
        expected = f"a tuple with the state of each of the {len(self.blocks)} recurrent layers"
        if not isinstance(hx, tuple | list):
            raise TypeError(f"state: expected {expected}, got {type(hx).__name__}")
        if len(hx) != len(self.blocks):
            raise arguments.wrong("state", expected, len(hx))
        return hx

    def _over(self, x: Tensor, further: dict[str, Tensor], hx, lengths, reset, states) -> tuple[Tensor, DeepState]:
        time = 1 if self.batch_first and x.dim() == 3 else 0
        if lengths is not None:
            batch = x.shape[1 - time] if x.dim() == 3 else 1
            lengths = arguments.check_lengths(lengths, batch, x.shape[time], x.device)
        how = {"lengths": lengths, "reset": reset}
        run = partial(sequence, how=how, states=states, time=time)
        return self._through(x, further, self._began(hx), run, valid=_valid(lengths, x, time), time=time)

    def _through(
        self,
        x: Tensor,
        further: dict[str, Tensor],
        began: Sequence[Any],
        run: Callable[..., Ran],
        *,
        valid: Tensor | None = None,
        time: int | None = None,
    ) -> tuple[Tensor, DeepState]:
        """All layers after each other: (output, their states).

        run: what one layer is run by. valid: where there are steps, like x, (…, 1). time: the axis of time.
        """
        below: dict[str, Tensor] = {}
        found = []
        for block, state, feeds in zip(self.blocks, began, self._feeds, strict=True):
            entering = self._entering(block, x, time)
            own = further | below
            given = (entering, *(own[name] for name in block.further)) if block.further else entering
            try:
                y, final, below = run(self._layer(block), given, state, feeds)
            except (ValueError, TypeError) as error:
                error.add_note(f"in layers[{block.at}] of a gw.Deep")
                raise
            found.append(final)
            x = self._leaving(block, x, y, valid)
        return x, tuple(found)

    def _entering(self, block: Block, x: Tensor, time: int | None) -> Tensor:
        """What a layer gets to see of its input."""
        if block.at == 0:
            return x
        if self.norms is not None and self.settings.norm == "pre":
            x = self.norms[str(block.at)](x)
        p = self.settings.dropout
        if time is not None and self.settings.dropout_kind == "locked":
            return locked(x, p, self.training, time=time)
        return functional.dropout(x, p, self.training) if p else x

    def _leaving(self, block: Block, x: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """The output of a block, from its input and its layer's output; 0 behind a sequence's end, as both are."""
        for i in block.behind:
            y = self.layers[i](y)
        if self.settings.residual and block.at:
            y = x + y
        if self.highways is not None and block.at:
            y = self.highways[str(block.at)](x, y)
        if self.norms is not None and self.settings.norm == "post":
            y = self.norms[str(block.at)](y)
        elif not block.behind:
            return y
        return y if valid is None else torch.where(valid, y, 0.0)

    # -- packed sequences --------------------------------------------------------------------------

    def _packed(self, packed: PackedSequence, hx, lengths, reset, states) -> tuple[PackedSequence, DeepState]:
        """As torch does: outputs packed in the same way, states in the order of the sequences."""
        if lengths is not None or reset is not None or states is not None:
            raise ValueError("a PackedSequence has its lengths: give lengths=, reset= and states= with a padded tensor")
        self._inputs(packed.data, dims=(2,))
        packing = Packing(packed, sort=False)  # unpacked once for all layers, in the order of their states
        padded = packing.padded()
        x = padded.transpose(0, 1) if self.batch_first else padded
        y, final = self._over(x, {}, hx, packing.lengths, None, None)
        return packing.packed(y.transpose(0, 1) if self.batch_first else y), final


def _checked_norm(made: object) -> nn.Module:
    if not isinstance(made, nn.Module):
        expected = "a function of a number of features that makes a module"
        raise TypeError(f"norm_layer: expected {expected}, got one that makes a {type(made).__name__}")
    return made


class Choices(tuple[Choice, ...]):
    """What runs in each recurrent layer of a stack."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


def _each(cell: object, hidden_size: object, num_layers: int | None) -> list[tuple[Any, Any]]:
    """(cell, units) of every layer."""
    if num_layers is not None:
        arguments.check_size("num_layers", num_layers)
    lists = {"cell": cell, "hidden_size": hidden_size}
    counts = {name: len(given) for name, given in lists.items() if isinstance(given, list | tuple)}
    count = num_layers or max(counts.values(), default=1)
    for name, found in counts.items():
        if found != count or not found:
            raise arguments.wrong(name, f"one, or a list of {count}", f"a list of {found}")
    both = [given if name in counts else [given] * count for name, given in lists.items()]
    return list(zip(*both, strict=True))  # pyright: ignore[reportArgumentType]


def _valid(lengths: Tensor | None, x: Tensor, time: int) -> Tensor | None:
    """Where there are steps: bool, laid out like x, with one feature."""
    if lengths is None:
        return None
    steps = torch.arange(x.shape[time], device=x.device)
    if x.dim() == 2:
        return steps.unsqueeze(-1) < lengths
    valid = steps < lengths.unsqueeze(-1)  # (B, T)
    return (valid if time == 1 else valid.T).unsqueeze(-1)
