"""What a classifier reads: files of every kind, and what it says where they are wrong."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gatewright as gw
from gatewright.tasks.classify.batches import Changes, cut, epoch_order, equal_chances, rotated, warped
from gatewright.tasks.classify.data import as_sequences, prepare, split
from gatewright.tasks.classify.reading import read_sequences
from gatewright.tasks.classify.sequences import from_arrays
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import DataError

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
DAMAGED = gzip.compress(b"")[:10] + b"\xff" * 20
TS = "@problemName P\n@timeStamps false\n@classLabel true a b\n@data\n"


def read(path: Path, **settings: Any) -> Any:
    return read_sequences(path, ClassifySettings(**settings))


def test_sktime_files(tmp_path: Path) -> None:
    path = tmp_path / "p.ts.gz"
    path.write_bytes(gzip.compress((TS + "1,2,3:4,5,6:a\n7,8:9,10:b\n").encode()))
    found = read(path)
    assert found.lengths.tolist() == [3, 2] and found.labels.tolist() == ["a", "b"]
    assert found[1].tolist() == [[7.0, 9.0], [8.0, 10.0]]
    path = tmp_path / "r.ts"
    path.write_text("@targetLabel true\n@data\n1,2:0.5\n3,4:1.5\n")
    assert read(path, kind="regression").labels.tolist() == [0.5, 1.5]


def test_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", samples=np.arange(6.0).reshape(3, 2), offsets=[0, 1, 3], label=[4, 5], user=[0, 1])
    found = read(tmp_path / "a.npz", group="user")
    assert found.lengths.tolist() == [1, 2] and found.labels.tolist() == [4, 5] and found.groups.tolist() == [0, 1]
    np.savez(tmp_path / "p.npz", x=np.ones((2, 3, 1)), lengths=[3, 1], y=["u", "v"])
    assert read(tmp_path / "p.npz").lengths.tolist() == [3, 1]


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,t,a,b,label,who\nu,2,3,30,x,p\nv,1,9,90,y,q\nu,1,2,20,x,p\nu,3,4,40,x,p\n")
    found = read(path, order="t", group="who")
    assert found.ids == ("u", "v") and found.features == ("a", "b") and found.groups.tolist() == ["p", "q"]
    assert found[0][:, 0].tolist() == [2.0, 3.0, 4.0] and found.labels.tolist() == ["x", "y"]
    assert read(path, order="t", group="who", features="b")[1].tolist() == [[90.0]]
    import polars as pl

    frame = as_sequences(pl.read_csv(path), ClassifySettings(order="t", group="who"))
    assert frame.values.tolist() == found.values.tolist()
    pl.read_csv(path).write_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", order="t", group="who").values.tolist() == found.values.tolist()


def test_texts(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("pos\tso good\n\nneg\tso bad\n", encoding="utf-8")
    (tmp_path / "t.csv").write_text("text,label\nso good,pos\nso bad,neg\n")
    for name in ("t.tsv", "t.csv"):
        found = read(tmp_path / name)
        assert found.texts == ["so good", "so bad"] and found.labels.tolist() == ["pos", "neg"]
    (tmp_path / "plain.txt").write_text("no label here\n")
    assert read_sequences(tmp_path / "plain.txt", ClassifySettings(), labelled=False).texts == ["no label here"]


def test_a_line_ends_where_a_line_ends(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes("a\tone\u2028two\x85three\ffour\r\nb\tfive".encode())
    found = read(tmp_path / "t.tsv")
    assert found.texts == ["one\u2028two\x85three\ffour", "five"] and found.labels.tolist() == ["a", "b"]


def test_numbers_to_regress_on_from_lines_of_text(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("1.5\tgood\n-2\tbad\n")
    assert read(tmp_path / "t.tsv", kind="regression").labels.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,x,label\n1,2,\n1,3,\n2,4,\n"),
        ("t.ts", TS + "2,3:?\n4:?\n"),
        ("r.ts", "@targetLabel true\n@data\n2,3:?\n4:?\n"),
        ("t.tsv", "\tone\n\ttwo\n"),
    ],
)
def test_labels_are_not_looked_at_where_none_are_needed(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    kind = "regression" if name == "r.ts" else "classification"
    found = read_sequences(path, ClassifySettings(kind=kind), labelled=False)
    assert len(found) == 2 and found.labels is None


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.ts", "", {}, r"a\.ts: the file is empty"),
        ("a.ts", "1,2:a\n", {}, "no line @data"),
        ("a.ts", TS + "1,x:a\n", {}, "line 5: expected numbers with commas between: .*'x'"),
        ("a.ts", TS + "1,2:3:a\n", {}, r"line 5: its dimensions have different lengths \(\[1, 2\]\)"),
        ("a.ts", TS + "1,2:a\n1,?:b\n", {}, "sequence 1, row 1, feature 'x0': expected a finite number, got nan"),
        ("a.ts", TS + "1:2:a\n1:b\n", {}, "sequence 1 has 1 features, those before it 2"),
        ("a.ts", "@timeStamps true\n@data\n", {}, "with time stamps"),
        (
            "a.ts",
            "@targetLabel true\n@data\n1,2:high\n",
            {"kind": "regression"},
            "line 3: expected a number as the tar",
        ),
        ("t.tsv", b"a\tgut\nb\tsch\xf6n\n", {}, "line 2: byte 0xf6 is not UTF-8; convert the file"),
        ("t.tsv", "a\tone\nno tab\n", {}, "line 2: expected label, a tab, and text; got 'no tab'"),
        ("t.csv", "id,x\n1,2\n", {}, "no column 'label'"),
        ("t.csv", "x,label\n1,2\n", {}, "no column says which sequence .* name it with --sequence"),
        ("t.csv", "id,x,label\n1,2,a\n,3,a\n", {}, "line 3: column 'id' is empty"),
        ("t.csv", "id,x,label\n1,2,a\n1,3,b\n", {}, "line 3: sequence '1' has the label 'b' here and 'a' before"),
        ("t.csv", "id,x,label\n1,2,a\n1,oh,a\n", {}, "column 'x' .*line 3: expected a number, got the text 'oh'"),
        ("t.csv", "id,x,label\n1,2,a\n1,,a\n", {}, "sequence '1', row 1, feature 'x': expected a finite number, got n"),
        ("t.csv", "id,x,label\n1,2,\n", {}, "sequence '1': expected a label, got None"),
        ("t.csv", "id,t,x,label\n1,5,1,a\n1,5,2,a\n", {"order": "t"}, "line 3: column 't' has 5 twice in one sequence"),
        ("t.csv", "id,label\n1,a\n", {}, "no columns are left for features"),
        ("t.csv", "text,label\nhi,a\n,b\n", {}, "sequence 1: the text is empty"),
        ("t.xyz", "hello", {}, r"a file of an unknown kind \(\.xyz\)"),
        ("a.npz", "no zip", {}, "cannot be read as arrays; expected a .npz file"),
        ("t.csv", "id,who,label\n1,me,a\n", {}, "got the text 'me'.* say what this one is, or name the features with"),
        ("t.txt.gz", DAMAGED, {}, "cannot be read .* give a whole file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: Any, settings: Any, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read(path, **settings)


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"label": [1]}, {}, "has label; expected samples, offsets and label"),
        ({"samples": [1.0]}, {}, "has samples, and no label"),
        (
            {"samples": [1.0, 2.0], "offsets": [0, 3], "label": [1]},
            {},
            "offsets: expected numbers rising from 0 to .* 2",
        ),
        ({"samples": [1.0, 2.0], "offsets": [0, 0, 2], "label": [1, 2]}, {}, "every sequence needs one sample"),
        ({"samples": [1.0, 2.0], "offsets": [0, 2], "label": [1, 2]}, {}, "1 sequences and 2 labels"),
        ({"samples": [1.0], "offsets": [0, 1], "label": [1]}, {"group": "who"}, "no array 'who' for --group"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: Any, settings: Any, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.npz", **settings)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([], [], "no sequences; give at least one"),
        ([[1.0], []], [0, 1], "sequence 1: expected .* it is empty"),
        ([[[1.0, 2.0]], [[1.0]]], [0, 1], "sequence 1 has 1 features, those before it 2"),
        ([[1.0], [np.inf]], [0, 1], "sequence 1, row 0, feature 'x0': expected a finite number, got inf"),
        ([[1.0], [2.0]], [0], "2 sequences and 1 labels"),
        ([[1.0], [2.0]], [0, None], "sequence 1: expected a label, got None"),
        ([[1.0], [2.0]], None, "no labels"),
        ([[1.0], [2.0]], [1, 1], r"one class only \(1\)"),
        ([[1.0], ["a"]], [0, 1], "sequence 1: expected numbers"),
        (["text", 1.0], [0, 1], "sequence 1: expected text"),
        (["text", " "], [0, 1], "sequence 1: the text is empty"),
        ([[float(k)] for k in range(60)], np.linspace(0, 1, 60), "60 different labels, all numbers"),
        (np.ones(3), [0, 1, 0], r"expected an array \(sequences, steps, features\), got shape \(3,\)"),
        ("a string", [0], "a path is given as pathlib.Path"),
        ([[1.0], [2.0]], [0, 1], "2 sequences are too few to keep a share"),
    ],
)
def test_data_that_cannot_be_learnt_from(x: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        gw.Classifier(epochs=1).fit(x, y)


def test_a_label_that_training_has_not_seen() -> None:
    x, y = [[float(k)] for k in range(8)], ["a", "b"] * 4
    with pytest.raises(DataError, match=r"sequence 1: the label 'c' is not among those .*'a', 'b'"):
        gw.Classifier(epochs=1).fit(x, y, validation=(x[:2], ["a", "c"]))
    with pytest.raises(DataError, match="sequence 0: expected a number to regress on, got the label 'a'"):
        gw.Classifier(epochs=1, kind="regression").fit(x, y)


def test_lengths_that_cannot_be() -> None:
    x = np.ones((2, 3, 1))
    for lengths, message in (
        ([4, 1], "length of sequence 0: expected 1 to 3, got 4"),
        ([1], "expected 2 whole numbers"),
    ):
        with pytest.raises(DataError, match=message):
            gw.Classifier(epochs=1).fit(x, [0, 1], lengths=lengths)


# -- parts and batches -----------------------------------------------------------------------------------------


def test_validation_has_its_share_of_every_class() -> None:
    found = from_arrays([[float(k)] for k in range(100)], labels=["a"] * 80 + ["b"] * 18 + ["c"] * 2)
    made = prepare(found, None, ClassifySettings(validation=0.2), seed=0)
    assert np.bincount(made.valid_targets).tolist() == [16, 4, 1]
    assert sorted(np.concatenate([made.train.values, made.valid.values])[:, 0].tolist()) == list(range(100))
    other = prepare(found, None, ClassifySettings(validation=0.2), seed=1)
    assert not np.array_equal(made.valid.values, other.valid.values)


def test_a_person_is_in_one_part_only() -> None:
    groups = np.arange(60) % 6
    found = from_arrays([[float(k)] for k in range(60)], labels=np.arange(60) // 6 % 2, groups=groups)
    train, valid = split(found, np.arange(60) // 6 % 2, ClassifySettings(group="who", validation=0.3), 0)
    assert len(set(groups[valid])) == 2 and not set(groups[train]) & set(groups[valid])
    one = from_arrays([[1.0], [2.0]], labels=[0, 1], groups=["p", "p"])
    with pytest.raises(DataError, match=r"all sequences are of one group \(p\)"):
        split(one, np.array([0, 1]), ClassifySettings(), 0)
    apart = from_arrays([[1.0], [2.0]], labels=[0, 1], groups=["p", "q"])
    with pytest.raises(DataError, match="a class is left without training data"):
        split(apart, np.array([0, 1]), ClassifySettings(), 0)


def test_an_epoch_has_every_sequence_once_in_batches_of_one_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 1000)
    batches = epoch_order(lengths, 16, [0, 0])
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000)) and len(batches) == 63
    waste = 1 - lengths.sum() / sum(len(b) * lengths[b].max() for b in batches)
    assert waste < 0.06
    again, other = epoch_order(lengths, 16, [0, 0]), epoch_order(lengths, 16, [0, 1])
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(other))


def test_drawn_by_class_all_classes_are_alike() -> None:
    targets = np.array([0] * 900 + [1] * 100)
    drawn = np.concatenate(epoch_order(np.ones(1000, int), 50, [0, 0], equal_chances(targets)))
    assert 0.45 < targets[drawn].mean() < 0.55


def test_augmentations_keep_what_they_say() -> None:
    generator = np.random.default_rng(0)
    x = np.stack([np.arange(50.0), np.zeros(50), np.ones(50)], 1).astype(np.float32)
    turned = rotated(x, 30.0, generator)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)
    assert not np.allclose(turned, x)
    slow = warped(x, 0.5, generator)
    assert slow.shape == x.shape and (np.diff(slow[:, 0]) > 0).all() and slow[0, 0] == 0 and slow[-1, 0] == 49
    short = cut(x, 0.5, generator)
    assert 25 <= len(short) < 50 and (np.diff(short[:, 0]) == 1).all()
    assert warped(x[:1], 0.5, generator).shape == (1, 3)


def test_masks_hide_stretches_behind_the_mean() -> None:
    config = {"input": "numbers", "mean": [5.0, 6.0, 7.0], "scale": [1.0, 1.0, 1.0]}
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    hidden = Changes(ClassifySettings(mask_time=0.5), config)(x, [0, 1])
    rows = (hidden == np.array([5.0, 6.0, 7.0])).all(1)
    assert 0 < rows.sum() <= 40 and np.array_equal(hidden[~rows], x[~rows])
    assert Changes(ClassifySettings(), config)(x, [0]) is x


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "basic_motions").exists(), reason="the BasicMotions data are not here")
def test_basic_motions() -> None:
    folder = DATA / "basic_motions"
    model = gw.Classifier().fit(folder / "BasicMotions_TRAIN.ts.gz")  # 40 sequences, and no setting
    assert model.score(folder / "BasicMotions_TEST.ts.gz") >= 0.9
    assert model.classes_.tolist() == ["Badminton", "Running", "Standing", "Walking"]
