"""The kernels as operators of torch: one forward and one backward for all cells, the program's text as an argument.

    run ─▶ Forward (autograd.Function) ─▶ gatewright::cpu_forward ─▶ Kernel.forward
             └ its backward: Backward (autograd.Function) ─▶ gatewright::cpu_backward ─▶ Kernel.backward
                                └ its backward: the reference

First derivatives come from the kernels, also under `torch.func.grad` and `vmap`. Derivatives of derivatives and forward
mode come from the reference. An operator costs tens of microseconds, so it is left out where nobody traces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch.autograd import forward_ad

from ...plan.program import Program
from ..vendor import in_transform
from .by_reference import Given, by_reference
from .operators import backward, direct_backward, direct_forward, forward, is_direct

Found = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]
Counts = tuple[int, int, int, int]
"""How many inputs, weights, states and outputs with a derivative there are."""


def run(
    program: Program,
    inputs: tuple[Tensor, ...],
    weights: tuple[Tensor, ...],
    states: tuple[Tensor, ...],
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    seed: Tensor | None = None,
    reverse: bool = False,
    halves: bool = False,
) -> Found:
    """One layer in one direction: (output, final states, every state, records), in the user's order of time.

    Every state and the records are there where the program asks for them. Records have no derivative.

    Args:
        program: what runs.
        inputs: (T, B, width) each: the cell's, then what the program looks back at (`Program.looks_back`).
        weights: the stored tensors, in the program's order.
        states: (B, width) each, before the first step.
        lengths: (B,) int64, each sequence's number of valid steps.
        reset: (T, B) bool.
        seed: int64, one number; None where nothing is random.
        reverse: whether time runs backwards.
        halves: whether products may round what they multiply to bfloat16.
    """
    if reset is not None and not program.reset:
        raise ValueError("reset: the program knows no resets: make it with reset=True")
    tensors = (*inputs, *weights, *states)
    given, text = (lengths, reset, seed), program.half_text if halves else program.text
    smooth = _smooth(program)
    if is_direct(tensors):  # nearly always: past all that the others need
        if torch.is_grad_enabled() and True in [t.requires_grad for t in tensors]:
            counts = (len(inputs), len(weights), len(states), smooth)
            return _grouped(program, Direct.apply(text, counts, reverse, True, *given, *tensors))
        return _grouped(program, direct_forward(text, inputs, weights, states, *given, reverse, False))
    compiling = torch.compiler.is_compiling()
    if not compiling and _forward_mode():
        found = by_reference(program, inputs, weights, states, given, reverse)
        return _grouped(program, [f if i < smooth else f.detach() for i, f in enumerate(found)])
    mapped = not compiling and in_transform()
    asks = any(t.requires_grad for t in tensors) or (mapped and _hidden_grad(tensors))
    # an exported program holds no derivatives
    train = asks and torch.is_grad_enabled() and not torch.compiler.is_exporting()
    if train or mapped:
        counts = (len(inputs), len(weights), len(states), smooth)
        function = Forward if mapped or compiling else Plain
        return _grouped(program, function.apply(text, counts, reverse, train, *given, *tensors))
    return _grouped(program, forward(text, inputs, weights, states, *given, reverse, False))


def _smooth(program: Program) -> int:
    """How many outputs have a derivative: the output, the final states and every state."""
    return 1 + len(program.graph.states) * (2 if program.every else 1)


def _grouped(program: Program, found: Sequence[Tensor]) -> Found:
    n, m = 1 + len(program.graph.states), _smooth(program)
    return found[0], tuple(found[1:n]), tuple(found[n:m]), tuple(found[m : m + len(program.record)])


def _forward_mode() -> bool:
    """Whether a forward-mode derivative is being taken, torch's own or `torch.func.jvp`."""
    if forward_ad._current_level >= 0:
        return True
    levels = functorch.get_interpreter_stack() or ()
    return any(level.key() is functorch.TransformType.Jvp for level in levels)


def _hidden_grad(tensors: Sequence[Tensor]) -> bool:
    """Whether a tensor needs a gradient at some level of the transforms around us: the last one hides the others."""
    for t in tensors:
        while functorch.is_functorch_wrapped_tensor(t):
            t = functorch.get_unwrapped(t)
            if t.requires_grad:
                return True
    return False


# -- derivatives ----------------------------------------------------------------------------------------------


def _split(tensors: Sequence[Any], counts: Sequence[int]) -> list[tuple]:
    """The tensors in groups of so many; what is left over comes last."""
    groups, start = [], 0
    for count in counts:
        groups.append(tuple(tensors[start : start + count]))
        start += count
    return [*groups, tuple(tensors[start:])]


class Forward(torch.autograd.Function):
    """The outputs and what backward needs. Without `jvp`: forward mode is an error here, never zero."""

    @staticmethod
    def forward(text, counts, reverse, train, lengths, reset, seed, *tensors):
        inputs, weights, states, _ = _split(tensors, counts[:3])
        return tuple(forward(text, inputs, weights, states, lengths, reset, seed, reverse, train))

    @staticmethod
    def setup_context(ctx, inputs, output):
        text, counts, reverse, _, *given = inputs
        smooth = counts[3]
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*output[smooth:])
        ctx.save_for_backward(*given, *output[:smooth], output[-1])
        ctx.text, ctx.counts, ctx.reverse = text, counts, reverse

    @staticmethod
    def backward(ctx, *grads):
        given, leaves, outputs, (saved,) = _split(ctx.saved_tensors, (3, sum(ctx.counts[:3]), ctx.counts[3]))
        needs = ctx.needs_input_grad[7:]
        grads = grads[: ctx.counts[3]]
        if not any(needs) or all(g is None for g in grads):
            return (None,) * (7 + len(needs))
        if _is_simple(saved, grads):
            inputs, weights, states = _split(leaves, ctx.counts[:2])
            lengths, reset, seed = given
            found = direct_backward(
                ctx.text, saved, inputs, weights, states, outputs, lengths, reset, seed, ctx.reverse, grads, needs
            )
            return *(None,) * 7, *found
        if not torch.compiler.is_compiling() and _forward_mode():
            return *(None,) * 7, *_gradients(ctx.text, ctx.counts, ctx.reverse, given, leaves, grads, needs)
        arguments = (ctx.text, ctx.counts, ctx.reverse, needs, *given, saved, *leaves, *outputs)
        # with create_graph a node of its own, so that it can be differentiated again
        call = Backward.apply if torch.is_grad_enabled() else Backward.forward
        if not torch.compiler.is_compiling() and any(g is not None and _is_batched(g) for g in grads):
            found = _each_cotangent(call, arguments, grads)
        else:
            found = call(*arguments, *grads)
        return *(None,) * 7, *_placed(found, needs)

    @staticmethod
    def vmap(info, in_dims, *args):
        text, counts, reverse, train, *tensors = args
        dims, many = in_dims[4:], info.batch_size
        _, _, weights, _ = _split(dims, (3, counts[0], counts[1]))
        seed = tensors[2]
        if seed is not None or any(d is not None for d in weights):
            # each sample draws as if it were alone, or has weights of its own
            networks = Networks(many, dims, tensors, counts)
            return networks.apart(Forward.apply(text, counts, reverse, train, *networks.tensors))
        folded = _folded(many, dims, counts, tensors)
        *outputs, saved = Forward.apply(text, counts, reverse, train, *folded)
        axes = [y.dim() - 2 for y in outputs]
        apart = [y.unflatten(a, (many, y.shape[a] // many)) for y, a in zip(outputs, axes, strict=True)]
        return (*apart, saved), (*axes, None)


class Plain(torch.autograd.Function):
    """`Forward` without transforms: a Function with a `setup_context` costs 60 µs more at every call."""

    @staticmethod
    def forward(ctx, *inputs):
        output = Forward.forward(*inputs)
        Forward.setup_context(ctx, inputs, output)
        return output

    backward = Forward.backward


class Direct(Plain):
    """`Plain` where nobody traces or listens either: forward is the kernel itself."""

    @staticmethod
    def forward(ctx, *inputs):
        text, counts, reverse, train, lengths, reset, seed, *tensors = inputs
        first, second = counts[0], counts[0] + counts[1]
        groups = tensors[:first], tensors[first:second], tensors[second:]
        output = tuple(direct_forward(text, *groups, lengths, reset, seed, reverse, train))
        Forward.setup_context(ctx, inputs, output)
        return output


_is_batched = functorch.is_legacy_batchedtensor


def _is_simple(saved: Tensor, grads: Sequence[Tensor | None]) -> bool:
    """Whether the kernel itself can give the gradients: one cotangent each, and nothing but numbers is asked for."""
    there = [saved, *[g for g in grads if g is not None]]
    return is_direct(there) and not torch.is_grad_enabled() and not any(map(_is_batched, there))


def _each_cotangent(call: Callable, arguments: tuple, grads: Sequence[Tensor | None]) -> list[Tensor]:
    """The gradients for many cotangents at once: `is_grads_batched` is a vmap of its own, which no Function knows."""
    level = torch._C._vmapmode_increment_nesting() - 1  # there is no other way to ask for it
    torch._C._vmapmode_decrement_nesting()
    apart = {
        i: torch._VF._remove_batch_dim(g, level, 0, 0) for i, g in enumerate(grads) if g is not None and _is_batched(g)
    }
    dims = [0 if i in apart else None for i in range(len(grads))]
    many = len(next(iter(apart.values())))
    cotangents = [apart.get(i, g) for i, g in enumerate(grads)]
    each = [call(*arguments, *one) for one in _samples(many, dims, cotangents)]
    return [torch._VF._add_batch_dim(g, 0, level) for g in _stacked(each)[0]]


def _placed(found: Sequence[Tensor], needs: Sequence[bool]) -> list[Tensor | None]:
    """The gradients in the places of what they belong to."""
    rest = iter(found)
    return [next(rest) if needed else None for needed in needs]


class Backward(torch.autograd.Function):
    """The gradients that are needed; differentiated once more, they are the reference's."""

    @staticmethod
    def forward(text, counts, reverse, needs, lengths, reset, seed, saved, *tensors):
        inputs, weights, states, outputs, grads = _split(tensors, counts)
        given = (lengths, reset, seed)
        return tuple(backward(text, saved, inputs, weights, states, outputs, *given, reverse, grads, list(needs)))

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004
        text, counts, reverse, needs, *given, _saved = inputs[:8]
        leaves, _outputs, grads = _split(inputs[8:], (sum(counts[:3]), counts[3]))
        ctx.save_for_backward(*given, *leaves, *grads)
        ctx.text, ctx.counts, ctx.reverse, ctx.needs = text, counts, reverse, needs

    @staticmethod
    def backward(ctx, *along):
        given, leaves, grads = _split(ctx.saved_tensors, (3, sum(ctx.counts[:3])))
        there = [g is not None for g in grads]

        def gradients(*primals: Tensor) -> tuple[Tensor, ...]:
            own, own_grads = _split(primals, (len(leaves),))
            found = _gradients(ctx.text, ctx.counts, ctx.reverse, given, own, _placed(own_grads, there), ctx.needs)
            return tuple(g for g in found if g is not None)

        pulled = _pulled(gradients, (*leaves, *(g for g in grads if g is not None)), along)
        of_leaves, of_grads = _split(pulled, (len(leaves),))
        return *(None,) * 8, *of_leaves, *(None,) * ctx.counts[3], *_placed(of_grads, there)

    @staticmethod
    def vmap(info, in_dims, *args):
        text, counts, reverse, needs, *tensors = args
        dims, leaves = in_dims[4:], sum(counts[:3])
        # forward has put the samples side by side, and what it saved belongs to all of them
        side_by_side = dims[3] is None and dims[4 + leaves] is not None
        networks = Networks(info.batch_size, dims, tensors, counts, others=1)
        given, (saved,), own, outputs, grads = _split(networks.tensors, (3, 1, leaves, counts[3]))
        if side_by_side:
            *found, saved = Forward.apply(text, counts, reverse, True, *given, *own)
            outputs = found[: counts[3]]
        return networks.apart(Backward.apply(text, counts, reverse, needs, *given, saved, *own, *outputs, *grads))


class Networks:
    """The samples of a vmap as so many networks: every tensor with their axis in front, standing still where they
    share it. Samples of what are networks already are more of them.

    others: how many tensors stand between lengths, resets, seed and the leaves.
    """

    def __init__(
        self, count: int, dims: Sequence[int | None], tensors: Sequence[Tensor | None], counts: Counts, others: int = 0
    ):
        self.count = count
        state = 3 + others + counts[0] + counts[1]
        found = [self._in_front(t, d) for t, d in zip(tensors, dims, strict=True)]
        first = found[state]
        assert first is not None
        self.more = first.dim() > 3
        self.tensors = [t.flatten(0, 1) if t is not None and self.more else t for t in found]

    def _in_front(self, t: Tensor | None, dim: int | None) -> Tensor | None:
        if t is None:
            return None
        return t.movedim(dim, 0) if dim is not None else t.unsqueeze(0).expand(self.count, *t.shape)

    def apart(self, results: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """The results sample by sample, and the dimension in which they lie."""
        found = tuple(t.unflatten(0, (self.count, -1)) if self.more else t for t in results)
        return found, (0,) * len(found)


def _samples(count: int, dims: Sequence[int | None], tensors: Sequence[Tensor | None]) -> Iterator[list[Tensor | None]]:
    """The arguments of each sample of a vmap."""
    for i in range(count):
        yield [t if t is None or d is None else t.select(d, i) for t, d in zip(tensors, dims, strict=True)]


def _stacked(each: Sequence[tuple[Tensor, ...]]) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The results of all samples, and the dimension in which they lie."""
    return tuple(torch.stack(parts) for parts in zip(*each, strict=True)), (0,) * len(each[0])


def _folded(
    count: int, dims: Sequence[int | None], counts: Counts, tensors: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The samples of a vmap side by side in the batch: (…, T, N, B, …) as (…, T, N·B, …); weights as they are."""
    batch = [-1, -1, None, *[-2] * counts[0], *[None] * counts[1], *[-2] * counts[2]]  # where a sample has its batch
    found = []
    for t, d, behind in zip(tensors, dims, batch, strict=True):
        if t is None or behind is None:
            found.append(t)
            continue
        axis = t.dim() - (d is not None) + behind
        apart = t.movedim(d, axis) if d is not None else t.unsqueeze(axis).expand(*(-1,) * axis, count, *t.shape[axis:])
        found.append(apart.flatten(axis, axis + 1))
    return found


def _gradients(
    text: str,
    counts: Counts,
    reverse: bool,
    given: Given,
    leaves: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of inputs, weights and states by the reference: differentiable in every way that torch has."""
    program = Program.parse(text)
    along = {i: g for i, g in enumerate(grads) if g is not None}

    def outputs(*needed: Tensor) -> tuple[Tensor, ...]:
        own = [leaf if new is None else new for leaf, new in zip(leaves, _placed(needed, needs), strict=True)]
        inputs, weights, states, _ = _split(own, counts[:3])
        found = by_reference(program, inputs, weights, states, given, reverse)
        return tuple(found[i] for i in along)

    needed = tuple(leaf for leaf, n in zip(leaves, needs, strict=True) if n)
    return _placed(_pulled(outputs, needed, tuple(along.values())), needs)


def _pulled(function: Callable, primals: Sequence[Tensor], along: Sequence[Tensor]) -> Sequence[Tensor]:
    """The vector-Jacobian product of a function with several results; it can be differentiated again."""
    pull: Callable = torch.func.vjp(function, *primals)[1]
    return pull(tuple(along))
