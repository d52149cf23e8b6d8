"""The benchmarks: what is measured, how it is judged, and what the table says of it."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import gatewright as gw
from gatewright.backends.cpu.kernel import saved_size

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import __main__ as program
from benchmarks import choice, compiling, own, peak, peers, report, timing
from benchmarks.shapes import INFERENCE, MODES, SHAPES, TRAINING, agree, drop_in
from benchmarks.timing import Line, Race, Result

TINY = ({"B": 2, "T": 3, "I": 4, "H": 130},)  # more than 128 units: every group has rows of it

GROUPS = {
    "lstm": (peers.lstm, {INFERENCE: 1.03, TRAINING: 1.03}),
    "gru": (peers.gru, {INFERENCE: 2.2, TRAINING: 2.2}),
    "packed": (peers.packed, {INFERENCE: 2.5, TRAINING: 2.8}),
    "proj": (peers.proj, {INFERENCE: 2, TRAINING: 2}),
}


def result(value=1.0, **options) -> Result:
    given = {"group": "lstm", "name": "a / b", "shape": SHAPES[0], "mode": INFERENCE, "low": value, "high": value}
    return Result(value=value, rounds=7, **(given | options))


def race(*lines: Line) -> Race:
    return Race("lstm", SHAPES[0], INFERENCE, dict, lines)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch):
    monkeypatch.setattr(timing, "_used", lambda seconds: 0.0)


# -- how it is measured ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 8])
def test_every_side_is_first_and_last_equally_often(count):
    names = list("abcdefgh"[:count])
    orders = [timing.order_of(names, k) for k in range(2 * count)]
    assert all(sorted(order) == names for order in orders)
    for end in (0, -1):
        assert sorted(order[end] for order in orders) == sorted(names * 2)


def test_sides_alternate_for_seven_rounds_at_least():
    seen = []

    def side(name):
        return lambda: (seen.append(name), time.sleep(timing.LEAST_TIME))

    rounds = timing.measure({"a": side("a"), "b": side("b")}, 0.0)
    assert len(rounds) == timing.LEAST_ROUNDS == 7
    assert "".join(seen[4:]) == "abbabaababbaba"  # behind two calls each that warm up
    assert all(seconds >= timing.LEAST_TIME for each in rounds for seconds in each.values())


def test_a_short_call_is_repeated_until_the_clock_can_see_it():
    calls = []
    timing.measure({"a": lambda: calls.append(None)}, 0.0)
    assert len(calls) > 1000


def test_waiting_for_others_ends(monkeypatch):
    monkeypatch.setattr(timing, "_used", lambda seconds: time.sleep(0.001) or 1.0)
    monkeypatch.setattr(timing, "_patience", 0.005)
    assert not timing.wait_until_quiet()
    monkeypatch.setattr(timing, "_used", lambda seconds: 0.0)
    assert timing.wait_until_quiet()


# -- how it is judged ------------------------------------------------------------------------------


def test_a_row_is_the_median_of_the_rounds_ratios():
    rounds = [{"theirs": 2.0, "ours": 1.0}, {"theirs": 9.0, "ours": 1.0}, {"theirs": 3.0, "ours": 1.0}]
    (found,) = race(Line("theirs / ours", "theirs", "ours", least=2, peer=True)).judge(rounds)
    assert (found.value, found.low, found.high, found.rounds) == (3.0, 2.0, 9.0, 3)
    assert found.times == {"theirs": 3e6, "ours": 1e6}
    assert found.verdict == "ok"


def test_a_requirement_may_be_a_part_of_another_ratio():
    rounds = [{"loop": 10.0, "ours": 2.0, "plain": 1.0}] * 7
    (found,) = race(Line("loop / ours", "loop", "ours", least_of=(0.9, "plain"))).judge(rounds)
    assert (found.value, found.least, found.passed) == (5.0, 9.0, False)


def test_the_quickest_of_several_sides_counts():
    rounds = [{"cpu": 3.0, "vendor": 2.0, "auto": 4.0}] * 7
    (found,) = race(Line("better / auto", ("cpu", "vendor"), "auto", least=0.98)).judge(rounds)
    assert (found.value, found.verdict) == (0.5, "MISSED")


def test_a_scale_makes_another_unit_of_a_ratio():
    (found,) = race(Line("share", "peak", "ours", scale=50.0, unit="%")).judge([{"peak": 1.0, "ours": 1.0}] * 7)
    assert "50.0%" in report.line(found).split()


@pytest.mark.parametrize(
    ("value", "options", "verdict"),
    [
        (0.98, {"least": 1.0}, "MISSED"),
        (0.98, {"least": 1.0, "slack": 0.97}, "ok"),
        (0.96, {"least": 1.0, "slack": 0.97, "peer": True}, "MISSED SLOWER"),
        (0.99, {"least": 1.0, "slack": 0.97, "peer": True}, "ok SLOWER"),
        (0.9, {"peer": True}, "SLOWER"),
        (0.9, {}, ""),
        (1.11, {"most": 1.10}, "MISSED"),
        (1.09, {"most": 1.10}, "ok"),
        (1.0, {"most": 0.0}, "MISSED"),
    ],
)
def test_what_is_missed_and_what_is_lost_is_marked(value, options, verdict):
    found = result(value, **options)
    assert found.verdict == verdict
    assert report.line(found).endswith(verdict)


def test_means_are_of_the_rows_they_name():
    rows = [result(4.0, shape=SHAPES[0]), result(1.0, shape=SHAPES[1]), result(9.0, mode=TRAINING)]
    rows.append(result(1.2, group="own", name=own.NORMALISED))
    rows.append(result(5.0, group="own", name="cifg / plain"))
    found = {(m.group, m.mode, m.least, m.most): m for m in report.means(rows)}
    assert found["lstm", INFERENCE, 1.5, None].value == pytest.approx(2.0)
    assert found["lstm", INFERENCE, 1.15, None].value == pytest.approx(1.0)  # H >= 256 alone
    assert found["lstm", INFERENCE, 1.15, None].verdict == "MISSED"
    assert found["lstm", TRAINING, 1.6, None].value == pytest.approx(9.0)
    assert found["own", INFERENCE, None, 1.3].value == pytest.approx(1.2)
    assert len(found) == 4


# -- what is measured ------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_all_its_shapes_in_both_modes(group):
    rows, least = GROUPS[group]
    expected = {
        "packed": [s for s in SHAPES if s["B"] > 1],
        "proj": [s for s in SHAPES if s["H"] >= 128],
    }.get(group, SHAPES)
    found = list(rows())
    assert [(r.shape, r.mode) for r in found] == [(s, m) for s in expected for m in MODES]
    for each in found:
        (line,) = each.lines
        assert (line.least, line.slack, line.peer, each.group) == (least[each.mode], 0.97, True, group)


def test_a_loop_must_be_beaten_by_a_figure_or_by_as_much_as_plain_beats_it():
    for each in peers.loop():
        (line,) = each.lines
        expected = (5, None) if each.shape["H"] <= 128 else (None, (0.9, "plain"))
        assert (line.least, line.least_of) == expected


def test_steps_peaks_and_own_costs_have_their_limits():
    assert [r.lines[0].least for r in peers.step()] == [3, 3, 2, 1.2]
    required = {
        (tuple(r.shape.values()), r.mode): r.lines[0].least for r in peak.peak() if r.lines[0].least is not None
    }
    large = [(32, 100, 256, 256), (64, 100, 512, 512), (32, 64, 1024, 1024), (256, 50, 256, 256)]
    expected = {(s, m): least for s in large for m, least in ((INFERENCE, 85), (TRAINING, 80))}
    assert required == expected | {((32, 100, 16, 32), m): 50 for m in MODES}
    for each in own.own():
        assert [line.most for line in each.lines] == [1.10] * 6 + [None]
    assert all(each.lines[0].least == 0.98 for each in choice.auto())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "rows",
    [
        *(peers.lstm, peers.gru, peers.packed, peers.proj, peers.loop, choice.auto, choice.reference),
        pytest.param(own.own, marks=pytest.mark.slow),  # it compiles many cells
    ],
)
def test_the_sides_of_a_race_run(rows, mode):
    each = next(r for r in rows(TINY) if r.mode == mode)
    sides = each.make()
    needed = {name for line in each.lines for name in (line.bottom, *([line.top] if isinstance(line.top, str) else []))}
    assert needed <= set(sides)
    for side in sides.values():
        side()


def test_both_sides_have_the_very_same_weights():
    theirs = nn.GRU(3, 5)
    ours = drop_in(theirs, backend="vendor")
    assert all(a is b for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))


def test_what_computes_something_else_is_not_compared():
    with pytest.raises(AssertionError):
        agree(lambda: torch.zeros(3), lambda: torch.ones(3))


def test_a_stream_of_steps_is_compared_with_torchs_cell():
    (each,) = peers.step(hidden=[5])
    for side in each.make().values():
        side()


@pytest.mark.parametrize("threads", [1, 2])
def test_every_thread_runs_the_loop_of_multiply_adds(threads):
    torch.set_num_threads(threads)
    loop, lanes = peak.MultiplyAdds(), peak.host().lanes("float")
    count = peak.sums_of(peak.host())
    loop.words[0] = 10
    loop()
    totals = loop.data[(2 + count) * lanes :]
    torch.testing.assert_close(totals, torch.full((threads * lanes,), float(count)))


def test_saved_bytes_are_those_that_are_kept_for_backward_alone():
    class Twice(nn.Module):
        def forward(self, x):
            kept = torch.exp(x)  # for itself and for the sine: one tensor
            return torch.sin(kept).sum(), ()

    x = torch.randn(4, 6, requires_grad=True)
    assert compiling.saved_bytes(Twice(), x) == 4 * 6 * 4


def test_our_training_saves_what_the_kernel_says():
    T, B, I, H = 3, 2, 4, 16
    layer = gw.LSTM(I, H, backend="cpu")
    weights = tuple(tuple(w.shape) for w in layer.parameters())
    elements = saved_size(layer.programs[True, 0, 0, False, False], "float", T, B, (I,), weights, (H, H))
    states = 2 * B * H  # those before the first step
    found = compiling.saved_bytes(layer, torch.randn(T, B, I, requires_grad=True))
    assert 4 * elements <= found <= 4 * (elements + states)


def test_memory_is_torchs_over_ours():
    (probe,) = compiling.memory([{"B": 2, "T": 3, "I": 4, "H": 16}])
    for found in probe.run(0.0):
        theirs, _, ours, *_ = found.note.split()
        assert found.value == pytest.approx(int(theirs) / int(ours), rel=0.01)


@pytest.mark.slow
def test_a_new_process_compiles_once_and_never_for_another_size(tmp_path):
    new, again = (compiling._process(str(tmp_path)) for _ in range(2))
    assert new["compiled"] > 0
    assert (again["compiled"], new["compiled for another"], again["compiled for another"]) == (0, 0, 0)


def test_of_processes_the_median_time_counts_and_the_largest_number():
    times = compiling._row("the cell from the disk", [0.02, 0.09, 0.03], "ms", 50, "")
    assert (times.value, times.low, times.high, times.passed) == (30.0, 20.0, 90.0, True)
    counts = compiling._row("the same, compilations", [0, 0, 1], "", 0, "")
    assert (counts.value, counts.passed) == (1, False)


# -- the program -----------------------------------------------------------------------------------


def test_the_table_is_written_as_json_too(tmp_path, monkeypatch, capsys):
    quick = {"theirs": lambda: None, "ours": lambda: None}
    line = Line("nn.LSTM / ours", "theirs", "ours", least=1000, peer=True)
    rows = [Race("lstm", shape, mode, lambda: quick, (line,)) for shape in SHAPES[:2] for mode in MODES]
    monkeypatch.setattr(program, "GROUPS", {"lstm": lambda: rows, "gru": lambda: 1 / 0})
    file = tmp_path / "new" / "bench.json"
    monkeypatch.setattr(
        sys, "argv", ["bench", "--only", "lstm", "--shape", "256", "--seconds", "0", "--json", str(file)]
    )
    program.main()
    told = json.loads(file.read_text(encoding="utf-8"))
    assert {"torch", "processor", "threads", "dtype"} <= set(told["about"])
    assert [(r["shape"]["H"], r["mode"], r["passed"]) for r in told["rows"]] == [(256, m, False) for m in MODES]
    assert [m["mode"] for m in told["means"]] == [INFERENCE, INFERENCE, TRAINING, TRAINING]
    printed = capsys.readouterr().out
    assert "1,100,256,256" in printed and "1,100,64,64" not in printed
    assert "2 rows, 2 of them with a requirement: 2 missed" in printed


def test_an_unknown_group_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "nonsense"])
    with pytest.raises(SystemExit):
        program.main()
    assert "nonsense" in capsys.readouterr().err
