"""Tokenizers: what is encoded comes back, wherever the stream is cut, also after saving."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.tasks.errors import FolderError
from gatewright.tasks.tokenizers import TOKENIZERS, Bytes, Chars, Pieces, Words, load_tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=300)
PROSE = "To be, or not to be:\nthat is the question — whether 'tis nobler\n\n  in the mind\n" * 5
PIECES = Pieces.build([PROSE], 300)


def cut(text: str, places: list[int]) -> list[str]:
    borders = sorted({0, len(text), *(p % (len(text) + 1) for p in places)})
    return [text[a:b] for a, b in itertools.pairwise(borders)]


@given(TEXT)
def test_characters_come_back(text: str) -> None:
    chars = Chars.build([text], None)
    assert chars.decode(chars.encode(text)) == text
    assert chars.size == len(set(text)) + 1


@given(TEXT)
def test_bytes_come_back(text: str) -> None:
    assert Bytes().decode(Bytes().encode(text)) == text


@given(TEXT)
@settings(max_examples=50)
def test_pieces_come_back_for_any_text(text: str) -> None:
    assert PIECES.decode(PIECES.encode(text)) == text


@given(st.lists(st.lists(st.text("abcdé'", min_size=1, max_size=5), max_size=6), max_size=6))
def test_words_come_back_where_they_are_separated_by_one_space(lines: list[list[str]]) -> None:
    text = "\n".join(" ".join(line) for line in lines)
    words = Words.build([text], None)
    assert words.decode(words.encode(text)) == text


@given(TEXT, st.lists(st.integers(0, 10_000), max_size=5))
@settings(max_examples=60)
@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_where_the_stream_is_cut_changes_nothing(kind: str, text: str, places: list[int]) -> None:
    tokenizer = PIECES if kind == "pieces" else TOKENIZERS[kind].build(cut(text, places), None)
    if kind != "pieces":
        assert tokenizer.to_dict() == TOKENIZERS[kind].build([text], None).to_dict()
    parts = [np.empty(0, np.int32), *tokenizer.encode_stream(cut(text, places))]
    np.testing.assert_array_equal(np.concatenate(parts), tokenizer.encode(text))


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_a_tokenizer_is_saved_as_json(kind: str) -> None:
    tokenizer = TOKENIZERS[kind].build([PROSE], 300)
    again = load_tokenizer(json.loads(json.dumps(tokenizer.to_dict())))
    assert again.size == tokenizer.size
    np.testing.assert_array_equal(again.encode(PROSE), tokenizer.encode(PROSE))
    assert tokenizer.encode(PROSE).max() < tokenizer.size


def test_what_is_not_in_the_vocabulary_is_number_zero() -> None:
    chars = Chars.build(["abc"], None)
    assert chars.encode("abz").tolist() == [1, 2, 0]
    assert chars.decode([1, 0]) == "a\ufffd"
    words = Words.build(["a b a"], None)
    assert words.encode("b zz a\n").tolist() == [3, 0, 2, 1]


def test_a_vocabulary_keeps_the_most_frequent() -> None:
    assert Chars.build(["aaabbc"], 3).characters == "\ufffdab"
    assert Words.build(["x y y z z z"], 4).words == ["<unk>", "<eos>", "z", "y"]


def test_words_of_a_data_set_that_marks_unknown_ones() -> None:
    words = Words.build(["the <unk> sat\n"], None)
    assert words.words == ["<unk>", "<eos>", "sat", "the"]
    assert words.encode("the <unk> sat\n").tolist() == [3, 0, 2, 1]


def test_pieces_do_not_span_lines() -> None:
    ids = PIECES.encode("to be\nto be\n").tolist()
    assert ids == PIECES.encode("to be\n").tolist() * 2


def test_a_kind_that_is_unknown_is_refused() -> None:
    with pytest.raises(FolderError, match=r"tokenizer of kind 'runes'; expected one of chars, bytes, words, pieces"):
        load_tokenizer({"kind": "runes"})
