"""Truncated back-propagation: a long sequence part by part, the state handed on, its gradient cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from . import arguments
from .blocks import Layer

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def detach(state: Any) -> Any:
    """A state with its gradients cut: tensors in tuples, lists and dicts, however deep; None and numbers stay.

    >>> import gatewright as gw, torch
    >>> h = torch.zeros(1, 2, 5, requires_grad=True)
    >>> gw.detach({"encoder": (h, h), "decoder": None})["encoder"][0].requires_grad
    False
    """
    return _mapped(Tensor.detach, state, "state")


def _mapped(function: Callable[[Tensor], Tensor], nest: Any, what: str) -> Any:
    """Every tensor of a nest replaced; the nest keeps its types."""
    if isinstance(nest, Tensor):
        return function(nest)
    if nest is None or isinstance(nest, bool | int | float | str):
        return nest
    if isinstance(nest, Mapping):
        return type(nest)({key: _mapped(function, part, what) for key, part in nest.items()})  # pyright: ignore[reportCallIssue]
    if isinstance(nest, tuple | list):
        parts = [_mapped(function, part, what) for part in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else type(nest)(parts)
    raise TypeError(f"{what}: expected tensors in tuples, lists and dicts, got {type(nest).__name__}")


def truncated(
    model: Callable[..., tuple[Any, Any]],
    input: Tensor | tuple[Tensor, ...],
    k: int,
    state: Any = None,
    *,
    through: int | None = None,
    lengths: Int[Tensor, " B"] | Sequence[int] | None = None,
    reset: Bool[Tensor, "T B"] | None = None,
    batch_first: bool | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Run over sequences k steps at a time: yields (output, state) for each part, gradients cut between them.

    Whoever loops takes the loss of a part's output, back-propagates and steps the optimiser; only then does the next
    part run, from the values of the state alone. With `through`, each part's gradient goes through that many steps:
    the steps before the part are run again, from a state that was kept (Williams and Peng's BPTT(h; h′), h the
    `through` steps and h′ the k steps between two losses).

    Args:
        model: a recurrent layer, of ours or torch's, or anything that is called as `model(input, state)` and returns
            (output, new state); it is given `lengths` and `reset` by name where they are given here.
        input: (T, B, features) or (B, T, features), tokens (T, B) or (B, T); of a layer also (T, features). Of a tuple
            every tensor with the first one's dimensions and steps is cut; others go to every part whole.
        k: steps of a part; the last one may be shorter.
        state: before the first step; default the model's own. What it came from gets its gradient from the first part.
        through: a multiple of k, default k.
        lengths: (B,), each sequence's valid steps in the whole input.
        reset: True where an episode starts, laid out like the input's time and batch.
        batch_first: default as the model says, else False.

    Yields:
        (output, state) of ⌈T / k⌉ parts: the model's output for the part alone, and its state behind it, still with
        its gradient; `gw.detach` cuts that too. Targets are cut alike by `targets.split(k)`.

    Raises:
        ValueError, TypeError: an argument is wrong, or the model has two directions: the reverse one would need what
            has not been read yet.

    Source: R. J. Williams and J. Peng, An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories, 1990.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 5)
    >>> x, targets = torch.randn(10, 2, 3), torch.randn(10, 2, 5)
    >>> for (y, state), target in zip(gw.truncated(layer, x, 4), targets.split(4)):
    ...     (y - target).square().mean().backward()
    >>> y.shape
    torch.Size([2, 2, 5])
    """
    arguments.check_size("k", k)
    through = k if through is None else arguments.check_size("through", through)
    if through % k:
        raise arguments.wrong("through", f"a multiple of k ({k})", through)
    _check_directions(model)
    if batch_first is not None:
        arguments.check_flag("batch_first", batch_first)
    whole = _Whole.of(model, input, lengths, reset, batch_first)
    return _parts(model, whole, k, through, state)


class _Whole(NamedTuple):
    """The whole input; `time` is the axis of its steps, `steps` how many there are."""

    inputs: tuple[Tensor, ...]
    single: bool
    time: int
    steps: int
    lengths: Tensor | None
    reset: Tensor | None

    @classmethod
    def of(cls, model: Any, input: Any, lengths: Any, reset: Any, batch_first: bool | None) -> _Whole:
        if isinstance(input, PackedSequence):
            raise TypeError("input: expected a tensor, got a PackedSequence; pad it, and give lengths=")
        single = not isinstance(input, tuple | list)
        inputs = (input,) if single else tuple(input)
        for x in inputs or (None,):
            if not isinstance(x, Tensor):
                raise TypeError(f"input: expected tensors, got {type(x).__name__}")
        first = inputs[0]
        if first.dim() < 2:
            raise arguments.wrong("input", "at least two dimensions, (T, B, …)", f"shape {tuple(first.shape)}")
        alone = first.dim() == 2 and isinstance(model, Layer | nn.RNNBase)  # one sequence, (T, features)
        first_is_batch = getattr(model, "batch_first", False) if batch_first is None else batch_first
        time = 1 if first_is_batch and not alone else 0
        steps = first.shape[time]
        if lengths is not None:
            lengths = arguments.check_lengths(lengths, 1 if alone else first.shape[1 - time], steps, first.device)
        if reset is not None:
            reset = arguments.check_reset(reset, tuple(first.shape[: 1 if alone else 2]), first.device)
        return cls(inputs, single, time, steps, lengths, reset)

    def part(self, start: int, stop: int) -> tuple[Tensor | tuple[Tensor, ...], dict[str, Tensor]]:
        """The steps from `start` to before `stop`: the input, and what is given by name."""
        cut = tuple(self._cut(x, start, stop) for x in self.inputs)
        named = {}
        if self.lengths is not None:
            named["lengths"] = (self.lengths - start).clamp(0, stop - start)
        if self.reset is not None:
            named["reset"] = self.reset.narrow(self.time, start, stop - start)
        return cut[0] if self.single else cut, named

    def _cut(self, x: Tensor, start: int, stop: int) -> Tensor:
        whole = x.dim() < self.inputs[0].dim() or x.shape[self.time] != self.steps
        return x if whole else x.narrow(self.time, start, stop - start)


def _parts(model: Callable, whole: _Whole, k: int, through: int, state: Any) -> Iterator[tuple[Any, Any]]:
    """Part by part; `began` holds the states before the last few parts, this one's last."""
    began = deque([state], maxlen=through // k)
    for stop in range(k, whole.steps + k, k):
        again = k * (len(began) - 1)  # steps before the part, for the gradient alone
        start, stop = stop - k - again, min(stop, whole.steps)
        x, named = whole.part(start, stop)
        output, state = model(x, began[0], **named)
        began[0] = detach(began[0])  # what the first state came from has had its gradient
        yield _behind(output, again, whole.time) if again else output, state
        began.append(detach(state))
        del output, state  # the next part keeps nothing of this one alive


def _behind(output: Any, steps: int, time: int) -> Any:
    """An output, whatever it consists of, without its first few steps."""
    return _mapped(lambda y: y.narrow(time, steps, y.shape[time] - steps), output, "output")


def _check_directions(model: object) -> None:
    if not callable(model):
        raise TypeError(f"model: expected something to call, got {type(model).__name__}")
    if isinstance(model, Layer | nn.RNNBase) and model.bidirectional:
        remedy = "the reverse one would need what has not been read yet"
        raise arguments.wrong("model", "a layer with one direction", "one with two", remedy)
