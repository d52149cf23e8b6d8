"""`gw.LSTM`, `gw.GRU` and `gw.RNN`: torch's modules by signature, `state_dict` and results, with more backends."""

from __future__ import annotations

import warnings
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..backends import vendor
from ..cells import zoo
from ..graph import Cell
from ..plan.regularise import Rates
from . import arguments, init, initial
from .initial import Learned
from .recompute import Recompute
from .stack import Stack


class _DropIn(Stack):
    """What the three have in common with torch's `nn.RNNBase`."""

    mode: str
    proj_size: int = 0

    def __init__(self, cell: Cell, input_size, hidden_size, num_layers, *, dropout: float, sizes=None, **options):
        super().__init__(cell, input_size, hidden_size, num_layers, dropout=dropout, sizes=sizes, heads=1, **options)
        form = self._layers[0].layout.form
        assert form is not None
        self.mode = form.mode
        if dropout > 0 and num_layers == 1:
            warnings.warn(f"dropout={dropout} has no effect with num_layers=1: it stands between layers", stacklevel=3)
        self.flatten_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights as torch does: U(−1/√H, 1/√H); learned states start anew."""
        initial.reset(self)
        own = {name: p for name, p in self.named_parameters(recurse=False) if name in self._stored_names}
        init.like_torch(own, self.hidden_size)

    def forward(self, input, hx=None, *, lengths=None, reset=None, states=None):
        steps = input.data if isinstance(input, PackedSequence) else input
        time = 1 if self.batch_first and isinstance(steps, Tensor) and steps.dim() == 3 else 0
        if isinstance(input, Tensor) and input.dim() in (2, 3) and input.shape[time] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")  # torch's error, and its words
        return super().forward(input, hx, lengths=lengths, reset=reset, states=states)

    def flatten_parameters(self) -> None:
        """On a GPU, lay the weights out in one piece as cuDNN wants them; nothing to do elsewhere."""
        vendor.flatten(self.mode, self, self._vendor_call()[1])

    def _apply(self, fn, recurse=True):
        moved = super()._apply(fn, recurse)
        self.flatten_parameters()
        return moved

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, in torch's order."""
        return [list(self._tensors(k, suffix).values()) for k in range(self.num_layers) for suffix in self._suffixes]

    def __setattr__(self, name: str, value) -> None:
        if name == "mode" and "mode" in self.__dict__:
            self._fixed(name)
        super().__setattr__(name, value)

    def _fixed(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is fixed when the module is made")


class LSTM(_DropIn):
    """`torch.nn.LSTM`, with `lengths=`, `reset=`, `states=`, regularisers and a choice of backend.

    i, f, o = σ(W x + U h + b), g = tanh(W x + U h + b), c = f ⊙ c + i ⊙ g, h = o ⊙ tanh(c).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype: as
            torch's.
        backend: "auto", "cpu" (kernels compiled from the equations), "vendor" (torch's own kernel) or "reference".
        dropout_kind, recurrent_dropout, zoneout, weight_drop, learned_state, recompute: as `gw.Recurrent`'s.

    Returns (output, (h_n, c_n)) when called; output (T, B, directions · H), or · proj_size.

    >>> import gatewright as gw, torch
    >>> theirs, ours = torch.nn.LSTM(3, 5), gw.LSTM(3, 5)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> y, (h, c) = ours(torch.zeros(7, 2, 3), lengths=torch.tensor([7, 4]))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: str = "auto",
        dropout_kind: str = "fresh",
        recurrent_dropout: Rates = 0.0,
        zoneout: Rates = 0.0,
        weight_drop: Rates = 0.0,
        learned_state: Learned = False,
        recompute: Recompute = None,
    ):
        arguments.check_size("proj_size", proj_size, least=0)
        if proj_size and proj_size >= hidden_size:
            raise arguments.wrong("proj_size", f"less than hidden_size ({hidden_size})", proj_size)
        super().__init__(
            zoo.lstmp if proj_size else zoo.lstm,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            backend=backend,
            dropout_kind=dropout_kind,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            weight_drop=weight_drop,
            learned_state=learned_state,
            recompute=recompute,
            sizes={"P": proj_size} if proj_size else None,
            dtype=dtype,
            device=device,
        )
        self.proj_size = proj_size


class GRU(_DropIn):
    """`torch.nn.GRU`, with `lengths=`, `reset=`, `states=`, regularisers and a choice of backend.

    r, z = σ(W x + U h + b), n = tanh(W x + b + r ⊙ (U h + b)), h = (1 − z) ⊙ n + z ⊙ h.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as torch's.
        backend: "auto", "cpu" (kernels compiled from the equations), "vendor" (torch's own kernel) or "reference".
        dropout_kind, recurrent_dropout, zoneout, weight_drop, learned_state, recompute: as `gw.Recurrent`'s.

    Returns (output, h_n) when called; output (T, B, directions · H), h_n (layers · directions, B, H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: str = "auto",
        dropout_kind: str = "fresh",
        recurrent_dropout: Rates = 0.0,
        zoneout: Rates = 0.0,
        weight_drop: Rates = 0.0,
        learned_state: Learned = False,
        recompute: Recompute = None,
    ):
        super().__init__(
            zoo.gru,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            backend=backend,
            dropout_kind=dropout_kind,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            weight_drop=weight_drop,
            learned_state=learned_state,
            recompute=recompute,
            dtype=dtype,
            device=device,
        )


class RNN(_DropIn):
    """`torch.nn.RNN`, with `lengths=`, `reset=`, `states=`, regularisers and a choice of backend.

    h = tanh(W x + U h + b), or relu.

    Args:
        input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device, dtype: as
            torch's.
        backend: "auto", "cpu" (kernels compiled from the equations), "vendor" (torch's own kernel) or "reference".
        dropout_kind, recurrent_dropout, zoneout, weight_drop, learned_state, recompute: as `gw.Recurrent`'s.

    Returns (output, h_n) when called; output (T, B, directions · H), h_n (layers · directions, B, H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: str = "auto",
        dropout_kind: str = "fresh",
        recurrent_dropout: Rates = 0.0,
        zoneout: Rates = 0.0,
        weight_drop: Rates = 0.0,
        learned_state: Learned = False,
        recompute: Recompute = None,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise arguments.wrong("nonlinearity", "'tanh' or 'relu'", repr(nonlinearity))
        super().__init__(
            zoo.rnn.with_(nonlinearity=nonlinearity),
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            backend=backend,
            dropout_kind=dropout_kind,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            weight_drop=weight_drop,
            learned_state=learned_state,
            recompute=recompute,
            dtype=dtype,
            device=device,
        )
        self.nonlinearity = nonlinearity


def replace(model: nn.Module) -> nn.Module:
    """Put our drop-in in place of every `nn.LSTM`, `nn.GRU` and `nn.RNN` of a model, sharing its weights.

    The very `nn.Parameter`s are kept, so an optimiser that holds them goes on, and so does what is tied to them.

    Args:
        model: changed in place; where it is itself one of the three, use what is returned.

    Returns:
        the model. Subclasses of the three are left as they are, with a warning: they may do something else.

    >>> import gatewright as gw, torch
    >>> model = gw.replace(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LSTM(4, 5)))
    >>> type(model[1]).__module__.split(".")[0]
    'gatewright'
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    made: dict[nn.Module, nn.Module] = {}
    for name, theirs in model.named_modules():
        if why_not := _not_ours(theirs):
            warnings.warn(f"replace: {name or 'the model'} {why_not}: left as it is", stacklevel=2)
        elif isinstance(theirs, nn.RNNBase):
            made[theirs] = _replacement(theirs)
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in made:
                parent._modules[name] = made[child]
    return made.get(model, model)


_OURS = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}


_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks", "_is_full_backward_hook",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip


def _not_ours(module: nn.Module) -> str | None:
    """Why a recurrent module of torch's cannot be replaced; None for all other modules."""
    if not isinstance(module, nn.RNNBase):
        return None
    if type(module) not in _OURS:
        return f"is a {type(module).__name__}, a subclass of torch's"
    if any(not isinstance(getattr(module, name), nn.Parameter) for name in module._flat_weights_names):
        return "has weights that are computed from others"
    return None


def _replacement(theirs: nn.RNNBase) -> nn.Module:
    """Ours, with their weights, mode and hooks."""
    options = {"proj_size": theirs.proj_size} if isinstance(theirs, nn.LSTM) else {}
    options |= {"nonlinearity": theirs.nonlinearity} if isinstance(theirs, nn.RNN) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has been said when theirs was made
        ours = _OURS[type(theirs)](
            theirs.input_size,
            theirs.hidden_size,
            theirs.num_layers,
            bias=theirs.bias,
            batch_first=theirs.batch_first,
            dropout=theirs.dropout,
            bidirectional=theirs.bidirectional,
            device="meta",
            **options,
        )
    for name, parameter in theirs._parameters.items():  # named_parameters() leaves out what is tied
        ours.register_parameter(name, parameter)
    for hooks in _HOOKS:  # the very dicts, so that a handle's remove() still reaches its hook
        setattr(ours, hooks, getattr(theirs, hooks))
    return ours.train(theirs.training)
