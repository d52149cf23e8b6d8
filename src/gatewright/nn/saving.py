"""`gw.save` and `gw.load`: a model in one file of safetensors, its equations as text beside its weights.

The format, version 1: a file of safetensors whose tensors are those of `state_dict()`, a weight that stands in it under
several names once. Its metadata holds

    format, format_version, gatewright    "gatewright.module", "1", the version of this package that wrote it
    cells                                 JSON: [{"name", "equations", "doc"}, …]
    layers                                JSON: {path of a recurrent layer: the place of its cell in `cells`}
    model                                 JSON: what the model is made of (`describe`), or {"unknown": what it is}
    state                                 JSON: {"training": …, "otherwise": [paths], "frozen": [names], "tied": {…}}
    digest                                SHA-256 over all of that and the tensors
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..graph import Cell, CellError
from . import arguments, describe, files
from .describe import Describer, Maker, Unknown
from .ensemble import Ensemble

FORMAT = "gatewright.module"
FORMAT_VERSION = 1
JSON = ("cells", "layers", "model", "state")
Tensors = dict[str, Tensor]


# -- saving --------------------------------------------------------------------------------------------------


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a layer or a model to one file: its weights by name, its equations as text, and what it is made of.

    The file is safetensors: no pickle, and other programs read its tensors. It takes the place of an old one at once
    and whole, so a crash or a full disk leaves the old one unharmed.

    Args:
        model: a recurrent layer (`gw.Recurrent`, `gw.LSTM`, …, `gw.Deep`, `gw.Ensemble`, `gw.ConvRecurrent`,
            `gw.LSTMCell`, …), an `nn.Sequential` of such and plain modules of torch, or any `nn.Module` at all, which
            is then loaded into one that is there.
        path: the file, in a folder that is there.

    Raises:
        TypeError, ValueError: an argument is wrong, or the model has no numbers yet, or holds more than tensors.
        OSError: the file cannot be written.

    >>> import gatewright as gw, tempfile
    >>> layer = gw.Recurrent("peephole_lstm", 3, 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gw.save(layer, f"{folder}/layer.safetensors")
    ...     gw.load(f"{folder}/layer.safetensors")
    Recurrent(peephole_lstm, 3, 5)
    """
    model, target = _module("model", model), _target(path)
    tensors, tied = _tensors(model)
    describer = Describer()
    layers = {name: describer.cell(m.cell) for name, m in _with_cells(model).items()}
    description = _description(model, describer)
    contents: dict[str, Any] = {
        "cells": describe.written(describer.cells),
        "layers": layers,
        "model": description,
        "state": {
            "training": model.training,
            "otherwise": [name for name, m in model.named_modules() if m.training != model.training],
            "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
            "tied": tied,
        },
    }
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "gatewright": _version()}
    metadata |= {key: json.dumps(value, ensure_ascii=False) for key, value in contents.items()}
    whole = files.tensor_bytes(tensors, metadata | {"digest": files.digest(metadata, tensors)})
    try:
        files.replace_file(target, whole)
    except OSError as error:
        said = f"{target}: cannot be written ({error.strerror}); what was there before is unharmed"
        raise OSError(error.errno, said) from error


def _version() -> str:
    from .. import __version__  # it is there once the package has been imported

    return __version__


def _module(argument: str, model: object) -> nn.Module:
    """A module; of a compiled one that which was compiled, so that names are the same."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{argument}: expected an nn.Module, got {type(model).__name__}")
    found: nn.Module = getattr(model, "_orig_mod", model)
    if lazy := [name for name, p in found.named_parameters() if is_lazy(p)]:
        remedy = "call the model once first"
        raise arguments.wrong(argument, "weights that are there", f"lazy ones ({', '.join(lazy)})", remedy)
    return found


def _path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise TypeError(f"path: expected the name of a file, got {path!r}")
    return Path(path)


def _target(path: object) -> Path:
    found = _path(path)
    if found.is_dir():
        raise IsADirectoryError(f"path: expected a file, got the folder {found}; give a name in it")
    if not found.parent.is_dir():
        raise FileNotFoundError(f"path: expected a file in a folder that is there, got {found}; make the folder first")
    return found


def _tensors(model: nn.Module) -> tuple[Tensors, dict[str, str]]:
    """(each tensor once, by its first name; every other name with that first one)."""
    first: dict[int, str] = {}
    found: Tensors = {}
    tied: dict[str, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise TypeError(f"model: expected tensors in its state_dict, got {name}, a {type(value).__name__}")
        if value.is_meta or value.layout is not torch.strided or value.is_quantized:
            kind = "no numbers, on the device meta" if value.is_meta else f"layout {value.layout}, {value.dtype}"
            raise arguments.wrong("model", "dense tensors with numbers in its state_dict", f"{name} with {kind}")
        if isinstance(value, nn.Parameter) and (at := first.setdefault(id(value), name)) != name:
            tied[name] = at
        else:
            found[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # nothing shares memory
    return found, tied


def _with_cells(model: nn.Module) -> dict[str, Any]:
    """Every module that has a cell, by its path; of an ensemble the layer that its networks are."""
    found = {name: m.layer if isinstance(m, Ensemble) else m for name, m in model.named_modules()}
    return {name: m for name, m in found.items() if isinstance(getattr(m, "cell", None), Cell)}


def _description(model: nn.Module, describer: Describer) -> describe.Description:
    """What makes the model again; or why nothing does but the code that made it."""
    try:
        found = describer.of(model)
        twin = _hollow_model(found, describer.cells)
    except Unknown as error:
        return {"unknown": str(error)}
    own, made = (_shapes(m) for m in (model, twin))
    return found if own == made else {"unknown": f"a {type(model).__name__} with other weights than it was made with"}


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in model.state_dict().items()}


# -- loading -------------------------------------------------------------------------------------------------


def load(
    path: str | os.PathLike[str], *, into: nn.Module | None = None, device: torch.device | str | None = None
) -> Any:
    """The model that `gw.save` wrote: made anew from the file alone, or its weights loaded into one that is there.

    Made anew it is what was saved: class, equations, arguments, dtypes, training or evaluation, frozen and tied
    weights; the Python function that defined a cell is not needed. Nothing of a file is executed.

    Args:
        path: the file.
        into: a model with weights of the same names, which keeps its own dtype, device and mode. Weights of cells are
            matched by the equations' names, not by position. All that is missing, too much or misshapen is listed at
            once, and nothing is changed then. Equations that are others than those in the file are told in a warning.
        device: where to put the weights of a new model; default torch's default device.

    Returns:
        the new model, or `into`.

    Raises:
        TypeError: an argument is wrong.
        ValueError: the file is truncated, changed, not written by `gw.save`, of a newer version, or does not fit.
        OSError: it cannot be read.

    >>> import gatewright as gw, tempfile, torch
    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 3), gw.GRU(3, 5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gw.save(model.eval(), f"{folder}/model.safetensors")
    ...     twin = gw.load(f"{folder}/model.safetensors")
    >>> tokens = torch.arange(4).unsqueeze(1)
    >>> twin.training, torch.equal(twin(tokens)[0], model(tokens)[0])
    (False, True)
    """
    found = _path(path)
    if into is not None:
        if device is not None:
            raise arguments.wrong("device", "None with into=", repr(device), "into.to(device) moves the model")
        _module("into", into)
    where = arguments.check_device(device) or torch.get_default_device()
    tensors, contents = _read(found)
    if into is None:
        return _made(found, tensors, contents, where)
    _fill(found, _module("into", into), tensors, contents)
    return into


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """(tensors, what the metadata holds as JSON), checked as far as no model is needed."""
    if path.is_dir():
        raise IsADirectoryError(f"path: expected a file that gw.save wrote, got the folder {path}")
    try:
        tensors, metadata = files.read_tensors(path)
    except OSError as error:
        raise type(error)(error.errno, f"{path}: cannot be read ({error.strerror or error})") from error
    except files.Damaged as error:
        raise ValueError(f"{error}; gw.load reads what gw.save wrote and no pickle, which could run code") from error
    _check_kind(path, metadata)
    if metadata.get("digest") != files.digest(metadata, tensors):
        raise ValueError(f"{path}: changed after it was saved (its digest does not fit); restore it from a copy")
    try:
        contents = {key: json.loads(metadata[key]) for key in JSON}
        cells = describe.read(contents["cells"])
        tied = contents["state"]["tied"]
        whole = tensors | {name: tensors[at] for name, at in tied.items()}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return whole, contents | {"cells": cells}


def _check_kind(path: Path, metadata: Mapping[str, str]) -> None:
    kind = metadata.get("format")
    if kind == "gatewright.model":
        task = metadata.get("task")
        raise ValueError(f"{path}: belongs to the model folder of a task ({task}); load the folder by gw.tasks")
    if kind != FORMAT:
        remedy = "model.load_state_dict(safetensors.torch.load_file(path)) loads weights by torch's names"
        raise ValueError(f"{path}: a safetensors file, but not one that gw.save wrote; {remedy}")
    given = metadata.get("format_version", "")
    if not (given.isascii() and given.isdigit()) or int(given) > FORMAT_VERSION:
        by = f"written by gatewright {metadata.get('gatewright')}, and this one ({_version()})"
        remedy = "upgrade it: pip install --upgrade gatewright"
        raise ValueError(f"{path}: format version {given!r}, {by} reads up to {FORMAT_VERSION}; {remedy}")


def _damaged(path: Path, error: BaseException) -> ValueError:
    said = f"it has no {error}" if isinstance(error, KeyError) and not isinstance(error, CellError) else str(error)
    return ValueError(f"{path}: damaged: {said or type(error).__name__}")


# -- a new model ---------------------------------------------------------------------------------------------


def _made(path: Path, tensors: Tensors, contents: dict[str, Any], device: torch.device) -> nn.Module:
    try:
        description, state = dict(contents["model"]), contents["state"]
        why = description.get("unknown")
        model = None if why else _hollow_model(description, contents["cells"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    if model is None:
        remedy = "make the model by its own code and give it: gw.load(path, into=model)"
        raise ValueError(f"{path}: the model is {why}, or has one inside; {remedy}")
    _check_fit(path, model, tensors)
    model.load_state_dict(tensors, assign=True)
    _give_memory(model)
    model.eval().to(device)  # a spectral norm takes a step whenever it is looked at in training
    try:
        _restore(model, state)
    except (AttributeError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    return model


def _hollow_model(description: describe.Description, cells: list[Cell]) -> nn.Module:
    """The model on the device "meta"."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what was to say of the arguments was said when it was made first
        return Maker(cells).of(description)


def _give_memory(model: nn.Module) -> None:
    """Leave nothing on the device "meta": what is no part of a state_dict has no numbers that mean anything."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.empty_like(buffer, device="cpu")
        if isinstance(module, Ensemble):
            module.layer.to_empty(device="cpu")


def _restore(model: nn.Module, state: dict[str, Any]) -> None:
    """What a state_dict does not say: tied and frozen weights, training or evaluation."""
    for name, at in state["tied"].items():
        holder, _, own = name.rpartition(".")
        setattr(model.get_submodule(holder), own, model.get_parameter(at))
    for name in state["frozen"]:
        model.get_parameter(name).requires_grad_(False)
    model.train(state["training"])
    for name in state["otherwise"]:
        module = model.get_submodule(name)
        module.training = not state["training"]
        if isinstance(module, Ensemble):
            module.layer.train(module.training)


# -- a model that is there -----------------------------------------------------------------------------------


def _fill(path: Path, model: nn.Module, tensors: Tensors, contents: dict[str, Any]) -> None:
    _check_fit(path, model, tensors)
    _check_tied(path, model, tensors)
    _tell_of_other_equations(path, model, contents)
    model.load_state_dict(tensors)


def _check_fit(path: Path, model: nn.Module, tensors: Tensors) -> None:
    """Every weight finds its place: tried on the device "meta", so that nothing is changed where one does not."""
    with _without_numbers(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a copy without numbers copies none
        try:
            model.load_state_dict(dict(tensors))
        except RuntimeError as error:
            _, *faults = str(error).splitlines()
            listed = "\n".join(f"  {line.strip()}" for line in faults)
            raise ValueError(f"{path}: does not fit into a {type(model).__name__}:\n{listed}") from None


@contextlib.contextmanager
def _without_numbers(model: nn.Module) -> Iterator[None]:
    """The model with tensors of the same shapes on the device "meta"."""
    kept = [(own, dict(own)) for m in model.modules() for own in (m._parameters, m._buffers)]
    try:
        for own, tensors in kept:
            own.update({name: None if t is None else _hollow(t) for name, t in tensors.items()})  # pyright: ignore[reportArgumentType, reportCallIssue]
        yield
    finally:
        for own, tensors in kept:
            own.update(tensors)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _hollow(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def _check_tied(path: Path, model: nn.Module, tensors: Tensors) -> None:
    """What is one weight in the model is one in the file."""
    names: dict[int, list[str]] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(name)
    for first, *others in names.values():
        for other in others:
            if not torch.equal(tensors[first], tensors[other]):
                raise ValueError(f"{path}: {first} and {other} are one weight of the model, and two in the file")


def _tell_of_other_equations(path: Path, model: nn.Module, contents: dict[str, Any]) -> None:
    """Weights may fit and mean something else. The order of equations means nothing."""
    own = _with_cells(model)
    for name, place in contents["layers"].items():
        saved = contents["cells"][place]
        if name in own and (lines := _lines(saved)) != (ours := _lines(own[name].cell)):
            where = f"{name} of " if name else ""
            text = "\n".join(f"  {line}" for line in sorted(lines - ours)) or "  (fewer)"
            text += "\nand the model has\n" + ("\n".join(f"  {line}" for line in sorted(ours - lines)) or "  (fewer)")
            warnings.warn(f"{path}: other equations than in {where}the model: it was saved with\n{text}", stacklevel=4)


def _lines(cell: Cell) -> set[str]:
    """The equations without the first line, which has the cell's name."""
    return set(str(cell).splitlines()[1:])
