"""Reading tagged sentences: every form gives the same, and what is wrong is named by file and line."""

from __future__ import annotations

import gzip
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.tasks.errors import DataError
from gatewright.tasks.tag.data import Sentences, find_part, read_sentences
from gatewright.tasks.tag.encode import LONGEST, Encoded, Vocabulary, broken, bucketed, collate
from gatewright.tasks.tag.settings import TagSettings
from gatewright.tasks.tag.vectors import read_vectors

WORDS = [["fly", "to", "Rome", "#2"], ["Oslo"]]
TAGS = [["O", "O", "B-city", "O"], ["B-city"]]
INTENTS = ["book", "where"]


def columns(path: Path, words=WORDS, tags=TAGS, intents=INTENTS, gap=" NN ") -> Path:
    lines = []
    for i, sentence in enumerate(words):
        lines += [f"# intent: {intents[i]}"] if intents else []
        lines += [f"{word}{gap}{tag}" for word, tag in zip(sentence, tags[i], strict=True)] + [""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def three(folder: Path, words=WORDS, tags=TAGS, intents=INTENTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "seq.in").write_text("".join(" ".join(s) + " \n" for s in words))  # a blank at the end, as in SNIPS
    (folder / "seq.out").write_text("".join(" ".join(s) + "\n" for s in tags))
    if intents:
        (folder / "label").write_text("".join(f"{s}\n" for s in intents))
    return folder


def same(found: Sentences, intents=INTENTS) -> None:
    assert (found.words, found.tags, found.intents) == (WORDS, TAGS, intents)


def test_every_form_gives_the_same(tmp_path):
    same(read_sentences(WORDS, TAGS, INTENTS))
    same(read_sentences(columns(tmp_path / "a.txt")))
    same(read_sentences(columns(tmp_path / "b.conll", gap="\t")))
    same(read_sentences(columns(tmp_path / "c.txt", intents=None)), None)
    same(read_sentences(three(tmp_path / "three")))
    same(read_sentences(three(tmp_path / "two", intents=None)), None)
    for part, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
        three(tmp_path / "parts" / name)
        same(read_sentences(tmp_path / "parts", part=part))
    columns(tmp_path / "train.txt")
    same(read_sentences(tmp_path))
    assert find_part(tmp_path, "valid") is None


def test_gzip_byte_order_marks_and_line_ends(tmp_path):
    content = columns(tmp_path / "a.txt").read_bytes()
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(content))
    same(read_sentences(tmp_path / "packed.txt.gz"))
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    same(read_sentences(tmp_path / "windows.txt"))
    for file in three(tmp_path / "three").iterdir():
        (file.with_name(file.name + ".gz")).write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    same(read_sentences(tmp_path / "three"))


def test_conll_files_with_documents_comments_and_words_like_comments(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("-DOCSTART- O\n\n# text = Rome\nRome B-city\n# O\n: O\n")
    assert read_sentences(path).words == [["Rome", "#", ":"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.txt: no sentence in it; give words with tags"),
        ("\n\n", "a.txt: no sentence in it"),
        ("fly O\nRome\n", "a.txt, line 2: expected 2 columns as before, got 'Rome'"),
        ("fly\n", "a.txt, line 1: expected a word and its tag, got 'fly'"),
        ("fly\tO\n\tO\n", "a.txt, line 2: expected 2 columns as before, got '\\tO'"),
        ("# intent: x\nfly O\n\nRome O\n", "a.txt, line 4: this sentence has no intent, and others have"),
    ],
)
def test_what_is_wrong_with_columns(tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_sentences(tmp_path / "a.txt")


def test_what_is_wrong_with_three_files(tmp_path):
    folder = three(tmp_path / "a")
    (folder / "label").write_text("book\n")
    with pytest.raises(DataError, match=r"label: 1 lines, and .*seq.in has 2; they must have a line for each sentence"):
        read_sentences(folder)
    (folder / "label").write_text("book\n\n")
    with pytest.raises(DataError, match=r"label, line 2: empty; give every sentence a line"):
        read_sentences(folder)
    (folder / "seq.out").write_text("O O B-city O\nO B-city\n")
    with pytest.raises(DataError, match=r"seq.out, line 2: 2 tags for 1 words \(Oslo \); every word needs one"):
        read_sentences(folder)
    (folder / "seq.out").unlink()
    with pytest.raises(DataError, match=r"seq.in is there, seq.out is not"):
        read_sentences(folder)
    with pytest.raises(DataError, match=r"neither seq.in and seq.out nor a part test is in this folder"):
        read_sentences(tmp_path, part="test")
    with pytest.raises(DataError, match="no such file or folder"):
        read_sentences(tmp_path / "nowhere")


def test_what_cannot_be_decoded(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fly O\nM\xfcnchen B-city\n")
    with pytest.raises(DataError, match=r"a.txt, line 2: not UTF-8; convert the file"):
        read_sentences(tmp_path / "a.txt")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"fly O\n")[:-5])
    with pytest.raises(DataError, match=r"b.gz: cannot be read"):
        read_sentences(tmp_path / "b.gz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((WORDS,), "tags: expected a list of tags for every sentence, got none"),
        ((WORDS, TAGS[:1]), "tags: expected 2 lists, one for each sentence, got 1"),
        ((WORDS, [TAGS[0], ["O", "O"]]), "sentence 1: 2 tags for 1 words; every word needs one"),
        (([["fly"], []], [["O"], []]), "sentence 1: no word in it; leave it out"),
        ((WORDS, TAGS, ["book"]), "intents: expected 2, one for each sentence, got 1"),
        ((["fly to Rome"], [["O"]]), "sentence 0: words: expected a path, or a list of lists of strings, got str"),
        (([["fly", 3]], [["O", "O"]]), "sentence 0: words: expected strings that are not empty, got 3"),
        (([["fly", " "]], [["O", "O"]]), "sentence 0: words: expected strings that are not empty, got ' '"),
        (([], []), "no sentence in it"),
        ((7, []), "data: expected a path, or a list of lists of strings, got int"),
    ],
)
def test_what_is_wrong_with_lists(arguments, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_sentences(*arguments)


# -- numbers ---------------------------------------------------------------------------------------------------------


def vocabulary(**settings) -> Vocabulary:
    return Vocabulary.build(Sentences("x", WORDS, TAGS, INTENTS), TagSettings(**settings))


def test_words_are_looked_up_in_one_form_and_spelled_as_they_are():
    known = vocabulary()
    assert known.word("ROME") == known.word("rome") != 0
    assert known.word("#7") == known.word("#2") != 0
    assert known.word("Paris") == 0
    assert known.spell("Rx") == [known.characters.index("R") + 1, 0]
    assert len(known.spell("x" * 99)) == LONGEST
    exact = vocabulary(lowercase=False, digits=False)
    assert exact.word("rome") == exact.word("#7") == 0 != exact.word("Rome")
    assert vocabulary(min_count=2).words == {"": 0}
    assert Vocabulary.from_dict(known.to_dict()) == known


def test_tags_and_intents_that_training_lacks_stand_behind_its_own():
    known = vocabulary()
    data = Encoded.of(Sentences("y", [["Rome", "by"]], [["B-city", "B-way"]], ["how"]), known)
    assert data.tags == [*known.tags, "B-way"]
    assert data.truth(0) == (["B-city", "B-way"], "how")
    assert data.words(0) == ["Rome", "by"]


@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=9), min_size=1, max_size=6))
def test_a_batch_holds_its_sentences(sentences):
    train = Sentences("x", sentences, [["O"] * len(s) for s in sentences], [s[0] for s in sentences])
    known = Vocabulary.build(train, TagSettings())
    data = Encoded.of(train, known)
    rows = np.arange(len(sentences))[::-1].copy()
    batch = collate(data, rows)
    assert batch.words.shape == (max(map(len, sentences)), len(sentences))
    for b, row in enumerate(rows):
        sentence = sentences[row]
        assert batch.lengths[b] == len(sentence)
        assert batch.words[: len(sentence), b].tolist() == [known.word(w) for w in sentence]
        assert (batch.words[len(sentence) :, b] == 0).all()
        for t, word in enumerate(sentence):
            form = batch.forms[t, b]
            assert batch.letters[: batch.letter_lengths[form], form].tolist() == known.spell(word)
        assert known.intents[batch.intents[b]] == sentence[0]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 9))
def test_an_epoch_has_every_sentence_once_and_long_ones_together(lengths, size):
    lengths = np.array(lengths)
    batches = bucketed(lengths, size, [0, 1])
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    again = bucketed(lengths, size, [0, 1])
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    ends = sorted((lengths[rows].min(), lengths[rows].max()) for rows in batches)
    assert all(later[0] >= earlier[1] - 2 for earlier, later in itertools.pairwise(ends))


def test_epochs_have_orders_of_their_own():
    lengths = np.full(64, 5)
    first, second = (np.concatenate(bucketed(lengths, 8, [0, epoch])) for epoch in (0, 1))
    assert (first != second).any()


def test_breaks_are_found_once_each():
    assert broken([["I-x", "O", "I-x"], ["O", "I-x"]], "BIO") == [(None, "I-x"), ("O", "I-x")]
    assert broken([["B-x", "I-x"]], "BIO") == []
    assert broken([["NN", "VB"]], None) == []


# -- vectors ---------------------------------------------------------------------------------------------------------


def read(path: Path, content: bytes, most: int = 9, wanted=()):
    path.write_bytes(content)
    return read_vectors(path, str.lower, wanted, most)


def test_vectors_of_both_formats(tmp_path):
    glove = read(tmp_path / "v", b"Rome 1 2\nto 3 4\nROME 5 6\n")
    assert (glove.words, glove.values.tolist()) == (["rome", "to"], [[1, 2], [3, 4]])
    assert read(tmp_path / "v", b"2 2\nRome 1 2 \nto 3 4\n").words == ["rome", "to"]
    assert read(tmp_path / "v", b"a 1\nb 2\nrome 3\n", most=1, wanted={"rome"}).words == ["a", "rome"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a 1 2\nb 1\n", "line 2: 1 numbers, and the lines before have 2"),
        (b"a 1 x\n", "line 1: expected a word and numbers behind it"),
        (b"a 1 nan\n", "line 1: expected a word and finite numbers behind it"),
        (b"a 1 2\n\xff 1 2\n", "line 2: not UTF-8"),
        (b"", "no vector in it"),
    ],
)
def test_what_is_wrong_with_vectors(tmp_path, content, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path / "v", content)
    with pytest.raises(DataError, match="cannot be read"):
        read_vectors(tmp_path / "nowhere", str, (), 1)
