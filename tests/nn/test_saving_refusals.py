"""What `gw.load` and `gw.save` refuse: before anything is changed, and with all that is wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import gatewright as gw
from gatewright.nn import files

I, H = 3, 4
Change = Callable[[dict[str, str], dict[str, Any]], None]


@pytest.fixture
def path(tmp_path) -> Path:
    found = tmp_path / "layer.safetensors"
    gw.save(gw.Recurrent("peephole_lstm", I, H), found)
    return found


def changed(path: Path, change: Change, *, signed: bool = True) -> None:
    """The file with other metadata, as somebody would write it who knows the format."""
    tensors, metadata = files.read_tensors(path)
    contents = {key: json.loads(metadata[key]) for key in ("cells", "layers", "model", "state")}
    change(metadata, contents)
    metadata |= {key: json.dumps(value) for key, value in contents.items()}
    if signed:
        metadata["digest"] = files.digest(metadata, tensors)
    save_file(tensors, path, metadata)


def refusals(path: Path) -> list[str]:
    """What loading says, anew and into a model, of which nothing is changed."""
    into = gw.Recurrent("peephole_lstm", I, H)
    before = {name: t.clone() for name, t in into.state_dict().items()}
    versions = [p._version for p in into.parameters()]
    said = []
    for given in (None, into):
        with pytest.raises((ValueError, OSError)) as caught:
            gw.load(path, into=given)
        said.append(str(caught.value))
    assert all(torch.equal(t, before[name]) for name, t in into.state_dict().items())
    assert [p._version for p in into.parameters()] == versions
    assert all(str(path) in text for text in said)
    return said


# -- files that are none -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.99])
def test_a_truncated_file(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert all("damaged: not a whole safetensors file (" in text for text in refusals(path))


def test_a_flipped_bit(path):
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    assert all("changed after it was saved (its digest does not fit); restore it" in text for text in refusals(path))


class Evil:
    def __reduce__(self):
        return exec, ("raise AssertionError('a pickle was executed')",)


OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "torch.save": (lambda p: torch.save(gw.GRU(I, H).state_dict(), p), "not a safetensors file but a ZIP file, as tor"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps(Evil())), "not a safetensors file but a pickle"),
    "old torch.save": (
        lambda p: torch.save({"a": torch.zeros(2)}, p, _use_new_zipfile_serialization=False),
        "not a safetensors file but a pickle",
    ),
    "HDF5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "but an HDF5 file, as Keras writes them"),
    "text": (lambda p: p.write_text("h_t = tanh(x_t)"), "damaged: not a whole safetensors file"),
    "foreign": (
        lambda p: save_file({"a": torch.zeros(2)}, p),
        "a safetensors file, but not one that gw.save wrote; mode",
    ),
    "a task's": (
        lambda p: save_file({"a": torch.zeros(2)}, p, {"format": "gatewright.model", "task": "language"}),
        "belongs to the model folder of a task (language); load the folder by gw.tasks",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_kind_of_file(kind, tmp_path):
    write, message = OTHERS[kind]
    write(tmp_path / "file")
    assert all(message in text for text in refusals(tmp_path / "file"))


def test_no_file_and_a_folder(tmp_path):
    assert all("cannot be read (" in text for text in refusals(tmp_path / "nothing"))
    assert all("expected a file that gw.save wrote, got the folder" in text for text in refusals(tmp_path))


# -- files that were changed ---------------------------------------------------------------------------------


def in_model(**arguments) -> Change:
    return lambda _, c: c["model"]["arguments"].update(arguments)


def in_cell(old: str, new: str) -> Change:
    return lambda _, c: c["cells"][0].update(equations=c["cells"][0]["equations"].replace(old, new))


def put(**entries) -> Change:
    return lambda _, c: c["model"].update(entries)


TAMPERED: dict[str, tuple[Change, str]] = {
    "newer": (
        lambda m, _: m.update(format_version="2"),
        "format version '2', written by gatewright 0.1.0, and this one",
    ),
    "no version": (lambda m, _: m.pop("format_version"), "format version ''"),
    "other sizes": (in_model(hidden_size=5), "does not fit into a Recurrent:\n  row_names: U_f, U_g, U_i, U_o, W_f"),
    "huge": (in_model(hidden_size=10**9), "damaged: Storage size calculation overflowed"),
    "more layers": (
        in_model(num_layers=2),
        "does not fit into a Recurrent:\n  row_names: the saved weights have no rows",
    ),
    "no size": (in_model(hidden_size=0), "damaged: hidden_size: expected at least 1, got 0"),
    "unknown argument": (
        in_model(turbo=True),
        "damaged: Recurrent.__init__() got an unexpected keyword argument 'turbo'",
    ),
    "other shapes": (in_cell("p_i ⊙ c_{t-1}", "V_i c_{t-1}"), "the saved weights have no rows V_i; no equation of"),
    "a weight more": (in_cell("tanh(c_t)", "tanh(c_t + W_h x_t)"), "no rows W_h"),
    "a weight renamed": (in_cell("W_i", "W_j"), "the saved weights have no rows W_j; no equation of peephole"),
    "no equations": (in_cell("σ", "import os;"), "damaged: "),
    "deep equations": (in_cell("tanh(c_t)", "(" * 5000 + "c_t" + ")" * 5000), "damaged: "),
    "another class": (put(**{"class": "LSTM"}), "damaged: "),
    "a class of torch": (
        put(**{"class": "torch.nn.Module"}),
        "damaged: there is no 'Module' among what is ever made: Lin",
    ),
    "a function": (put(**{"class": "os.system"}), "damaged: there is no 'os.system' among what is ever made: Linear"),
    "a function of torch": (
        put(**{"class": "torch.nn.utils.skip_init"}),
        "damaged: there is no 'utils.skip_init' among",
    ),
    "no dtype": (put(dtype="load"), "damaged: there is no dtype 'load'"),
    "no class": (lambda _, c: c["model"].pop("class"), "damaged: it has no 'class'"),
    "no cell": (put(cell=1), "damaged: list index out of range"),
    "itself": (
        put(**{"class": "torch.nn.Sequential", "modules": {"0": {"same": 0}}}),
        "damaged: a module that holds its",
    ),
    "computed by a function": (put(computed={"U_l0": {"by": "register"}}), "damaged: there is no 'register' among"),
    "no model": (lambda _, c: c.update(model=None), "damaged: "),
    "tied to nothing": (lambda _, c: c["state"].update(tied={"U_l0": "nothing"}), "damaged: it has no 'nothing'"),
    "no state": (lambda _, c: c.update(state=[]), "damaged: "),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_changed_with_knowledge(kind, path):
    change, message = TAMPERED[kind]
    changed(path, change)
    into = gw.Recurrent("peephole_lstm", I, H)
    before = {name: t.clone() for name, t in into.state_dict().items()}
    with pytest.raises(ValueError, match=str(path)) as caught:
        gw.load(path)
    assert message in str(caught.value), str(caught.value)
    assert all(torch.equal(t, before[name]) for name, t in into.state_dict().items())


@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_changed_without_knowledge(kind, path):
    changed(path, TAMPERED[kind][0], signed=False)
    assert all("digest does not fit" in text or "format version" in text for text in refusals(path))


# -- models that do not fit ----------------------------------------------------------------------------------


class Tagger(nn.Module):
    def __init__(self, cell: Any, size: int, *, head: str):
        super().__init__()
        self.below = gw.Recurrent(cell, I, size)
        self.above = gw.LSTM(I, size)
        self.add_module(head, nn.Linear(size, 2))


def test_all_that_is_missing_extra_or_misshapen_is_listed_at_once(tmp_path):
    path = tmp_path / "model.safetensors"
    gw.save(Tagger("peephole_lstm", H + 1, head="old"), path)
    model = Tagger("cifg", H, head="new")
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(ValueError, match=str(path)) as caught:
        gw.load(path, into=model)
    for part in (
        "does not fit into a Tagger:\n",
        'Missing key(s) in state_dict: "new.weight", "new.bias"',
        'Unexpected key(s) in state_dict: "old.bias", "old.weight"',
        "below.row_names: no equation of cifg knows the saved rows U_f, W_f, b_f, p_f, p_i, p_o",
        "have 5 saved rows, this layer's have 4",
        "size mismatch for above.weight_hh_l0: copying a param with shape torch.Size([20, 5]) from checkpoint",
    ):
        assert part in str(caught.value), str(caught.value)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_a_model_of_ones_own_needs_one_that_is_there(tmp_path):
    path, model = tmp_path / "model.safetensors", Tagger("mgu", H, head="head")
    gw.save(model, path)
    expected = r"the model is a Tagger, which is none of gatewright's modules, or has one inside; make the model by its"
    with pytest.raises(ValueError, match=expected):
        gw.load(path)
    twin = Tagger("mgu", H, head="head")
    gw.load(path, into=twin)
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in twin.state_dict().items())


# -- arguments -----------------------------------------------------------------------------------------------


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"step": 3}

    def set_extra_state(self, state): ...


SAVED = [
    (lambda: "lstm", TypeError, "model: expected an nn.Module, got str"),
    (lambda: gw.cells.lstm, TypeError, "model: expected an nn.Module, got Cell"),
    (
        lambda: gw.LSTM(I, H, device="meta"),
        ValueError,
        "model: expected dense tensors with numbers in its state_dict, got",
    ),
    (
        lambda: nn.LazyLinear(3),
        ValueError,
        "model: expected weights that are there, got lazy ones (weight, bias); call",
    ),
    (lambda: Extra(2, 3), TypeError, "model: expected tensors in its state_dict, got _extra_state, a dict"),
]


@pytest.mark.parametrize(("make", "kind", "message"), SAVED)
def test_what_cannot_be_saved(make, kind, message, tmp_path):
    with pytest.raises(kind) as caught:
        gw.save(make(), tmp_path / "file")
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_paths(tmp_path, path):
    layer = gw.GRU(I, H)
    for given in (3, None, b"file", ""):
        for call in (lambda p: gw.save(layer, p), gw.load):
            with pytest.raises(TypeError, match="path: expected the name of a file, got "):
                call(given)
    with pytest.raises(IsADirectoryError, match="path: expected a file, got the folder"):
        gw.save(layer, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"path: expected a file in a folder that is there, got .*; make"):
        gw.save(layer, tmp_path / "no" / "file")
    with pytest.raises(TypeError, match=r"into: expected an nn\.Module, got str"):
        gw.load(path, into="layer")
    with pytest.raises(
        ValueError, match=r"device: expected None with into=, got 'cpu'; into\.to\(device\) moves the m"
    ):
        gw.load(path, into=layer, device="cpu")
    with pytest.raises(TypeError, match="device: expected a device of torch, as 'cpu' or 'cuda:0', got 'warp'"):
        gw.load(path, device="warp")


def test_other_programs_read_the_weights(path):
    assert gw.Recurrent("peephole_lstm", I, H).load_state_dict(load_file(path)) == ([], [])
