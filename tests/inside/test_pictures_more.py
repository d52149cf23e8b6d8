"""Coloured text, horizons, gradient flow, one unit, two models, and training as it went."""

import html
import re

import numpy as np
import pytest
import torch
from torch import nn

import gatewright as gw
from gatewright.inside.pictures.watch import BAD, BARS, LOW, ZERO, octaves

# -- coloured text ---------------------------------------------------------------------------------


def spans(page):
    """(background, what is shown) of each token."""
    return re.findall(r'<span style="background:(#\w+);[^>]*title="[^"]*">([^<]*)</span>', page)


def test_every_token_has_the_colour_of_its_value():
    text = "if (a <\n\tb):"
    picture = gw.inside.coloured_text(text, torch.linspace(0, 1, len(text)), theme="light")
    found = spans(picture.html())
    assert "".join(html.unescape(word) for _, word in found) == "if·(a·<↵→b):"
    assert found[0][0] == "#f7f7f7" and found[-1][0] == "#67001f"
    assert len({colour for colour, _ in found}) == len(text)
    assert picture.html().count("<br>") == 1


def test_text_needs_no_script_and_nothing_from_outside():
    page = gw.inside.coloured_text(["<script>", "a&b"], [0.1, -0.9], title="<i>").html()
    assert "<script" not in page and "http" not in page and "<i>" not in page
    assert "&lt;script&gt;" in page


def test_several_units_are_several_rows():
    values = torch.stack([torch.linspace(-2, 2, 4), torch.linspace(0, 1, 4)], 1)
    picture = gw.inside.coloured_text("the keys are here".split(), values)
    assert [row.name for row in picture.rows] == ["unit 0", "unit 1"]
    assert [(row.scale.low, row.scale.high) for row in picture.rows] == [(-2, 2), (0, 1)]
    assert len(spans(picture.fragment())) == 8
    assert "−2<span" in picture.fragment()  # the scale's end
    fixed = gw.inside.coloured_text(list("ab"), {"x": [0.0, 5.0]}, scale=(0, 10))
    assert fixed.rows[0].scale.places(np.array([5.0])) == 0.5


def test_text_as_an_image_breaks_lines_at_spaces(tmp_path):
    picture = gw.inside.coloured_text("word " * 60, torch.rand(300), library="matplotlib")
    places = picture._places()
    assert max(column for _, column in places) < 110
    lines = [line for line, _ in places]
    assert all(lines[5 * k] == lines[5 * k + 4] for k in range(60))  # no word is torn
    assert picture._repr_png_().startswith(b"\x89PNG") and picture._repr_html_() is None
    assert picture.save(tmp_path / "a.svg").exists() and picture.save(tmp_path / "a.html").exists()


def test_missing_values_have_no_colour():
    picture = gw.inside.coloured_text("abc", [0.0, float("nan"), 1.0], theme="dark")
    assert spans(picture.html())[1][0] == picture.theme.page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ink_can_be_read_on_every_colour(theme):
    from gatewright.inside.pictures.style import luminance, rgb

    for values in (np.linspace(-1, 1, 50), np.linspace(0, 1, 50)):
        backs, inks = (
            gw.inside.coloured_text("x" * 50, values, theme=theme)
            .rows[0]
            .colours(gw.inside.coloured_text("x", [0.0], theme=theme).theme)
        )
        for back, ink in zip(backs, inks, strict=True):
            light, dark = sorted((luminance(rgb(back)), luminance(rgb(ink))), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_mistakes_about_text():
    with pytest.raises(ValueError, match="values: expected one for each of the 3 tokens"):
        gw.inside.coloured_text("abc", [1.0])
    with pytest.raises(ValueError, match="tokens: expected one token at least"):
        gw.inside.coloured_text([], [])
    with pytest.raises(ValueError, match="scale: expected"):
        gw.inside.coloured_text("a", [1.0], scale=(1, 0))
    with pytest.raises(ValueError, match="library: expected 'html' or 'matplotlib'"):
        gw.inside.coloured_text("a", [1.0], library="plotly")


# -- horizons and flow -----------------------------------------------------------------------------


def test_every_unit_is_counted_once():
    lives = torch.cat([torch.logspace(-1, 2, 50), torch.tensor([float("inf")] * 3)])
    picture = gw.inside.horizons({"l0": lives, "l1": lives[:7]}, lags=[24, 168])
    for panel, count in zip(picture.scene.panels, (53, 7), strict=True):
        bars = panel.items[0]
        assert bars.counts.sum() == count
        np.testing.assert_allclose(np.diff(np.log10(bars.edges)), 1 / 8)
        assert [mark.x for mark in panel.items[1:]] == [24, 168]
        assert panel.x.log and "half-life in steps" in panel.x.label
    assert "3 without end" in picture.scene.panels[0].title
    assert picture.figure.axes[0].get_xscale() == "log"
    assert picture.interactive.layout.xaxis.type == "log"
    assert len(picture.interactive.layout.shapes) == 4


def test_horizons_of_a_tape_are_its_measure():
    layer = gw.LSTM(3, 6, 2)
    with gw.record(layer) as tape:
        layer(torch.randn(20, 2, 3))
    picture = gw.inside.horizons(tape)
    assert [p.title.split(":")[0] for p in picture.scene.panels] == ["l0", "l1"]
    lives = gw.inside.memory_horizon(tape.track(layer=1))
    bars = picture.scene.panels[1].items[0]
    np.testing.assert_array_equal(bars.counts, np.histogram(lives.numpy(), bars.edges)[0])
    with pytest.raises(ValueError, match="half-lives above 0"):
        gw.inside.horizons(torch.tensor([1.0, 0.0]))
    plain = gw.RNN(3, 4)
    with gw.record(plain) as tape:
        plain(torch.randn(5, 2, 3))
    with pytest.raises(ValueError, match="a plain RNN has no such gate"):
        gw.inside.horizons(tape)


def last(found):
    return found[0][-1].sum()


def test_flow_draws_the_norms_of_each_model():
    models = {"LSTM": gw.LSTM(3, 8), "RNN": gw.RNN(3, 8)}
    found = gw.inside.compare(models, torch.randn(30, 2, 3), loss=last)
    picture = gw.inside.flow(found)
    lines = picture.scene.panels[0].items
    for line in lines:
        np.testing.assert_allclose(line.y, found[line.name][0].flow.numpy())
    assert len({line.dash for line in lines}) == 2  # told apart without colour
    assert picture.scene.panels[0].y.log and picture.scene.panels[0].x.label == "step"
    shorter = gw.inside.flow({"a": torch.ones(5), "b": torch.ones(3)}).scene.panels[0].items[1]
    assert np.isnan(shorter.y).tolist() == [True, True, False, False, False]
    with pytest.raises(ValueError, match="has backward been called"):
        gw.inside.flow({"a": torch.zeros(5)})
    with pytest.raises(ValueError, match=r"models: expected norms \(T,\)"):
        gw.inside.flow({"a": torch.zeros(5, 2)})
    assert picture.data("png") and picture.html()


# -- one unit, two models --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tapes():
    torch.manual_seed(0)
    layer, x = gw.LSTM(3, 5), torch.randn(9, 2, 3)
    with gw.record(layer) as free:
        layer(x)
    with gw.clamp(layer, f=1.0), gw.record(layer) as held:
        layer(x)
    return free, held


def test_a_units_history(tapes):
    picture = gw.inside.unit(tapes[0], "c", 3, sequence=1, tokens="abcdefghi")
    top, gates, rest = picture.scene.panels
    np.testing.assert_array_equal(top.items[-1].y, tapes[0]["c"][:, 1, 3].numpy())
    assert [line.name for line in gates.items] == ["i, input gate", "f, forget gate", "o, output gate"]
    assert [line.name for line in rest.items if line.name] == ["g, candidate", "h, hidden state"]
    assert rest.x.names == tuple("abcdefghi")
    assert picture.data("png") and picture.interactive
    only = gw.inside.unit(tapes[0], "c", 3, gates="f")
    assert [p.title for p in only.scene.panels] == ["c, cell state, of unit 3", "gates of unit 3"]
    with pytest.raises(ValueError, match="unit: expected 0 to 4"):
        gw.inside.unit(tapes[0], "c", 5)
    with pytest.raises(ValueError, match="names: the tape has no 'cc'"):
        gw.inside.unit(tapes[0], "cc", 0, gates="f")


def test_side_by_side_on_one_scale_with_the_difference(tapes):
    free, held = tapes
    picture = gw.inside.side_by_side({"free": free, "held": held}, ["c", "f"], difference=True, sort="mean")
    left, right = (picture.scene.panel(f"{side}: c").heat for side in ("free", "held"))
    assert left.scale == right.scale
    assert left.rows == right.rows
    apart = picture.scene.panel("c: held − free").heat
    np.testing.assert_allclose(apart.values, right.values - left.values, atol=1e-6)
    assert picture.data("png") and picture.interactive


def test_models_with_other_values_stand_side_by_side():
    found = gw.inside.compare({"LSTM": gw.LSTM(3, 5), "RNN": gw.RNN(3, 7)}, torch.randn(6, 2, 3))
    picture = gw.inside.side_by_side(found)
    assert [p.column for p in picture.scene.panels].count(1) == 1
    assert picture.scene.panel("RNN: h").row == picture.scene.panel("LSTM: h").row
    assert picture.data("svg")
    with pytest.raises(ValueError, match="as many units in both models"):
        gw.inside.side_by_side(found, "h", difference=True)
    with pytest.raises(ValueError, match="tapes: expected two models"):
        gw.inside.side_by_side({"a": found["RNN"]})
    with pytest.raises(ValueError, match="as long for all"):
        gw.inside.side_by_side({"a": {"h": torch.rand(5, 2)}, "b": {"h": torch.rand(4, 2)}})


# -- training --------------------------------------------------------------------------------------


def test_octaves_count_every_number():
    value = torch.randn(1000, dtype=torch.float64) * torch.logspace(-9, 3, 1000, dtype=torch.float64)
    value[:3] = torch.tensor([0.0, float("nan"), float("-inf")])
    counts = octaves(value)
    assert counts.sum() == 1000 and counts[ZERO] == 1 and counts[BAD] == 2
    edges = 2.0 ** np.arange(LOW, LOW + BARS + 1)
    expected = np.histogram(value[3:].abs().numpy(), edges)[0]
    np.testing.assert_array_equal(counts[:BARS].numpy(), expected)
    assert octaves(torch.tensor([1e-30, 1e30]))[[0, BARS - 1]].tolist() == [1, 1]
    assert octaves(torch.ones(3, dtype=torch.bfloat16))[-LOW] == 3


def trained(updates=12, **options):
    torch.manual_seed(0)
    model = nn.Sequential(gw.LSTM(3, 5))
    watch = gw.inside.Watch(model, **options)
    for _ in range(updates):
        with gw.record(model) as tape:
            loss = model(torch.randn(7, 2, 3))[0].square().mean()
        model.zero_grad()
        loss.backward()
        watch.update(loss={"training": loss, "validation": 2 * loss.item()}, tape=tape)
    return model, watch


@pytest.mark.parametrize("library", ["matplotlib", "plotly"])
def test_history_shows_what_was_watched(library):
    model, watch = trained()
    picture = gw.inside.history(watch, library=library)
    titles = [p.title for p in picture.scene.panels]
    assert titles[:2] == ["loss", "norm of all gradients together"]
    assert {"0.weight_hh_l0: weights", "0.weight_hh_l0: gradients"} <= set(titles)
    assert titles[-2:] == ["gate values above .9", "gate values below .1"]
    last_norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    assert watch.norms[-1] == (11, pytest.approx(last_norm, rel=1e-5))
    weights = model[0].weight_hh_l0.detach().abs().flatten().numpy()
    panel = picture.scene.panel("0.weight_hh_l0: weights")
    expected = np.histogram(weights, panel.heat.row_edges)[0] / weights.size
    np.testing.assert_allclose(np.nan_to_num(panel.heat.values[:, -1]), expected, atol=1e-3)
    assert all(p.x.label == "update" for p in picture.scene.panels)
    assert picture.figure is not None


def test_history_says_since_when_gradients_are_not_finite():
    model, watch = trained(6)
    model[0].weight_hh_l0.grad[0, 0] = float("inf")
    watch.update()
    titles = [p.title for p in gw.inside.history(watch).scene.panels]
    assert "0.weight_hh_l0: gradients, not finite from update 6 on" in titles
    assert "0.weight_ih_l0: gradients" in titles


def test_history_gate_by_gate_and_by_pattern():
    _, watch = trained(by_gate=True)
    biases = {f"0.l0.b_{gate}_{of}" for gate in "ifgo" for of in "xh"}
    assert set(watch.parameters) == {f"0.l0.{kind}_{gate}" for kind in "WU" for gate in "ifgo"} | biases
    picture = gw.inside.history(watch, "*U_*")
    assert sum("weights" in p.title for p in picture.scene.panels) == 4
    assert gw.inside.history(watch).scene.note == "8 of 16 parameters; names= shows others"
    with pytest.raises(ValueError, match="names: expected parameters that were watched"):
        gw.inside.history(watch, "*V*")


def test_a_long_training_keeps_evenly_spread_updates():
    model = nn.Linear(2, 2)
    watch = gw.inside.Watch(model, keep=16)
    for _ in range(1000):
        watch.update(loss=1.0)
    assert 8 <= len(watch.steps) <= 17
    assert len(set(np.diff(watch.steps))) == 1
    assert len(watch.parameters["weight"]) == len(watch.steps) == len(watch.gradients["weight"])
    assert len(watch.losses["loss"]) == 1000 and watch.losses["loss"][-1][0] == 999


def test_watching_changes_nothing_and_says_what_is_wrong():
    model, watch = trained(2)
    before = {n: (p.clone(), p.grad.clone()) for n, p in model.named_parameters()}
    watch.update()
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name][0]) and torch.equal(p.grad, before[name][1])
    with pytest.raises(ValueError, match="step: expected a number above 2"):
        watch.update(2)
    with pytest.raises(TypeError, match="model: expected an"):
        gw.inside.Watch(3)
    with pytest.raises(ValueError, match="two updates at least"):
        gw.inside.history(gw.inside.Watch(model))
    with pytest.raises(ValueError, match="a module with parameters"):
        gw.inside.Watch(nn.ReLU()).update()
