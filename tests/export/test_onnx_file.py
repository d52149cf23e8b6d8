"""The file: what is in it, how it is written, and what is refused before anything is."""

import sys

import onnx
import pytest
import torch
from onnx_runs import assert_same, compare, run, with_random_weights

import gatewright as gw
from gatewright.export import proto

SMALL = {"input_size": 3, "hidden_size": 5, "backend": "reference"}


def test_a_model_says_what_it_is(tmp_path):
    layer = gw.Recurrent("mgu", **SMALL)
    gw.export.onnx(layer, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    (text,) = [p.value for p in model.metadata_props if p.key == "gatewright.equations"]
    assert gw.parse(text).graph == layer.equations
    assert model.producer_name == "gatewright"


def test_equations_are_those_that_run(tmp_path):
    gw.export.onnx(gw.Recurrent("gru", zoneout=0.25, **SMALL), tmp_path / "m")
    (text,) = [p.value for p in onnx.load(tmp_path / "m").metadata_props]
    assert "0.25" in text


def test_gates_are_called_by_their_names(tmp_path):
    gw.export.onnx(gw.Recurrent("mgu", **SMALL), tmp_path / "m")
    (scan,) = [n for n in onnx.load(tmp_path / "m").graph.node if n.op_type == "Scan"]
    body = next(a.g for a in scan.attribute if a.name == "body")
    assert {"l0.f", "l0.n", "l0.h"} <= {name for n in body.node for name in n.output}


def test_products_with_inputs_are_one_and_outside(tmp_path):
    gw.export.onnx(gw.Recurrent("layer_norm_lstm", **SMALL), tmp_path / "m")
    graph = onnx.load(tmp_path / "m").graph
    body = next(a.g for n in graph.node for a in n.attribute if a.name == "body")
    assert [n.op_type for n in graph.node].count("MatMul") == 1
    assert [n.op_type for n in body.node].count("MatMul") == 1


def test_nothing_is_written_that_nobody_needs(tmp_path):
    gw.export.onnx(gw.Recurrent("qrnn", **SMALL), tmp_path / "m", final_state=False)
    graph = onnx.load(tmp_path / "m").graph
    assert not [n for n in graph.node if n.op_type == "GatherElements"]
    bodies = [graph, *(a.g for n in graph.node for a in n.attribute if a.name == "body")]
    read = {name for g in bodies for n in g.node for name in n.input} | {o.name for o in graph.output}
    assert {i.name for i in graph.initializer} <= read


def test_names_of_ones_own(tmp_path):
    layer = with_random_weights(gw.LSTM(3, 5, backend="reference"))
    names = {"input_names": ["audio", "n"], "output_names": ["out", "h", "c"]}
    report = compare(layer, tmp_path / "m", (torch.randn(4, 2, 3),), lengths=torch.tensor([4, 1]), **names)
    assert report.inputs == ("audio", "n")
    assert report.outputs == ("out", "h", "c")


def test_the_report(tmp_path):
    report = gw.export.onnx(gw.Recurrent("peephole_cifg", num_layers=2, **SMALL), tmp_path / "m.onnx")
    assert str(report).splitlines() == [
        f"{tmp_path / 'm.onnx'} (opset 18): x → y, h_n, c_n",
        "  l0: LSTM, the equations are the operator's (peepholes, coupled gates)",
        "  l1: LSTM, the equations are the operator's (peepholes, coupled gates)",
    ]


@pytest.mark.parametrize(("options", "how", "why"), [
    ({}, {"native": False}, "native=False"),
    ({}, {"reset": True}, "LSTM knows no resets"),
    ({"heads": 5}, {}, "LSTM knows no heads"),
    ({"dtype": torch.float64}, {}, "ONNX Runtime has LSTM in float32 alone"),
    ({"zoneout": 0.1}, {}, "the equations are no operator's of ONNX"),
], ids=str)  # fmt: skip
def test_why_a_scan(options, how, why, tmp_path):
    (used,) = gw.export.onnx(gw.Recurrent("lstm", **SMALL, **options), tmp_path / "m", **how).layers
    assert (used.node, used.why) == ("Scan", why)


# -- writing ---------------------------------------------------------------------------------------------------


def test_large_weights_stand_in_a_file_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(proto, "LIMIT", 100)
    layer = with_random_weights(gw.Recurrent("mgu", 30, 40, backend="reference"))
    compare(layer, tmp_path / "m.onnx", (torch.randn(4, 2, 30),))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    layer, x = with_random_weights(gw.LSTM(3, 5, backend="reference")), torch.randn(4, 2, 3)
    gw.export.onnx(layer, tmp_path / "m.onnx")
    before = run(tmp_path / "m.onnx", x)

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(onnx, "save_model", full)
    with pytest.raises(OSError, match="no space"):
        gw.export.onnx(gw.GRU(3, 5), tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    assert_same(run(tmp_path / "m.onnx", x), before)


def test_without_the_onnx_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"gw.export.onnx needs onnx.*pip install 'gatewright\[onnx\]'"):
        gw.export.onnx(gw.LSTM(3, 5), tmp_path / "m")


# -- wrong arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "message"), [
    ({"opset": 17}, r"opset: expected 18 to \d+, which the installed onnx knows, got 17"),
    ({"opset": 99}, r"opset: expected 18 to"),
    ({"opset": 0}, r"opset: expected at least 1, got 0"),
    ({"static": ("x",)}, r"static: expected names of inputs behind the first \(none\), got x"),
    ({"input_names": ["a", "b"]}, r"input_names: expected 1 names that differ, for x, got \['a', 'b'\]"),
    ({"input_names": "x"}, r"input_names: expected 1 names that differ"),
    ({"output_names": ["a", "a", "b"]}, r"output_names: expected 3 names that differ, for y, h_n, c_n"),
    ({"output_names": ["x", "h", "c"]}, r"output_names: expected names that nothing inside the model has, got x"),
], ids=str)  # fmt: skip
def test_wrong_arguments(how, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        gw.export.onnx(gw.LSTM(3, 5), tmp_path / "m", **how)
    assert not list(tmp_path.iterdir())


def test_wrong_paths(tmp_path):
    with pytest.raises(ValueError, match=r"path: expected a file in a folder that is there, got .*make the folder"):
        gw.export.onnx(gw.LSTM(3, 5), tmp_path / "nowhere" / "m.onnx")
    with pytest.raises(ValueError, match=r"path: expected a file, got the folder"):
        gw.export.onnx(gw.LSTM(3, 5), tmp_path)
    with pytest.raises(TypeError, match=r"model: expected a layer or an nn\.Module, got str"):
        gw.export.onnx("lstm", tmp_path / "m")
