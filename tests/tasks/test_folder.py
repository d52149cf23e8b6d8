"""The model folder: what is saved loads; what was damaged, changed or is not ours is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from gatewright.nn import files
from gatewright.tasks import LanguageModel, run_folder
from gatewright.tasks.checkpoint import pack, unpack
from gatewright.tasks.errors import FolderError, SettingsError
from gatewright.tasks.folder import digest, model_bytes
from gatewright.tasks.run_folder import RunFolder

Settings = dict[str, Any]


@pytest.fixture
def folder(small: Settings, prose: str, tmp_path: Path) -> Path:
    LanguageModel(**small, updates=3).fit(prose, out=tmp_path / "model")
    return tmp_path / "model"


def test_the_format_as_it_is_written_down(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "report.html",
    ]
    with safetensors.safe_open(str(folder / "model.safetensors"), "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "gatewright.model"
    assert metadata["format_version"] == "1"
    assert metadata["task"] == "language"
    assert metadata["cell_name"] == "lstm"
    assert "=" in metadata["cell"]
    config = (folder / "config.json").read_bytes()
    assert metadata["config_sha256"] == hashlib.sha256(config).hexdigest()
    assert json.loads(config)["tokenizer"]["kind"] == "chars"
    assert len(metadata["digest"]) == 64


def test_saved_and_loaded_is_the_same_model(folder: Path, tmp_path: Path, prose: str) -> None:
    model = LanguageModel.load(folder)
    model.save(tmp_path / "copy")
    again = LanguageModel.load(tmp_path / "copy")
    assert again.settings == model.settings
    assert again.perplexity(prose) == model.perplexity(prose)
    assert again.generate("the", length=20, seed=1) == model.generate("the", length=20, seed=1)
    assert again.metrics == model.metrics


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.json"])
def test_a_model_that_cannot_be_saved_whole_leaves_the_one_that_is_there(
    name: str, folder: Path, small: Settings, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = contents(folder), files.write_file

    def full(path: Path, blocks: list[bytes]) -> int:
        if name in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, blocks)

    model = LanguageModel(**{**small, "hidden_size": 5}, updates=1).fit(prose)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_file", full)
        with pytest.raises(FolderError, match=r"No space left on device.; what was saved before is unharmed"):
            model.save(folder)
    assert contents(folder) == before
    model.save(folder)
    assert LanguageModel.load(folder).perplexity(prose) == model.perplexity(prose)


@pytest.mark.slow
def test_it_loads_without_the_code_that_defined_the_cell(small: Settings, prose_file: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import sys, json, pathlib\n"
        "import gatewright as gw\n"
        "from gatewright import affine, diagonal, sigmoid, tanh\n"
        "@gw.cell\n"
        "def mine(x, h, c):\n"
        "    f = sigmoid(affine(x, h) + diagonal(c))\n"
        "    c = f * c + (1 - f) * tanh(affine(x, h, name='g'))\n"
        "    h = tanh(c) * sigmoid(affine(x, h, name='o'))\n"
        "    return h, c\n"
        f"model = gw.tasks.LanguageModel(mine, **{small!r}, updates=2)\n"
        f"model.fit(pathlib.Path({str(prose_file)!r}), out='m')\n"
        "print(model.perplexity('the gates are written'))\n"
    )
    run = subprocess.run([sys.executable, "own.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (tmp_path / "own.py").unlink()
    loaded = LanguageModel.load(tmp_path / "m")
    assert loaded.cell_name == "mine"
    assert loaded.perplexity("the gates are written") == pytest.approx(float(run.stdout), rel=1e-6)


def rewrite(folder: Path, **metadata: str) -> None:
    """Change metadata and make the digest fit again, as a program that knows the format could."""
    path = folder / "model.safetensors"
    with safetensors.safe_open(str(path), "pt") as file:
        changed = {**file.metadata(), **metadata}
    weights = safetensors.torch.load_file(path)
    changed["digest"] = digest(changed, weights)
    path.write_bytes(safetensors.torch.save(weights, changed))


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def change_weights_count(folder: Path) -> None:
    path = folder / "model.safetensors"
    with safetensors.safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    weights = safetensors.torch.load_file(path)
    weights["bias"] = torch.zeros(3)
    metadata["digest"] = digest(metadata, weights)
    path.write_bytes(safetensors.torch.save(weights, metadata))


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (shutil.rmtree, r"no such model folder; train one first: gatewright language train --out"),
    "empty": (
        lambda f: [shutil.rmtree(f), f.mkdir()],
        r"not a model folder \(it has no model\.safetensors\)",
    ),
    "truncated": (truncate, r"model\.safetensors: damaged: not a whole safetensors file.*restore it"),
    "empty file": (lambda f: (f / "model.safetensors").write_bytes(b""), r"model\.safetensors: damaged"),
    "one bit": (flip, r"model\.safetensors: changed after it was saved"),
    "config": (
        lambda f: (f / "config.json").write_text((f / "config.json").read_text().replace("chars", "bytes")),
        r"config\.json: not the file that was saved with model\.safetensors",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json: cannot be read"),
    "newer": (
        lambda f: rewrite(f, format_version="2"),
        r"format version 2, and this gatewright reads up to 1; upgrade it: pip install --upgrade gatewright",
    ),
    "of another task": (lambda f: rewrite(f, task="tag"), r"a model of the task 'tag', expected 'language'"),
    "somebody else's": (
        lambda f: (f / "model.safetensors").write_bytes(safetensors.torch.save({"x": torch.zeros(2)})),
        r"a safetensors file, but not a model of Gatewright",
    ),
    "no equations": (lambda f: rewrite(f, cell="f = = x"), r"weights, equations and config\.json do not fit"),
    "other weights": (change_weights_count, r"weights, equations and config\.json do not fit together"),
    "metrics": (lambda f: (f / "metrics.json").write_text("{"), r"metrics\.json: damaged: not JSON"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused_by_its_reason(folder: Path, damage: str) -> None:
    make, message = DAMAGE[damage]
    make(folder)
    with pytest.raises(FolderError, match=message):
        LanguageModel.load(folder)


def change(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda about: about.update(values)


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no sha256": (lambda a: a.pop("sha256"), r"training\.json: damaged or changed .*KeyError: 'sha256'"),
    "no hash of the tensors": (change(sha256={}), r"training\.json: damaged or changed"),
    "sha256 is a list": (change(sha256=[1]), r"training\.json: damaged or changed"),
    "version as text": (change(format_version="2"), r"training\.json: damaged or changed"),
    "newer": (change(format_version=2), r"format version 2, and this gatewright reads up to 1"),
    "another format": (change(format="other"), r"training\.json: not a checkpoint"),
    "hidden size": (lambda a: a["recipe"]["settings"].update(hidden_size=13), r"training\.json: damaged or changed"),
    "empty tree": (change(tree={"dict": []}), r"training\.json: damaged or changed .*KeyError: 'network'"),
    "no tree": (change(tree={}), r"training\.json: damaged or changed"),
    "no recipe": (lambda a: a.pop("recipe"), r"training\.json: damaged or changed .*KeyError: 'recipe'"),
    "equations": (lambda a: a["recipe"].update(equations="h = = x"), r"training\.json: damaged or changed"),
}


@pytest.mark.parametrize("damage", TAMPERED)
def test_a_tampered_checkpoint_is_refused_by_its_name(folder: Path, prose: str, damage: str) -> None:
    make, message = TAMPERED[damage]
    path = folder / "checkpoints" / "00000003" / "training.json"
    about = json.loads(path.read_text())
    make(about)
    path.write_text(json.dumps(about))
    with pytest.raises(FolderError, match=message):
        LanguageModel.resume(folder, prose, updates=4)


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "model.safetensors", "report.html", "checkpoints"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_somebody_elses_files_stay(small: Settings, prose: str, tmp_path: Path, name: str, overwrite: bool) -> None:
    (tmp_path / name).mkdir() if name == "checkpoints" else (tmp_path / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FolderError, match=f"{name}: would be overwritten"):
        LanguageModel(**small, updates=1).fit(prose, out=tmp_path, overwrite=overwrite)
    assert sorted(tmp_path.rglob("*")) == before
    if name != "checkpoints":
        with pytest.raises(FolderError, match=f"{name}: would be overwritten"):
            LanguageModel(**small, updates=1).fit(prose).save(tmp_path)
        assert (tmp_path / name).read_text() == "{}"


def test_a_folder_without_a_name(small: Settings, prose: str) -> None:
    model = LanguageModel(**small, updates=1)
    with pytest.raises(SettingsError, match="name of the folder is empty"):
        model.fit(prose, out="")
    with pytest.raises(SettingsError, match="name of the folder is empty"):
        model.save("")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_overwriting_keeps_the_old_run_until_the_new_one_is_saved(
    folder: Path, small: Settings, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for function in ("commit", "replace_files"):
        with monkeypatch.context() as patch:
            patch.setattr(run_folder, function, full)
            with pytest.raises((FolderError, OSError), match="No space left"):
                LanguageModel(**small, cell="gru", updates=1).fit(prose, out=folder, overwrite=True)
        assert contents(folder) == before
    RunFolder(folder).begin(overwrite=True)  # and is killed here
    assert not (folder / "config.json").exists()
    assert LanguageModel.resume(folder, prose, updates=4).metrics["updates"] == 4
    LanguageModel(**small, cell="gru", updates=1).fit(prose, out=folder, overwrite=True)
    assert LanguageModel.load(folder).cell_name == "gru"
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "report.html",
    ]
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["00000001"]


def test_a_run_that_has_no_model_yet(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FolderError, match=r"no model yet: training stopped before its first evaluation.*--resume"):
        LanguageModel.load(folder)


def test_a_pickle_is_never_loaded(folder: Path) -> None:
    torch.save({"x": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(FolderError, match=r"model\.safetensors: not a safetensors file but a ZIP file, as torch"):
        LanguageModel.load(folder)


def test_the_digest_sees_names_shapes_types_and_metadata() -> None:
    one = {"a": torch.zeros(2, 3)}
    others = [
        ({}, {"b": torch.zeros(2, 3)}),
        ({}, {"a": torch.zeros(3, 2)}),
        ({}, {"a": torch.zeros(2, 3, dtype=torch.int32)}),
        ({"k": "v"}, one),
    ]
    digests = {digest({}, one), *(digest(m, w) for m, w in others)}
    assert len(digests) == 5
    assert digest({}, one) == digest({"digest": "x"}, {"a": torch.zeros(2, 3)})


def test_the_bytes_of_a_model_are_the_same_every_time() -> None:
    weights = {"b": torch.ones(2), "a": torch.zeros(3)}
    swapped = dict(reversed(weights.items()))
    assert safetensors.torch.load(model_bytes("t", "e", "n", b"", weights)).keys() == weights.keys()
    with_swapped = safetensors.torch.load(model_bytes("t", "e", "n", b"", swapped))
    assert torch.equal(with_swapped["b"], weights["b"])


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda part: st.lists(part, max_size=3) | st.tuples(part, part) | st.dictionaries(st.integers(0, 9), part),
    max_leaves=8,
)


@given(TREES)
def test_a_tree_survives_json(tree: Any) -> None:
    skeleton, tensors = pack({"tree": tree, "t": torch.arange(3)})
    again = unpack(json.loads(json.dumps(skeleton, allow_nan=False)), tensors)
    assert again["tree"] == tree
    assert torch.equal(again["t"], torch.arange(3))


def test_what_only_a_pickle_could_hold_is_refused() -> None:
    with pytest.raises(TypeError, match=r"cannot be saved without pickle: object at 'a\.1'"):
        pack({"a": [1, object()]})
