"""Units that follow labels are found, scored on steps that the search has not seen; labels of texts are right."""

from __future__ import annotations

import ast
import inspect
import textwrap

import numpy as np
import pytest
import torch

import gatewright as gw
from gatewright.inside import labels
from gatewright.inside.find import ranks

T, B, H = 400, 3, 6


def tape_of(values: torch.Tensor, **options) -> gw.record:
    """A tape whose f is the values (T, B, H), whatever the layer computes."""
    layer = gw.LSTM(2, values.shape[-1], **options)
    with gw.clamp(layer, f=values), gw.record(layer, ["f", "h"]) as tape, torch.no_grad():
        layer(torch.randn(*values.shape[:2], 2))
    return tape


def auc_by_pairs(values: np.ndarray, yes: np.ndarray) -> float:
    """The definition: over all pairs of a step with and one without."""
    above = np.sign(values[yes][:, None] - values[~yes][None, :])
    return float((above + 1).mean() / 2)


# -- finding ---------------------------------------------------------------------------------------------------


def test_a_planted_unit_is_found_and_scored_on_the_other_half():
    yes = torch.rand(T, B) < 0.3
    values = torch.rand(T, B, H)
    values[..., 4] = values[..., 4] * 0.5 + 0.5 * (~yes)  # low where the label is true
    best, second = gw.inside.find_units(tape_of(values), yes, ["f"], top=2)
    assert (best.name, best.unit, best.sign, best.measure) == ("f", 4, -1, "auc")
    assert best.score == pytest.approx(1.0)
    assert best.search == pytest.approx(1.0)
    assert second.unit != 4
    assert 0.35 < second.score < 0.65


@pytest.mark.parametrize("method", ["auc", "spearman", "pearson"])
def test_scores_are_the_definitions_of_each_half(method):
    values = (torch.rand(T, B, H) * 8).round() / 8  # many ties
    target = torch.rand(T, B) + values[..., 2]
    label = target > 1 if method == "auc" else target
    found = gw.inside.find_units(tape_of(values), label, "f", method=method, top=None)
    flat = values.transpose(0, 1).reshape(-1, H).numpy()  # sequence after sequence
    wanted = label.T.reshape(-1).numpy()
    middle = len(wanted) // 2
    assert [f.search for f in found] == sorted((f.search for f in found), reverse=True)
    for unit in found:
        for got, part in ((unit.search, slice(0, middle)), (unit.score, slice(middle, None))):
            column, goal = flat[part, unit.unit], wanted[part]
            if method == "auc":
                expected = auc_by_pairs(column, goal)
                expected = expected if unit.sign > 0 else 1 - expected
            elif method == "pearson":
                expected = unit.sign * np.corrcoef(column, goal)[0, 1]
            else:
                both = ranks(np.stack([column, goal], 1).astype(np.float64))
                expected = unit.sign * np.corrcoef(both.T)[0, 1]
            assert got == pytest.approx(expected, abs=1e-6)


def test_a_search_among_noise_does_not_flatter_itself():
    """Of 300 units of noise the best looks good where it was found, and is chance where it is scored."""
    values = torch.rand(60, 1, 300)
    best = gw.inside.find_units(tape_of(values), torch.rand(60, 1) < 0.5, ["f"], top=20)
    assert np.mean([f.search for f in best]) > 0.7
    assert abs(np.mean([f.score for f in best]) - 0.5) < 0.12


def test_ranks_have_the_mean_of_ties():
    given = np.array([[2.0, 1.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, 5.0]]).T
    assert ranks(given)[:, 0].tolist() == [4, 2, 4, 4, 1]
    assert ranks(given)[:, 1].tolist() == [3, 3, 3, 3, 3]


def test_lengths_layouts_and_steps_without_a_label():
    layer = gw.LSTM(2, H, batch_first=True)
    x, lengths = torch.randn(B, T, 2), torch.tensor([T, 250, 300])
    with gw.record(layer, ["i"]) as tape, torch.no_grad():
        layer(x, lengths=lengths)
    label = tape["i"][..., 3].double()
    label[:, ::2] = torch.nan  # every second step does not count
    label[1, 250:] = 1e9  # nor what lies behind an end
    best = gw.inside.find_units(tape, label, top=1)[0]
    assert (best.unit, round(best.score, 6), best.measure) == (3, 1.0, "spearman")
    with gw.record(layer, ["i"]) as tape, torch.no_grad():
        layer(x.transpose(0, 1).contiguous().transpose(0, 1))
    assert gw.inside.find_units(tape, tape["i"][..., 1], top=1)[0].unit == 1
    with gw.record(layer, ["i"]) as tape, torch.no_grad():
        layer(x[0])  # without a batch axis
    assert gw.inside.find_units(tape, tape["i"][:, 2].numpy(), top=1)[0].unit == 2


def test_several_layers_and_several_calls():
    layer = gw.LSTM(2, H, num_layers=2)
    with gw.record(layer, ["c", "o"], keep="all") as tape, torch.no_grad():
        for _ in range(2):
            layer(torch.randn(50, 1, 2))
    wanted = [run["o"][..., 5] for run in tape.tracks[1].runs]
    best = gw.inside.find_units(tape, wanted, top=1)[0]
    assert (best.layer, best.name, best.unit) == (1, "o", 5)
    assert "l1 o[5]: spearman 1.000 held out" in str(best)
    with pytest.raises(ValueError, match="labels: expected a list, one for each of the 2 calls, got 1"):
        gw.inside.find_units(tape, wanted[:1])


def test_a_long_tape_is_quick():
    values = torch.rand(20_000, 1, 64)
    best = gw.inside.find_units(tape_of(values), values[..., 7] > 0.5, ["f"], top=1)[0]
    assert best.unit == 7


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"labels": torch.zeros(3)}, ValueError, r"labels: expected one for each step: \(400, 3\), got shape \(3,\)"),
        ({"labels": torch.zeros(T, B) > 0}, ValueError, "different ones in the first half of the steps, got 0 alone"),
        ({"labels": np.array([["a"] * B] * T)}, TypeError, "labels: expected booleans or numbers"),
        ({"names": ["g_"]}, ValueError, "names: the tape has no 'g_'.*there are f, h"),
        ({"method": "roc"}, ValueError, "method: expected 'auto' or 'auc'"),
        ({"method": "auc", "labels": torch.rand(T, B)}, ValueError, "True and False for the AUC"),
        ({"top": 0}, ValueError, "top: expected at least 1"),
        ({"tape": 3}, TypeError, "expected a tape of gw.record"),
    ],
)
def test_errors(change, kind, message):
    arguments = {"tape": tape_of(torch.rand(T, B, 2)), "labels": torch.rand(T, B) > 0.5, **change}
    with pytest.raises(kind, match=message):
        gw.inside.find_units(arguments.pop("tape"), arguments.pop("labels"), **arguments)


# -- labels ----------------------------------------------------------------------------------------------------

SOURCE = textwrap.dedent(
    '''
    def f(a, b="(", *, c=[1, {2: 3}]):  # a comment with ( and 'quotes'
        """A docstring (with
        brackets) in two lines."""
        return rb'\\'(' , f"{a!r} {b['x'] if a else ')'}" + (
            "ü")
    '''
).lstrip()


def test_bracket_depth_of_plain_text_and_of_source():
    assert labels.bracket_depth("))(a[)").tolist() == [0, 0, 1, 1, 2, 1]
    assert labels.bracket_depth("").tolist() == []
    plain, source = labels.bracket_depth(SOURCE), labels.bracket_depth(SOURCE, python=True)
    assert source[-1] == 0
    assert plain[-1] != 0
    at = SOURCE.index("2: 3")
    assert source[at] == 3
    assert source[SOURCE.index("A docstring (with") + 14] == 0


def test_quotes_are_pythons_strings():
    inside = labels.in_quotes(SOURCE)
    shown = "".join(c if q else " " for c, q in zip(SOURCE, inside, strict=True)).split()
    assert (
        " ".join(shown)
        == '"( """A docstring (with brackets) in two lines."" \'\\\'( "{a!r} {b[\'x\'] if a else \')\'} "ü'
    )
    assert not inside[SOURCE.index("'quotes'")]


def test_the_labels_of_real_source_agree_with_its_syntax():
    """Where a statement begins, no bracket and no string is open."""
    text = inspect.getsource(textwrap)
    depth, quoted = labels.bracket_depth(text, python=True), labels.in_quotes(text)
    starts = np.cumsum([0, *(len(line) for line in text.splitlines(keepends=True))])
    begun = [starts[n.lineno - 1] + n.col_offset for n in ast.walk(ast.parse(text)) if isinstance(n, ast.stmt)]
    before = np.array([k - 1 for k in begun if k])
    assert len(before) > 100
    assert not depth[before].any()
    assert not quoted[before].any()
    assert depth.max() > 1
    assert 0.2 < quoted.mean() < 0.7


def test_quotations_of_prose():
    text = 'He said "no" and “maybe”.'
    assert "".join(c for c, q in zip(text, labels.in_quotes(text, python=False), strict=True) if q) == '"no“maybe'


def test_line_position_and_indent():
    text = "ab\n\n\tif x:\n  \ty\n"
    assert labels.line_position(text).tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]
    assert labels.indent(text).tolist() == [0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 1, 2, 8, 8, 8]
    assert labels.indent(text, tab=4)[4] == 4
    assert len(labels.line_position("")) == len(labels.indent("")) == 0


def test_labels_at_tokens():
    assert labels.at_tokens(labels.line_position("ab\ncd"), ["ab", "\nc", "d"]).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="tokens: expected pieces of 2 characters, none empty, got 3 characters"):
        labels.at_tokens(np.zeros(2), ["abc"])


@pytest.mark.parametrize("call", [labels.in_quotes, lambda t: labels.bracket_depth(t, python=True)])
def test_text_that_is_no_source(call):
    with pytest.raises(ValueError, match=r"text: expected Python source.*python=False"):
        call("x = '''not closed")
