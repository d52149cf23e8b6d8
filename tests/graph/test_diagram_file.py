"""What a diagram is to its reader: values, themes, files, the command."""

import importlib.machinery
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
import torch

import gatewright as gw
from gatewright.graph.diagram import picture
from gatewright.graph.diagram.values import short, tints

SVG = "{http://www.w3.org/2000/svg}"
CELL = gw.cells.mingru


def group(svg: str, name: str, kind: str) -> ET.Element:
    """The group of a named value's piece or lines."""
    root = ET.fromstring(svg)
    return next(
        g for g in root.iter(f"{SVG}g") if g.get("data-name") == name and kind in (g.get("class") or "").split()
    )


def number(svg: str, name: str, kind: str) -> str:
    value = next(t for t in group(svg, name, kind).iter(f"{SVG}text") if "value" in (t.get("class") or "").split())
    return value.text or ""


def test_it_is_accessible_and_fits_a_phone():
    root = ET.fromstring(CELL.diagram().svg)
    assert root.get("role") == "img"
    title, described = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and title.text == "mingru: one step"
    assert described is not None and "z_t = σ(W_z x_t + b_z)" in (described.text or "")
    assert root.get("aria-labelledby") == f"{title.get('id')} {described.get('id')}"
    assert root.get("viewBox") and "max-width:100%" in (root.get("style") or "")


def test_every_piece_tells_its_equation():
    tip = group(CELL.diagram().svg, "z", "layer").find(f"{SVG}title")
    assert tip is not None and tip.text == "z_t = σ(W_z x_t + b_z)"


def test_values_stand_beside_their_names():
    svg = CELL.diagram({"z": 0.934, "n": torch.tensor([-1.0, -2.0]), "h": 3, "h_prev": 0.25, "x": [1.0]}).svg
    assert number(svg, "z", "layer") == "0.93"
    assert number(svg, "n", "layer") == "−1.50"
    assert number(svg, "h", "new") == number(svg, "h", "output") == "3.00"
    assert number(svg, "h_prev", "old") == "0.25"
    assert number(svg, "x", "input") == "1.00"
    tip = group(svg, "n", "layer").find(f"{SVG}title")
    assert tip is not None and "mean -1.5, -2 to -1 over 2 numbers" in (tip.text or "")


def test_places_do_not_depend_on_values():
    """So that a page can put numbers into a picture that it shows already."""
    plain, filled = CELL.diagram().svg, CELL.diagram({"z": 0.5, "n": -123456.0}).svg
    assert number(plain, "z", "layer") == ""
    for attribute in ("viewBox", "d", "cx", "width"):
        assert re.findall(f' {attribute}="([^"]*)"', plain) == re.findall(f' {attribute}="([^"]*)"', filled)


def test_colours_follow_values():
    low, high = (group(CELL.diagram({"z": z}).svg, "z", "layer") for z in (0.0, 1.0))
    fill = [g.find(f"{SVG}rect").get("style") for g in (low, high)]
    assert fill[0] != fill[1]
    line = group(CELL.diagram({"z": 1.0}).svg, "z", "net").find(f"{SVG}path")
    assert line is not None and "stroke:#009e73" in (line.get("style") or "")


def test_what_is_watched_before_a_squashing_is_in_the_tooltip():
    tip = group(CELL.diagram({"z_pre": 2.5}).svg, "z", "layer").find(f"{SVG}title")
    assert tip is not None and "z_pre = 2.5" in (tip.text or "")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (-0.001, "0.00"), (0.999, "1.00"), (-12.345, "−12.35"), (1234.5, "1234"), (1e7, "1e7"),
     (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "−∞")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -3.0, 0.5])
@pytest.mark.parametrize("gate", [True, False])
def test_every_number_has_colours(value, gate):
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in tints(value, gate=gate, dark=False))


def test_themes():
    svgs = {theme: CELL.diagram(theme=theme).svg for theme in ("light", "dark", "auto")}
    assert len(set(svgs.values())) == 3
    assert "prefers-color-scheme" in svgs["auto"] and "prefers-color-scheme" not in svgs["dark"]
    for theme, svg in svgs.items():
        rules = svg.split("<style>")[1].split("</style>")[0]
        assert all(f".gw-{theme} " in rule for rule in rules.split("}") if "{" in rule and not rule.startswith("@"))


def test_a_title_and_a_legend():
    svg = gw.cells.peephole_lstm.diagram(title="x < y & z", legend=True).svg
    texts = ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]
    assert "x < y & z" in texts
    assert {"learned layer", "unit by unit", "joined vectors", "weighted unit by unit"} <= set(texts)
    plain = [t.text for t in ET.fromstring(CELL.diagram(legend=True).svg).iter(f"{SVG}text")]
    assert "weighted unit by unit" not in plain


def test_two_pictures_on_a_page_share_no_id():
    ids = [re.findall(r' id="([^"]*)"', CELL.diagram(v).svg) for v in (None, {"z": 0.1})]
    assert not set(ids[0]) & set(ids[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"theme": "drak"},
            "cell mingru: theme: expected one of 'light', 'dark', 'auto', got 'drak'; did you mean 'dark'",
        ),
        ({"values": {"zz": 1}}, r"values: there is no value 'zz' in it \(it has h_prev, z_pre, z, n, h, x\)"),
        ({"values": {"z": "much"}}, r"values\['z'\]: expected a number or a tensor of numbers, got str"),
        ({"values": {"z": []}}, r"values\['z'\]: expected at least one number, got shape \(0,\)"),
        ({"values": [1]}, r"values: expected a dictionary such as \{'f': 0.9\}, got \[1\]"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(gw.CellError, match=message):
        CELL.diagram(**call)


def test_saved_whole(tmp_path):
    path = CELL.diagram().save(tmp_path / "cell.svg")
    assert path.read_text() == CELL.diagram().svg == CELL.diagram()._repr_svg_()
    assert [p.name for p in tmp_path.iterdir()] == ["cell.svg"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cell.svg"
    path.write_text("old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        CELL.diagram().save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["cell.svg"]
    assert path.read_text() == "old"


def test_other_files_are_refused(tmp_path):
    with pytest.raises(gw.CellError, match=r"save: expected a path that ends in .svg or .png, got .pdf"):
        CELL.diagram().save(tmp_path / "cell.pdf")
    assert not list(tmp_path.iterdir())


def test_png_needs_a_converter(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="cairosvg, which is not installed"):
        CELL.diagram().save(tmp_path / "cell.png")


def test_png_by_a_converter(tmp_path, monkeypatch):
    """It gets plain colours, since it knows no variables."""
    seen = {}

    class Converter:
        @staticmethod
        def svg2png(bytestring, scale):
            seen.update(text=bytestring.decode(), scale=scale)
            return b"png"

    monkeypatch.setattr(picture, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    monkeypatch.setitem(sys.modules, "cairosvg", Converter)
    assert CELL.diagram().save(tmp_path / "cell.png").read_bytes() == b"png"
    assert "var(" not in seen["text"] and "#fde49a" in seen["text"]


def command(*arguments: str, cwd):
    code = "from gatewright.cli.main import run; run()"
    return subprocess.run([sys.executable, "-c", code, "diagram", *arguments], capture_output=True, text=True, cwd=cwd)


def test_the_command(tmp_path):
    (tmp_path / "own.txt").write_text("h_t = tanh(W_h x_t + U_h h_{t-1} + b_h)\n")
    done = command("own.txt", "-o", "own.svg", "--theme", "dark", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "own.svg"), done.stderr
    assert "gw-dark" in (tmp_path / "own.svg").read_text()


def test_the_command_names_what_it_does_not_find(tmp_path):
    done = command("lstn", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'lstm'" in done.stderr


def test_a_layers_cell_has_a_diagram():
    assert gw.Recurrent("mingru", 2, 3).cell.diagram().svg == CELL.diagram().svg
