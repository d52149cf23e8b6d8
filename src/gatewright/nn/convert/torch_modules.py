"""torch's recurrent modules: the same names and layout as the drop-ins', so that a state_dict is all there is to it."""

from __future__ import annotations

from typing import Any

from torch import nn

from .. import arguments
from ..drop_in import LSTM, replace
from ..stack import Stack
from ..step_cell import GRUCell, LSTMCell, RNNCell
from .plain import checked_stack

_CELLS = {nn.LSTMCell: LSTMCell, nn.GRUCell: GRUCell, nn.RNNCell: RNNCell}
_MODULES = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN_TANH": nn.RNN, "RNN_RELU": nn.RNN}


def from_torch(module: nn.Module) -> nn.Module:
    """Our module with a copy of the weights of one of torch's; `gw.replace(model)` changes a whole model in place.

    Args:
        module: an `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.LSTMCell`, `nn.GRUCell` or `nn.RNNCell`, of any settings.

    Raises:
        TypeError: it is none of them; a subclass may do something else.
        ValueError: a parametrisation computes its weights.

    >>> import gatewright as gw, torch
    >>> layer = gw.convert.from_torch(torch.nn.GRU(3, 5, bidirectional=True))
    >>> type(layer)
    <class 'gatewright.nn.drop_in.GRU'>
    """
    _refuse_computed(module)
    if type(module) in (nn.LSTM, nn.GRU, nn.RNN):
        ours = replace(_copied(module))
        assert isinstance(ours, Stack)
        return ours
    if type(module) in _CELLS:
        return _cell(module)
    raise TypeError(
        f"module: expected torch's nn.LSTM, nn.GRU, nn.RNN or one of their cells, got {type(module).__name__}; in a "
        "model that holds such modules, gw.replace(model) takes their place"
    )


def _refuse_computed(module: nn.Module) -> None:
    """A weight that a parametrisation computes is no longer a parameter."""
    cell = ("weight_ih", "weight_hh") if isinstance(module, nn.RNNCellBase) else ()
    names = module._flat_weights_names if isinstance(module, nn.RNNBase) else cell
    if computed := [name for name in names if name not in module._parameters]:
        raise arguments.wrong(
            "module", "weights that are parameters", f"{', '.join(computed)} computed from others", "remove that first"
        )


def _copied(module: Any) -> nn.Module:
    """The same module with weights of its own, and no hooks."""
    weight = module.weight_ih_l0
    copy = type(module)(**_settings(module), dtype=weight.dtype, device=weight.device)
    copy.load_state_dict(module.state_dict())
    return copy.train(module.training)


def _settings(module: Any) -> dict[str, Any]:
    names = "input_size hidden_size num_layers bias batch_first dropout bidirectional".split()
    further = {"LSTM": ["proj_size"], "RNN": ["nonlinearity"], "GRU": []}[type(module).__name__]
    return {name: getattr(module, name) for name in names + further}


def _cell(module: Any) -> nn.Module:
    options = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNNCell) else {}
    weight = module.weight_ih
    ours = _CELLS[type(module)](
        module.input_size, module.hidden_size, module.bias, dtype=weight.dtype, device=weight.device, **options
    )
    ours.load_state_dict(module.state_dict())
    return ours.train(module.training)


def to_torch(layer: nn.Module) -> nn.RNNBase:
    """torch's module with a copy of the weights of one of our layers, whose equations are that module's.

    Args:
        layer: a drop-in, or a `gw.Recurrent` whose cell is an LSTM (projected or not), a GRU that resets after the
            product, or an RNN, by whatever name.

    Raises:
        TypeError, ValueError: the layer is something torch has not; the message says what.

    >>> import gatewright as gw
    >>> gw.convert.to_torch(gw.Recurrent("gru", 3, 5, num_layers=2))
    GRU(3, 5, num_layers=2)
    """
    stack = checked_stack(layer)
    form = stack._layers[0].layout.form
    if form is None:
        raise arguments.wrong(
            "layer", "the equations of nn.LSTM, nn.GRU or nn.RNN", f"those of {stack.cell.name}", "keep it as it is"
        )
    if stack.bidirectional and stack.merge != "concat":
        raise arguments.wrong("merge", "'concat'", repr(stack.merge), "torch puts directions side by side")
    if stack.dropout and stack.dropout_kind != "fresh":
        raise arguments.wrong("dropout_kind", "'fresh'", repr(stack.dropout_kind), "torch draws at each step")
    options: dict[str, Any] = {"nonlinearity": form.mode[4:].lower()} if form.mode.startswith("RNN") else {}
    if form.projection:
        options["proj_size"] = stack.proj_size if isinstance(stack, LSTM) else stack.state_sizes[stack.cell.states[0]]
    weights = dict(stack.named_parameters(recurse=False))
    like = next(iter(weights.values()))
    theirs = _MODULES[form.mode](
        stack.input_size,
        stack.hidden_size,
        stack.num_layers,
        bias=stack.bias,
        batch_first=stack.batch_first,
        dropout=stack.dropout,
        bidirectional=stack.bidirectional,
        dtype=like.dtype,
        device=like.device,
        **options,
    )
    theirs.load_state_dict(stack.state_dict())
    return theirs.train(stack.training)
