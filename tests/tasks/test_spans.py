"""Spans and their F1 are what conlleval counts: compared with seqeval on random tags, whatever they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.tasks.tag.spans import Score, SpanCounts, find_scheme, follows, spans

TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("city", "day-time", "x"))]
SENTENCES = st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=12), max_size=8)


@given(SENTENCES)
def test_scores_are_those_of_seqeval(sentences):
    metrics = pytest.importorskip("seqeval.metrics")
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    gold = [[a for a, _ in sentence] for sentence in sentences]
    predicted = [[b for _, b in sentence] for sentence in sentences]
    counts = SpanCounts()
    for tags, guess in zip(gold, predicted, strict=True):
        counts.add(tags, guess)
    entities = [labeling.get_entities(tags) for tags in gold]
    assert [[(s.type, s.start, s.stop - 1) for s in spans(tags)] for tags in gold] == [list(e) for e in entities]
    if not (counts.gold and counts.predicted):
        assert counts.score.f1 == 0
        return
    theirs = [measure(gold, predicted) for measure in (metrics.precision_score, metrics.recall_score, metrics.f1_score)]
    assert counts.score[:3] == pytest.approx(tuple(theirs))
    report = metrics.classification_report(gold, predicted, output_dict=True, zero_division=0)
    for kind, score in counts.by_type().items():
        theirs = report[kind]
        assert (score.precision, score.recall, score.f1, score.gold) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"])
        )


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("I-x I-x", [("x", 0, 2)]),
        ("B-x B-x", [("x", 0, 1), ("x", 1, 2)]),
        ("B-x I-y", [("x", 0, 1), ("y", 1, 2)]),
        ("B-x O I-x", [("x", 0, 1), ("x", 2, 3)]),
        ("B-x E-x S-x", [("x", 0, 2), ("x", 2, 3)]),
        ("O O", []),
        ("", []),
    ],
)
def test_spans_of_well_known_cases(tags, wanted):
    assert [tuple(span) for span in spans(tags.split())] == wanted


def test_a_right_type_with_a_wrong_end_is_wrong():
    counts = SpanCounts()
    counts.add(["B-x", "I-x", "O"], ["B-x", "O", "O"])
    assert counts.score == Score(0.0, 0.0, 0.0, 1, 1)


def test_sequences_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="expected 2 predicted tags, one for each true one, got 1"):
        SpanCounts().add(["O", "O"], ["O"])


def test_tags_that_mark_no_spans_have_no_scheme():
    assert find_scheme(["NN", "VB", "O"]) is None
    assert find_scheme(["B", "I", "O"]) is None  # no types
    assert follows("NN", "VB", None)


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_what_follows_never_breaks_a_span(scheme):
    """Where all neighbours may follow each other, every I continues a span, and in BIOES every span has an end."""
    tags = [t for t in TAGS if scheme == "BIOES" or t[0] in "OBI"]
    for before in [None, *tags]:
        for after in [*tags, None]:
            inside = after is not None and after[0] in "IE"
            continued = before is not None and before[0] in "BI" and inside and before[2:] == after[2:]
            left_open = scheme == "BIOES" and before is not None and before[0] in "BI" and not inside
            assert follows(before, after, scheme) == ((continued or not inside) and not left_open), (before, after)
