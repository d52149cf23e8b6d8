"""Texts: strings, files, folders; what is wrong with one is said before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.tasks import text as texts
from gatewright.tasks.errors import FolderError, TextError
from gatewright.tasks.language import corpus as corpora
from gatewright.tasks.language.corpus import Rows, prepare
from gatewright.tasks.text import Part, open_text, split, survey


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "BLOCK", 7)


def read(text: texts.Text) -> str:
    return "".join(text.strings())


def test_a_string_a_file_and_a_folder(tmp_path: Path, small_blocks: None) -> None:
    (tmp_path / "b.txt").write_text("zweite Datei: äöü", encoding="utf-8")
    (tmp_path / "a.txt").write_text("erste Datei", encoding="utf-8")
    (tmp_path / ".hidden").write_bytes(b"\0")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.md").write_text("dritte\n", encoding="utf-8")
    assert read(open_text("ein Text: äöü")) == "ein Text: äöü"
    assert read(open_text(tmp_path / "b.txt")) == "zweite Datei: äöü"
    assert read(open_text(tmp_path)) == "erste Datei\nzweite Datei: äöü\ndritte\n"
    assert read(open_text(tmp_path, "*.md")) == "dritte\n"
    found = survey(open_text(tmp_path))
    assert found.characters == len(read(open_text(tmp_path)))
    assert found.size == len(read(open_text(tmp_path)).encode())
    assert found.sha256 == survey(open_text(read(open_text(tmp_path)))).sha256


def test_the_default_text_is_real_and_long() -> None:
    found = survey(open_text(None))
    assert found.characters > 300_000
    assert "Assert statements are a convenient way" in read(open_text(None))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), st.floats(0, 1))
def test_a_split_cuts_no_character_and_loses_nothing(string: str, share: float) -> None:
    text = open_text(string)
    train, valid = split(text, len(string.encode()), share)
    assert "".join(train.strings()) + "".join(valid.strings()) == string


def test_a_part_of_several_blocks(small_blocks: None) -> None:
    assert b"".join(Part(open_text("abcdefghijklmnopqrstuvwxyz"), 5, 23).blocks()) == b"fghijklmnopqrstuvw"


def test_what_is_wrong_with_a_text(tmp_path: Path, small_blocks: None) -> None:
    def make(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    (tmp_path / "folder").mkdir()
    cases = [
        (tmp_path / "none.txt", r"none\.txt: no such file or folder"),
        (make("empty.txt", b""), r"empty\.txt: the text is empty"),
        (make("picture.png", b"\x89PNG.\0..."), r"picture\.png: a binary file.*zero byte at byte 5"),
        (
            make("latin.txt", "twelve bytesé".encode("latin1") + b" more"),
            r"latin\.txt: not UTF-8 at byte 12 \(0xe9",
        ),
        (make("cut.txt", "0123456789é".encode()[:-1]), r"cut\.txt: not UTF-8 at byte 10 \(0xc3"),
        (tmp_path / "folder", r"folder: no file like '\*' in this folder"),
    ]
    for path, message in cases:
        with pytest.raises(TextError, match=message):
            survey(open_text(path))
    with pytest.raises(TextError, match="no UTF-8 form at character 1"):
        open_text("a\ud800")


def test_the_file_that_is_wrong_is_named_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ends inside a character é".encode()[:-1])
    (tmp_path / "b.txt").write_bytes(b"fine")
    with pytest.raises(TextError, match=r"a\.txt: not UTF-8 at byte 24|b\.txt: not UTF-8"):
        survey(open_text(tmp_path))


def test_rows_cover_the_text_in_order() -> None:
    rows = Rows(np.arange(32), rows=3, steps=4, offset=1)
    assert rows.length == 10
    assert len(rows) == 3
    joined = np.concatenate([rows.batch(i)[:-1] for i in range(len(rows))])
    np.testing.assert_array_equal(joined.T, [np.arange(1, 11), np.arange(11, 21), np.arange(21, 31)])
    for index in range(3):
        batch = rows.batch(index)
        np.testing.assert_array_equal(batch[1:], batch[:-1] + 1)
        np.testing.assert_array_equal(rows.batch(index, 1, 3), batch[:, 1:3])


@pytest.mark.parametrize("kind", ["chars", "bytes", "words", "pieces"])
def test_a_long_text_is_mapped_from_a_cache(
    kind: str, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = prepare(open_text(prose), kind=kind, size=270)
    monkeypatch.setattr(corpora, "IN_MEMORY", 100)
    monkeypatch.setenv("GATEWRIGHT_CACHE", str(tmp_path / "cache"))
    for _ in range(2):  # written, then found
        cached = prepare(open_text(prose), kind=kind, size=270)
        assert isinstance(cached.train, np.memmap)
        assert cached.cache is not None and cached.cache.parent == tmp_path / "cache" / "text"
        np.testing.assert_array_equal(cached.train, in_memory.train)
        np.testing.assert_array_equal(cached.valid, in_memory.valid)
        assert cached.tokenizer.to_dict() == in_memory.tokenizer.to_dict()
    assert sorted(p.name for p in cached.cache.parent.iterdir()) == [cached.cache.name]
    (cached.cache / "train.bin").write_bytes(b"short")
    with pytest.raises(FolderError, match="this cached text is damaged"):
        prepare(open_text(prose), kind=kind, size=270)


def test_the_vocabulary_does_not_see_the_validation_text() -> None:
    corpus = prepare(open_text("a" * 90 + "b" * 10))
    assert corpus.tokenizer.size == 2
    assert corpus.valid.tolist() == [0] * 10


def test_a_validation_text_of_its_own() -> None:
    corpus = prepare(open_text("abab"), validation=open_text("ba"))
    assert corpus.train.tolist() == [1, 2, 1, 2]
    assert corpus.valid.tolist() == [2, 1]
