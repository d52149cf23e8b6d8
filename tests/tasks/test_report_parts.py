"""What a report is made of: parts, pictures, baselines."""

from __future__ import annotations

import html as markup
import re
from collections.abc import Iterator

import numpy as np
import pytest

from gatewright.inside.pictures.scene import Axis, Bars, Line, Mark, Panel, Scene
from gatewright.tasks.language.findings import Seen, baselines
from gatewright.tasks.report.axis import Place, words
from gatewright.tasks.report.parts import Alert, Code, Figure, Report, Section, Table, Text
from gatewright.tasks.report.svg import scene_svg

# -- parts -----------------------------------------------------------------------------------------------------


def test_parts_are_escaped() -> None:
    bad = "<script>&\"'"
    panel = Panel(
        [Line(np.arange(3), np.arange(3.0), bad), Line(np.arange(3), np.ones(3), "b"), Mark(1, bad)],
        bad,
        Axis(bad),
        Axis(bad),
    )
    parts = [Text(bad), Code(bad), Alert(bad), Table([bad], [[bad]], bad), Figure(Scene([panel], bad, note=bad), bad)]
    html = Report(bad, bad, [(bad, bad)], [Alert(bad)], [Section(bad, parts)], bad).html()
    assert "<script" not in html
    assert html.count(markup.escape(bad)) >= 15


def test_many_alerts_are_folded() -> None:
    alerts = [Alert(f"number {k}") for k in range(9)]
    html = Report("t", alerts=alerts).html()
    assert "<summary>4 more</summary>" in html
    assert html.index("number 4") < html.index("<details>") < html.index("number 5")


def test_tables_tell_numbers_from_words() -> None:
    html = Report("t", sections=[Section("s", [Table(["a", "b"], [["x", 1234567], ["y", None]], bars=1)])]).html()
    assert '<td class="n">1,234,567</td>' in html
    assert '<td class="n">–</td>' in html
    assert "width:100.0%" in html


def test_headings_of_one_name_have_places_of_their_own() -> None:
    html = Report("t", sections=[Section("A b", []), Section("a B", []), Section("§", [])]).html()
    assert re.findall(r'h2 id="([^"]*)"', html) == ["a-b", "a-b-1", "section"]


# -- baselines -------------------------------------------------------------------------------------------------


def test_baselines_are_probabilities_that_add_up() -> None:
    """Every next token scored in turn: the bigram's probabilities after each token are a distribution."""
    V, train = 5, np.random.default_rng(0).integers(0, 4, 60)
    for before in range(V):  # token 4 is never seen
        total = {"unigram": 0.0, "bigram": 0.0}
        for after in range(V):
            for found in baselines(Seen(train, np.array([before, after])), V)[1:]:
                total[found.name] += float(np.exp(-found.figures["loss"]))
        assert total["unigram"] == pytest.approx(1)
        assert total["bigram"] == pytest.approx(1)


def test_baselines_know_their_text() -> None:
    text = np.tile([0, 1, 2, 3], 500)
    uniform, unigram, bigram = (s.figures["loss"] for s in baselines(Seen(text, text), 8))
    assert uniform == pytest.approx(np.log(8))
    assert unigram == pytest.approx(np.log(4), abs=0.01)
    assert bigram < 0.01
    assert baselines(Seen(text, text), 8, 0.5)[0].figures["bits a character"] == pytest.approx(1.5)


# -- drawing ---------------------------------------------------------------------------------------------------


def numbers(svg: str, name: str) -> Iterator[float]:
    return (float(value) for value in re.findall(rf'{name}="(-?[\d.]+)"', svg))


def test_a_curve_is_where_its_numbers_are() -> None:
    panel = Panel([Line(np.array([0.0, 5, 10]), np.array([1.0, 10, 100]), "a")], "t", Axis("x"), Axis("y", log=True))
    svg = scene_svg(Scene([panel]), "what")
    path = re.search(r'class="s c0" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg)
    assert path is not None
    x0, y0, x1, y1, x2, y2 = map(float, path.groups())
    assert x0 == 0
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.2)
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.2)  # on a logarithmic axis
    assert y0 > y2
    assert "<title>a: 10 at x 5</title>" in svg


def test_a_gap_stays_a_gap() -> None:
    panel = Panel([Line(np.arange(5), np.array([1, 2, np.nan, 3, 4.0]), "")], "", Axis(), Axis())
    assert re.search(r'd="(M[^"]*)"', scene_svg(Scene([panel]), "").split('class="s')[1]).group(1).count("M") == 2  # type: ignore[union-attr]


def test_bars_stand_on_zero() -> None:
    panel = Panel([Bars(np.array([1.0, 10, 100]), np.array([4.0, 2]), "")], "", Axis(log=True), Axis())
    svg = scene_svg(Scene([panel]), "")
    rects = re.findall(r'y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    (y0, w0, h0), (y1, w1, h1) = (tuple(map(float, r)) for r in rects)
    assert y0 + h0 == pytest.approx(y1 + h1, abs=0.2)
    assert h0 == pytest.approx(2 * h1, abs=0.3)
    assert w0 == pytest.approx(w1, abs=0.2)


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        (Axis(), [0.0, 1.0], ["0", "0.5", "1"]),
        (Axis(low=-45.0, high=45.0), [], ["-40", "-20", "0", "20", "40"]),
        (Axis(log=True), [1e-3, 1e3], ["0.001", "0.1", "10", "1,000"]),
        (Axis(log=True), [2.0, 8.0], ["2", "3", "5", "7"]),
        (Axis(), [7.0, 7.0], ["7", "7.5", "8"]),
    ],
)
def test_ticks_are_round_and_never_alone(axis: Axis, values: list[float], expected: list[str]) -> None:
    found = Place.of(axis, np.array(values), 100.0).ticks(4)
    assert [word for _, word in found] == expected
    assert all(-0.1 <= at <= 100.1 for at, _ in found)


def test_dates_along_an_axis() -> None:
    days = np.array(["2024-01-01", "2024-01-11"], "datetime64[D]")
    found = Place.of(Axis(dates=True), days, 100.0).ticks(6)
    assert [word for _, word in found] == ["2024-01-01", "2024-01-08"]  # Mondays
    hours = np.array(["2024-01-01T05:00", "2024-01-01T17:00"], "datetime64[s]")
    found = Place.of(Axis(dates=True), hours, 100.0).ticks(6)
    assert [word for _, word in found] == ["2024-01-01 06:00", "2024-01-01 12:00"]
    assert found[0][0] == pytest.approx(100 / 12)


def test_numbers_as_people_write_them() -> None:
    assert [words(v) for v in (0.0, 1e9, 0.1 + 0.2, 12345.678, float("inf"))] == [
        "0",
        "1e+09",
        "0.3",
        "12,345.7",
        "inf",
    ]
