"""Pictures of a tape: what is drawn is what was recorded, in words and in colours that everybody can read."""

import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch

import gatewright as gw
from gatewright.inside.pictures import by_plotly
from gatewright.inside.pictures.picture import needed
from gatewright.inside.pictures.reduce import bins, envelope, gathered
from gatewright.inside.pictures.shown import kind_of, words_of
from gatewright.inside.pictures.style import THEMES, along, luminance, rgb
from gatewright.inside.pictures.timeline import LINE, visible

LENGTHS = torch.tensor([7, 4])


@pytest.fixture(scope="module")
def tape():
    torch.manual_seed(0)
    layer = gw.LSTM(3, 5)
    with gw.record(layer, grad=True) as found:
        y, _ = layer(torch.randn(7, 2, 3), lengths=LENGTHS)
    y.square().sum().backward()
    return found


def heat(picture, title):
    return picture.scene.panel(title).heat


# -- what is drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["matplotlib", "plotly"])
def test_a_map_shows_the_tape_to_the_number(tape, library):
    picture = gw.inside.heatmaps(tape, ["f", "c"], library=library)
    for k, name in enumerate("fc"):
        if library == "plotly":
            drawn = np.asarray(picture.figure.data[k].z)
        else:
            drawn = picture.figure.axes[2 * k].images[0].get_array()
        np.testing.assert_allclose(drawn, tape[name][:, 0].numpy().T, rtol=1e-6)


def test_one_sequence_as_long_as_it_is(tape):
    assert heat(gw.inside.heatmaps(tape, "f", sequence=1), "f").values.shape == (5, 4)
    words = "a b c d e f g".split()
    for tokens in (words, words[:4]):  # padded or not
        picture = gw.inside.heatmaps(tape, "f", sequence=1, tokens=tokens)
        assert picture.scene.panels[0].x.names == ("a", "b", "c", "d")


@pytest.mark.parametrize("batch_first", [False, True])
def test_layouts(batch_first):
    layer = gw.GRU(3, 4, batch_first=batch_first)
    with gw.record(layer) as tape:
        layer(torch.randn(2, 6, 3))
    T = 6 if batch_first else 2
    picture = gw.inside.heatmaps(tape, "z", sequence=1)
    values = tape["z"][1] if batch_first else tape["z"][:, 1]
    np.testing.assert_array_equal(heat(picture, "z").values, values.numpy().T)
    assert len(heat(picture, "z").edges) == T + 1


def test_mappings_of_tensors_of_all_kinds():
    values = torch.rand(6, 2, 4)
    for given, expected in (
        (values, values[:, 1]),
        (values[:, 1], values[:, 1]),
        (values[:, 1, 2], values[:, 1, 2:3]),
        (values[:, 1].bfloat16(), values[:, 1].bfloat16().float()),
        (values[:, 1].numpy(), values[:, 1]),
    ):
        shown = heat(gw.inside.heatmaps({"f": given}, sequence=1 if given is values else 0), "f")
        np.testing.assert_array_equal(shown.values, expected.numpy().T)


def test_words_and_colours_follow_the_equations(tape):
    picture = gw.inside.heatmaps(tape)
    titles = [panel.title for panel in picture.scene.panels]
    assert titles == [
        "i, input gate",
        "f, forget gate",
        "g, candidate",
        "o, output gate",
        "c, cell state",
        "h, hidden state",
    ]
    kinds = [panel.heat.scale.kind for panel in picture.scene.panels]
    assert kinds == ["share", "share", "signed", "share", "signed", "signed"]
    for panel in picture.scene.panels:
        scale = panel.heat.scale
        assert (scale.low, scale.high) == (0, 1) if scale.kind == "share" else scale.low == -scale.high


def test_a_letter_means_what_its_cell_makes_of_it():
    gru, slstm = gw.cells.gru.graph, gw.cells.slstm.graph
    assert words_of("n", "signed", gru) == "n, candidate"
    assert words_of("n", "size", slstm) == "n, normaliser"
    assert words_of("z", "share", gru) == "z, update gate"
    assert words_of("f_pre", "signed") == "f_pre, inside the squashing of f"
    assert words_of("mine", "share") == "mine"
    assert kind_of("f", np.full((3, 2), 0.5), gw.cells.lstm.graph) == "share"
    assert kind_of("f", np.full((3, 2), 5.0), slstm) == "size"


def test_units_are_sorted_and_chosen(tape):
    horizon = gw.inside.memory_horizon(tape).numpy()
    order = np.argsort(-horizon)
    picture = gw.inside.heatmaps(tape, ["c", "f"], sort="horizon")
    assert heat(picture, "c").rows == tuple(map(str, order))
    np.testing.assert_array_equal(heat(picture, "c").values, tape["c"][:, 0].numpy().T[order])
    assert picture.scene.panels[0].y.label == "unit, sorted"
    assert heat(gw.inside.heatmaps(tape, "c", sort=[1, 5, 2, 4, 3]), "c").rows == tuple("13420")
    assert heat(gw.inside.heatmaps(tape, "c", units=[3, 0]), "c").rows == ("3", "0")
    assert heat(gw.inside.heatmaps(tape, "c", units=slice(1, 3)), "c").rows == ("1", "2")
    assert heat(gw.inside.heatmaps(tape, "c", units=[3, 0], sort=[1, 5, 2, 4, 3]), "c").rows == ("3", "0")
    by_mean = tape["c"][:, 0].mean(0).argsort(descending=True)
    assert heat(gw.inside.heatmaps(tape, "c", sort="mean"), "c").rows == tuple(map(str, by_mean.tolist()))


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (TypeError, "tape: expected a tape", lambda t: gw.inside.heatmaps(3)),
        (ValueError, "names: the tape has no 'ff'", lambda t: gw.inside.heatmaps(t, "ff")),
        (ValueError, "sequence: expected 0 to 1", lambda t: gw.inside.heatmaps(t, sequence=2)),
        (TypeError, "sequence: expected the number", lambda t: gw.inside.heatmaps(t, sequence="a")),
        (
            ValueError,
            "tokens: expected one for each of the 7 steps, got 3",
            lambda t: gw.inside.heatmaps(t, tokens="abc"),
        ),
        (
            ValueError,
            "tokens and dates: expected one",
            lambda t: gw.inside.heatmaps(t, tokens="abcdefg", dates=[1] * 7),
        ),
        (ValueError, "units: expected units from 0 to 4", lambda t: gw.inside.heatmaps(t, units=[5])),
        (ValueError, "sort: expected 'horizon', 'mean'", lambda t: gw.inside.heatmaps(t, sort="size")),
        (ValueError, "sort: expected a tape or a track", lambda t: gw.inside.heatmaps(dict(t.track()), sort="horizon")),
        (ValueError, "reduce: expected 'mean' or 'max'", lambda t: gw.inside.heatmaps(t, reduce="median")),
        (ValueError, "rate: expected", lambda t: gw.inside.heatmaps(t, rate=0)),
        (
            ValueError,
            "signal: expected a number for each of the 7",
            lambda t: gw.inside.heatmaps(t, signal=torch.ones(3)),
        ),
        (ValueError, "frames: expected (T, h, w)", lambda t: gw.inside.heatmaps(t, frames=torch.ones(7, 3))),
        (ValueError, "dates: expected dates that rise", lambda t: gw.inside.heatmaps(t, dates=["2024-01-02"] * 7)),
        (TypeError, "dates: expected dates", lambda t: gw.inside.heatmaps(t, dates=["soon"] * 7)),
        (ValueError, "theme: expected 'light' or 'dark'", lambda t: gw.inside.heatmaps(t, theme="pink")),
        (ValueError, "library: expected 'matplotlib' or 'plotly'", lambda t: gw.inside.heatmaps(t, library="bokeh")),
        (ValueError, "path: expected a name that ends in", lambda t: gw.inside.heatmaps(t).save("x.gif")),
        (FileNotFoundError, "there is no folder", lambda t: gw.inside.heatmaps(t).save("/no/such/x.png")),
    ],
)
def test_mistakes_are_named(tape, error, text, call):
    with pytest.raises(error, match=re.escape(text)):
        call(tape)


def test_two_layers_want_to_be_told_apart():
    layer = gw.LSTM(3, 4, 2)
    with gw.record(layer) as tape:
        layer(torch.randn(5, 2, 3))
    with pytest.raises(KeyError, match="say which"):
        gw.inside.heatmaps(tape)
    track = tape.track(layer=1)
    np.testing.assert_array_equal(heat(gw.inside.heatmaps(track, "f"), "f").values, track["f"][:, 0].numpy().T)


# -- time ------------------------------------------------------------------------------------------


def test_a_waveform_shares_the_seconds_of_the_steps():
    values = {"f": torch.rand(10, 4)}
    picture = gw.inside.heatmaps(values, signal=torch.arange(800.0), rate=400)
    maps, wave = picture.scene.panels
    assert maps.x.label == "time in seconds"
    np.testing.assert_allclose(maps.heat.edges[[0, -1]], [0, 2])
    np.testing.assert_allclose(wave.items[0].x[[0, -1]], [0.5 / 400, 2 - 0.5 / 400])


def test_dates_and_series_by_name():
    values, days = {"f": torch.rand(10, 4)}, np.datetime64("2024-02-26") + np.arange(10)
    picture = gw.inside.heatmaps(values, dates=days, signal={"seen": torch.rand(10), "forecast": torch.rand(10)})
    assert [line.name for line in picture.scene.panels[1].items] == ["seen", "forecast"]
    assert picture.scene.panels[0].heat.edges[-1] == np.datetime64("2024-03-07")
    figure = picture.figure
    figure.canvas.draw()
    assert figure.axes[0].get_xlim()[0] == pytest.approx(19779)
    assert picture.interactive.layout.xaxis.type == "date"


def test_series_that_do_not_fit_are_not_stretched():
    values, days = {"f": torch.rand(10, 4)}, np.datetime64("2024-02-26") + np.arange(10)
    with pytest.raises(ValueError, match="signal: expected series of 10 numbers, got lengths"):
        gw.inside.heatmaps(values, dates=days, signal={"seen": torch.rand(10), "forecast": torch.rand(12)})
    with pytest.raises(ValueError, match="signal: expected series of one length"):
        gw.inside.heatmaps(values, signal={"seen": torch.rand(10), "forecast": torch.rand(12)})


def test_frames_lie_under_their_steps():
    frames = torch.zeros(30, 6, 8)
    frames[:, :, 0] = torch.linspace(0, 1, 30)[:, None]
    picture = gw.inside.heatmaps({"f": torch.rand(30, 4)}, frames=frames)
    images = picture.scene.panel("frames").images
    assert 5 <= len(images) <= 12
    for image in images:
        step = int(image.label.split()[1])
        assert image.left < step + 0.5 and step - 0.5 < image.right
        np.testing.assert_allclose(image.pixels[:, 0], step / 29, atol=1e-6)
    assert all(i.source.startswith("data:image/png;base64,") for i in picture.interactive.layout.images)
    assert gw.inside.heatmaps({"f": torch.rand(3, 4)}, frames=torch.rand(3, 3, 6, 8)).data("png")


@pytest.mark.parametrize("steps", [5, 60, 500])
def test_tokens_do_not_overlap(steps):
    tokens = ["a long one", "$x$", "<b>"] * 200
    picture = gw.inside.heatmaps({"f": torch.rand(steps, 4)}, tokens=tokens[:steps])
    figure = picture.figure
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].get_xticklabels()]
    boxes = sorted((b for b in boxes if b.width > 1), key=lambda b: b.x0)
    assert len(boxes) >= min(steps, 20)
    assert all(a.x1 <= b.x0 + 0.5 for a, b in pairwise(boxes))
    assert min(b.y0 for b in boxes) >= 0  # nothing is cut off
    assert LINE * figure.dpi * len(boxes) <= figure.bbox.width


def test_what_cannot_be_seen_is_made_visible():
    assert visible(" a\tb\n") == "·a→b↵"
    assert visible("\x00") == "\ufffd"


# -- long and wide ---------------------------------------------------------------------------------


def test_long_sequences_stay_fast_and_say_what_a_pixel_is(tmp_path):
    values = {name: torch.rand(10_000, 512) for name in "fc"}
    gw.inside.heatmaps({"f": torch.rand(3, 4)}).save(tmp_path / "loads_the_library.png")
    began = time.process_time()
    picture = gw.inside.heatmaps(values, sort="mean")
    picture.save(tmp_path / "x.png", dpi=100)
    assert time.process_time() - began < 6  # a second on a quiet machine
    assert picture.scene.note == "14 steps a column, up to 4 units a row: their mean"
    assert heat(picture, "f").values.size <= 750 * 128


def test_a_spike_is_kept_by_max_and_not_by_mean():
    value = torch.zeros(9000, 3)
    value[4321, 1] = -3.0
    for how, expected in (("max", -3.0), ("mean", -3.0 / 12)):
        small = heat(gw.inside.heatmaps({"c": value}, reduce=how), "c").values
        assert small.min() == pytest.approx(expected)


def test_reduction_is_the_mean_of_what_it_gathers():
    values = np.random.default_rng(0).normal(size=(103, 7))
    starts = bins(103, 10)
    expected = np.stack([values[a:b].mean(0) for a, b in pairwise(starts)])
    np.testing.assert_allclose(gathered(values, starts, "mean"), expected)
    x = np.arange(10_001.0)
    y = np.sin(x)
    y[777] = 9
    thin = envelope(x, y, 100)
    assert len(thin[1]) <= 202 and thin[1].max() == 9 and thin[0][thin[1].argmax()] == 777
    assert (np.diff(thin[0]) >= 0).all()


# -- files -----------------------------------------------------------------------------------------


def test_files_of_every_kind(tape, tmp_path):
    picture = gw.inside.heatmaps(tape, tokens=list("ab $x<&"), title="<Title> & more")
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}
    for suffix, first in starts.items():
        path = picture.save(tmp_path / f"picture.{suffix}")
        assert path.read_bytes().startswith(first)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"picture.{s}" for s in starts)  # nothing left behind
    assert picture.data("svg") == gw.inside.heatmaps(tape, tokens=list("ab $x<&"), title="<Title> & more").data("svg")


def test_a_page_refers_to_nothing_outside(tape):
    page = gw.inside.heatmaps(tape, library="plotly").html()
    assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?(?:https?:)?//""", page)
    assert 'src="http' not in page
    own = page.replace(needed("plotly.offline").get_plotlyjs(), "")
    assert len(own) < 0.05 * len(page)
    assert "http" not in own.replace("http://www.w3.org", "")
    assert '"showSendToCloud": false' in own
    assert "Plotly.newPlot" in own


def test_tokens_are_text_and_no_markup(tape):
    picture = gw.inside.heatmaps(tape, tokens=["<b>x</b>", "$\\frac$", "&amp;", "a", "</script>", "c", "d"])
    picture.data("png")  # "$\frac$" is no formula
    own = picture.fragment()
    assert "<b>x" not in own
    assert own.count("</script>") == own.count("<script")


def test_notebooks_show_it(tape):
    still = gw.inside.heatmaps(tape, "f")
    assert still._repr_png_().startswith(b"\x89PNG") and still._repr_html_() is None
    moving = gw.inside.heatmaps(tape, "f", library="plotly")
    assert moving._repr_png_() is None and moving._repr_html_().startswith("<iframe srcdoc=")


@pytest.mark.slow
def test_a_browser_shows_the_page_without_a_complaint(tape, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    page = gw.inside.heatmaps(tape, tokens=list("ab $x<&"), title="gates").save(tmp_path / "page.html")
    options = (
        "--headless --no-sandbox --disable-gpu --enable-logging=stderr --virtual-time-budget=4000 --dump-dom".split()
    )
    alone = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    found = subprocess.run(
        [browser, *options, *alone, page.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    drawn = found.stdout[found.stdout.index("main-svg") :]
    for words in ("f, forget gate", "unit", "token", "4 x"):
        assert words in drawn
    assert drawn.count('class="hm"') == len(list(tape))
    assert "CONSOLE" not in found.stderr


def test_pictures_are_optional():
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['plotly'] = None\n"
        "import torch, gatewright as gw\n"
        "picture = gw.inside.heatmaps({'f': torch.rand(3, 4)})\n"
        "for kind in ('png', 'html'):\n"
        "    try: picture.data(kind)\n"
        "    except ImportError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.count("pip install 'gatewright[pictures]'") == 2
    assert "matplotlib, which is not installed" in found and "plotly, which is not installed" in found


# -- themes ----------------------------------------------------------------------------------------


def test_dark_and_light_differ_in_colours_alone(tape):
    light, dark = (gw.inside.heatmaps(tape, theme=theme) for theme in ("light", "dark"))
    assert light.figure.get_facecolor() != dark.figure.get_facecolor()
    assert light.data("png") != dark.data("png")
    assert [p.title for p in light.scene.panels] == [p.title for p in dark.scene.panels]
    assert light.interactive.layout.paper_bgcolor == "#ffffff"
    assert dark.interactive.layout.paper_bgcolor == THEMES["dark"].page


def contrast(a, b):
    light, dark = sorted((luminance(rgb(a)), luminance(rgb(b))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda t: t.name)
def test_colours_can_be_read(theme):
    assert contrast(theme.ink, theme.page) > 7
    assert contrast(theme.quiet, theme.page) > 4.5
    assert all(contrast(colour, theme.page) > 2 for colour in theme.lines)
    grey = luminance(along(theme.sizes, np.linspace(0, 1, 100)))
    assert (np.diff(grey) > 0).all()  # an order even without colours
    signed = luminance(along(theme.signed, np.linspace(0, 1, 101)))
    outwards = 1 if theme.name == "dark" else -1
    assert (outwards * np.diff(signed[50:]) > 0).all() and (outwards * np.diff(signed[50::-1]) > 0).all()


def test_both_libraries_take_the_same_colours():
    theme = THEMES["dark"]
    scale = gw.inside.heatmaps({"c": torch.randn(5, 3)}).scene.panels[0].heat.scale
    assert by_plotly.colours(scale, theme)[0] == [0, theme.signed[0]]
