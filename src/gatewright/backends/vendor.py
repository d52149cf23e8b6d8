"""The vendors' kernels, as torch calls them: oneDNN on the CPU, cuDNN on the GPU.

A mode is torch's own name of a recurrence. Whether a cell is one, and which weight goes where, is decided
elsewhere, from its equations.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

KERNELS: dict[str, Callable] = {
    "LSTM": torch._VF.lstm,  # pyright: ignore[reportAttributeAccessIssue]
    "GRU": torch._VF.gru,  # pyright: ignore[reportAttributeAccessIssue]
    "RNN_TANH": torch._VF.rnn_tanh,  # pyright: ignore[reportAttributeAccessIssue]
    "RNN_RELU": torch._VF.rnn_relu,  # pyright: ignore[reportAttributeAccessIssue]
}
STEPS: dict[str, Callable] = {
    "LSTM": torch._VF.lstm_cell,  # pyright: ignore[reportAttributeAccessIssue]
    "GRU": torch._VF.gru_cell,  # pyright: ignore[reportAttributeAccessIssue]
    "RNN_TANH": torch._VF.rnn_tanh_cell,  # pyright: ignore[reportAttributeAccessIssue]
    "RNN_RELU": torch._VF.rnn_relu_cell,  # pyright: ignore[reportAttributeAccessIssue]
}
NAMES = {"LSTM": "nn.LSTM", "GRU": "nn.GRU", "RNN_TANH": "nn.RNN", "RNN_RELU": "nn.RNN"}
DEVICES = ("cpu", "cuda")
"""Others are left to the reference: on MPS and ROCm these kernels have given wrong results."""


class Call(NamedTuple):
    """How torch's kernel is called."""

    mode: str
    bias: bool
    num_layers: int
    dropout: float
    training: bool
    bidirectional: bool
    batch_first: bool


def in_transform() -> bool:
    """Whether a torch.func transform (vmap, grad, jvp, …) is running."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]


def refuses(x: Tensor) -> str | None:
    """Why torch's kernel cannot run on this tensor here and now, or None where it can."""
    if x.device.type not in DEVICES:
        return f"the vendors' kernels are not trusted on {x.device.type}"
    if in_transform():
        return "torch.func transforms go through the reference"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode derivatives go through the reference"
    return None


def run(
    call: Call, weights: Sequence[Tensor], x: Tensor | PackedSequence, states: tuple[Tensor, ...]
) -> tuple[Tensor | PackedSequence, tuple[Tensor, ...]]:
    """The whole stack of layers in one call: (outputs, final states), as `nn.LSTM` gives them."""
    hidden = states if len(states) != 1 else states[0]
    options = (call.bias, call.num_layers, call.dropout, call.training, call.bidirectional)
    if isinstance(x, PackedSequence):
        data, *final = _called(call, states, x.data, (x.data, x.batch_sizes, hidden, list(weights), *options))
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), tuple(final)
    y, *final = _called(call, states, x, (x, hidden, list(weights), *options, call.batch_first))
    return y, tuple(final)


def _called(call: Call, states: tuple[Tensor, ...], x: Tensor, arguments: tuple) -> tuple[Tensor, ...]:
    """The kernel's result. The usual call goes to it at once: behind a kernel every line here runs cold."""
    kernel = KERNELS[call.mode]
    if not x.is_cuda and states[0].shape[-1] == states[-1].shape[-1]:
        return kernel(*arguments)
    with _differentiable(call, x), _quiet(states):
        return kernel(*arguments)


def _differentiable(call: Call, x: Tensor) -> contextlib.AbstractContextManager:
    """cuDNN has no backward in evaluation mode; torch's own kernels do."""
    needs = x.is_cuda and not call.training and torch.is_grad_enabled()
    return torch.backends.cudnn.flags(enabled=False) if needs else contextlib.nullcontext()


@contextlib.contextmanager
def _quiet(states: tuple[Tensor, ...]) -> Iterator[None]:
    """torch says once a process that oneDNN knows no projections; that is no news to who asked for one."""
    if states[0].device.type != "cpu" or len({s.shape[-1] for s in states}) == 1:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        yield


def run_lengths(
    call: Call, weights: Sequence[Tensor], x: Tensor, states: tuple[Tensor, ...], lengths: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The same over sequences of these lengths, 0 allowed for all but one: by packing, and without the empty ones."""
    time, batch = (1, 0) if call.batch_first else (0, 1)
    counts = lengths.cpu()
    if bool((counts == x.shape[time]).all()):
        y, final = run(call, weights, x, states)
        assert isinstance(y, Tensor)
        return y, final
    kept = counts.nonzero().squeeze(-1)
    whole = len(kept) == x.shape[batch]
    index = kept.to(x.device)
    rows = x if whole else x.index_select(batch, index)
    packed = pack_padded_sequence(rows, counts[kept], call.batch_first, enforce_sorted=False)
    began = states if whole else tuple(s.index_select(1, index) for s in states)
    began = tuple(s.index_select(1, packed.sorted_indices) for s in began)  # pyright: ignore[reportArgumentType]
    out, final = run(call, weights, packed, began)
    assert isinstance(out, PackedSequence)
    y, _ = pad_packed_sequence(out, call.batch_first, total_length=x.shape[time])
    final = tuple(s.index_select(1, packed.unsorted_indices) for s in final)  # pyright: ignore[reportArgumentType]
    if whole:
        return y, final
    shape = list(x.shape[:2])
    empty = y.new_zeros(*shape, y.shape[-1])
    final = tuple(old.index_copy(1, index, new) for old, new in zip(states, final, strict=True))
    return empty.index_copy(batch, index, y), final


def flatten(mode: str, layer: torch.nn.Module, weights: Sequence[Tensor]) -> None:
    """Lay the weights of a layer out in one piece, as cuDNN wants them; torch's own module knows how."""
    if not weights or not all(isinstance(w, torch.nn.Parameter) and w.is_cuda for w in weights):
        return
    kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}.get(mode, torch.nn.RNN)
    options = {"proj_size": getattr(layer, "proj_size", 0)} if mode == "LSTM" else {}
    options |= {"nonlinearity": mode[4:].lower()} if mode.startswith("RNN") else {}
    shell = kind(
        layer.input_size, layer.hidden_size, layer.num_layers, bias=layer.bias, batch_first=layer.batch_first,
        bidirectional=layer.bidirectional, device="meta", **options,
    )  # fmt: skip
    for (name, _), weight in zip(list(shell.named_parameters()), weights, strict=True):
        setattr(shell, name, weight)
    shell.flatten_parameters()
