"""Modules as JSON: what they are made of, so that they can be made again without the code that made them.

A description says the class, the constructor's arguments, the dtype, the modules inside, and what computes weights:

    {"class": "Recurrent", "cell": 0, "arguments": {"input_size": 3, "hidden_size": 5, …}, "dtype": "float32"}

"cell" is a place in a list of cells, `{"name": "lstm", "equations": "h_t, c_t = lstm(x_t; …", "doc": "…"}`. A module
that stands in several places is described once, and elsewhere is `{"same": 3}`: description 3, counted from 0. Only the
classes below are ever made, on torch's "meta" device, and equations are parsed, never executed.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from ..graph import Cell, parse
from .convolution import ConvRecurrent
from .deep import Deep
from .drop_in import GRU, LSTM, RNN
from .dropout import EmbeddingDropout, LockedDropout
from .ensemble import Ensemble
from .files import dtype_name
from .recurrent import Recurrent
from .step_cell import GRUCell, LSTMCell, RNNCell

Description = dict[str, Any]

OURS: dict[str, Any] = {
    c.__name__: c for c in (Recurrent, LSTM, GRU, RNN, ConvRecurrent, LSTMCell, GRUCell, RNNCell, LockedDropout)
}
"""Modules that are their arguments; arguments are attributes of the same name."""

GIVEN_A_CELL = ("Recurrent", "ConvRecurrent")
ELSEWHERE = {"sizes": "_sizes"}

TORCHS = {
    "Linear": "in_features out_features bias",
    "Embedding": "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq sparse",
    "Conv1d": "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode",
    "LayerNorm": "normalized_shape eps elementwise_affine bias",
    "RMSNorm": "normalized_shape eps elementwise_affine",
    "BatchNorm1d": "num_features eps momentum affine track_running_stats",
    "Dropout": "p inplace",
    "Identity": "",
    "Flatten": "start_dim end_dim",
    "Tanh": "",
    "Sigmoid": "",
    "ReLU": "inplace",
    "LeakyReLU": "negative_slope inplace",
    "ELU": "alpha inplace",
    "GELU": "approximate",
    "SiLU": "inplace",
    "Softplus": "beta threshold",
    "Softmax": "dim",
    "LogSoftmax": "dim",
}
TORCHS |= dict.fromkeys(("Conv2d", "Conv3d"), TORCHS["Conv1d"])
TORCHS |= dict.fromkeys(("BatchNorm2d", "BatchNorm3d"), TORCHS["BatchNorm1d"])
"""Modules of `torch.nn` with their arguments: what stands between and behind recurrent layers."""

HOLDERS = {"Sequential": nn.Sequential, "ModuleList": nn.ModuleList, "ModuleDict": nn.ModuleDict}

COMPUTED = {
    "weight_norm": ("_WeightNorm", ("dim",)),
    "spectral_norm": ("_SpectralNorm", ("n_power_iterations", "eps", "dim")),
}
"""Parametrizations of `torch.nn.utils.parametrizations`: their classes there, and their arguments."""


class Unknown(Exception):
    """What cannot be described; its text says what it is."""


# -- from a module to a description --------------------------------------------------------------------------


class Describer:
    """Descriptions of modules; `cells` gathers the cells that they name."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self._seen: dict[nn.Module, int] = {}

    def cell(self, cell: Cell) -> int:
        """The place of a cell in the list."""
        known = [(c.name, c) for c in self.cells]
        if (cell.name, cell) not in known:
            self.cells.append(cell)
            return len(known)
        return known.index((cell.name, cell))

    def of(self, module: nn.Module) -> Description:
        """The description of a module; raises `Unknown`."""
        if module in self._seen:
            return {"same": self._seen[module]}
        self._seen[module] = len(self._seen)
        kind = plain_class(module)
        name = f"torch.nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__
        found: Description = {"class": name}
        if kind in HOLDERS.values():
            found["modules"] = {key: self.of(child) for key, child in module._modules.items() if child is not None}
        elif kind is Deep:
            found |= self._deep(module)
        elif kind is Ensemble:
            networks: Any = module
            found |= {"arguments": {"n": networks.n}, "modules": {"layer": self.of(networks.layer)}}
        elif kind is EmbeddingDropout:
            found["arguments"] = {"embedding": attributes(module, TORCHS["Embedding"].split()), "p": module.p}
        elif kind in OURS.values():
            found["arguments"] = attributes(module, arguments_of(kind))
        elif getattr(nn, kind.__name__, None) is kind and kind.__name__ in TORCHS:
            found["arguments"] = attributes(module, TORCHS[kind.__name__].split())
        else:
            raise Unknown(f"a {kind.__name__}, which is none of gatewright's modules")
        if isinstance(cell := getattr(module, "cell", None), Cell):
            found["cell"] = self.cell(cell)
        if (first := next(iter([*module.parameters(), *module.buffers()]), None)) is not None:
            found["dtype"] = dtype_name(first)
        if computed := _computed(module):
            found["computed"] = {key: _computation(key, chain) for key, chain in computed.items()}
        return found

    def _deep(self, deep: Any) -> Description:
        norms = {} if deep.norms is None else deep.norms._modules
        parts = {"layers": deep.layers._modules, "norms": norms}
        return {
            "arguments": deep.settings._asdict(),
            "modules": {part: {key: self.of(m) for key, m in inside.items()} for part, inside in parts.items()},
        }


def plain_class(module: nn.Module) -> type:
    """A module's class; of a module with computed weights the one that it had before."""
    kind = type(module)
    return kind.__mro__[1] if parametrize.is_parametrized(module) else kind


def arguments_of(kind: type) -> list[str]:
    """The arguments of a constructor but the cell, and where weights lie."""
    apart = {"self", "cell", "device", "dtype"}
    return [name for name in inspect.signature(kind.__init__).parameters if name not in apart]


def attributes(module: nn.Module, names: list[str]) -> dict[str, Any]:
    """The arguments that a module was made with, as it has them now."""
    holders = (module, getattr(module, "kernels", None))
    found = {}
    for name in names:
        at = ELSEWHERE.get(name, name)
        value = next(getattr(holder, at) for holder in holders if hasattr(holder, at))
        found[name] = value is not None if name == "bias" and not isinstance(value, bool) else plain(value, name)
    return found


def plain(value: Any, name: str) -> Any:
    """An argument as a value of JSON; raises `Unknown`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(part, name) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part, name) for part in value]
    raise Unknown(f"made with {name}={value!r}, which a file cannot hold")


def _computed(module: nn.Module) -> dict[str, Any]:
    """What computes the weights of a module, by their names."""
    return dict(module.parametrizations.items()) if parametrize.is_parametrized(module) else {}  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def _computation(name: str, chain: Any) -> Description:
    for known, (kind, arguments) in COMPUTED.items():
        if len(chain) == 1 and type(chain[0]) is getattr(parametrizations, kind):
            return {"by": known, **{a: getattr(chain[0], a, 0) for a in arguments}}
    kinds = ", ".join(type(step).__name__ for step in chain)
    raise Unknown(f"a module whose {name} is computed by {kinds}")


# -- from a description to a module --------------------------------------------------------------------------


class Maker:
    """Modules from descriptions, on the "meta" device: without numbers, and without drawing any."""

    def __init__(self, cells: list[Cell]):
        self._cells = cells
        self._made: list[nn.Module | None] = []

    def of(self, description: Description) -> nn.Module:
        """The module that is described; raises KeyError, TypeError or ValueError where it is none."""
        if "same" in description:
            found = self._made[description["same"]]
            if found is None:
                raise ValueError("a module that holds itself")
            return found
        place = len(self._made)
        self._made.append(None)
        module = self._made[place] = self._one(description)
        for name, how in description.get("computed", {}).items():
            how = dict(how)
            getattr(parametrizations, _listed(how.pop("by"), COMPUTED))(module, name, **how)
        return module

    def _one(self, description: Description) -> nn.Module:
        name, inside = description["class"], description.get("modules", {})
        arguments = {key: _tuples(value) for key, value in description.get("arguments", {}).items()}
        where = {"device": "meta", "dtype": dtype_of(description)}
        brief = name.removeprefix("torch.nn.")
        if name == "Deep":
            return self._deep(arguments, inside)
        if name == "Ensemble":
            return Ensemble(self.of(inside["layer"]), **arguments)  # pyright: ignore[reportArgumentType]
        if name == "EmbeddingDropout":
            return EmbeddingDropout(nn.Embedding(**arguments.pop("embedding"), **where), **arguments)
        if name == "LockedDropout":
            return LockedDropout(**arguments)
        if name in OURS:
            return self._recurrent(name, arguments | where, description["cell"])
        if name.startswith("torch.nn.") and brief in HOLDERS:
            modules = OrderedDict((key, self.of(child)) for key, child in inside.items())
            return HOLDERS[brief](list(modules.values()) if brief == "ModuleList" else modules)  # pyright: ignore[reportArgumentType]
        kind = getattr(nn, _listed(brief if name.startswith("torch.nn.") else name, TORCHS))
        takes = inspect.signature(kind.__init__).parameters
        return kind(**arguments, **(where if "device" in takes else {}))

    def _recurrent(self, name: str, arguments: dict[str, Any], cell: int) -> nn.Module:
        if name in GIVEN_A_CELL:
            return OURS[name](self._cells[cell], **arguments)
        module: Any = OURS[name](**arguments)
        if module.cell != self._cells[cell]:
            raise ValueError(f"the equations saved with a {name} are not those of a {name}:\n{self._cells[cell]}")
        return module

    def _deep(self, arguments: dict[str, Any], inside: Mapping[str, Mapping[str, Description]]) -> nn.Module:
        layers = [self.of(layer) for layer in inside["layers"].values()]
        norms = iter([self.of(norm) for norm in inside["norms"].values()])
        return Deep(layers, **arguments, norm_layer=lambda _: next(norms))


def _tuples(value: Any) -> Any:
    """JSON has lists alone; arguments are tuples."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _listed(name: str, known: Mapping[str, Any]) -> str:
    if name not in known:
        raise ValueError(f"there is no {name!r} among what is ever made: {', '.join(known)}")
    return name


def dtype_of(description: Description) -> torch.dtype | None:
    """The dtype in a description."""
    if "dtype" not in description:
        return None
    found = getattr(torch, description["dtype"], None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"there is no dtype {description['dtype']!r}")
    return found


# -- cells as JSON -------------------------------------------------------------------------------------------


def written(cells: list[Cell]) -> list[dict[str, str]]:
    """Cells as values of JSON."""
    return [{"name": c.name, "equations": str(c), "doc": c.__doc__ or ""} for c in cells]


def read(cells: list[dict[str, str]]) -> list[Cell]:
    """The same back; raises `CellError`, a ValueError, where equations are none."""
    return [parse(c["equations"], c["name"], c["doc"]) for c in cells]
