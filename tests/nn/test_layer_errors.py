"""A layer's bad input gets a clear error; what is masked, and another sequence's NaN, reaches nothing."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from tolerances import assert_close

T, B, I, H = 5, 3, 4, 6
X = torch.zeros(T, B, I)
STATE = torch.zeros(1, B, H)
INF = float("inf")


# -- making a layer --------------------------------------------------------------------------------------

SETTINGS = [
    (("lstn", I, H), {}, gw.CellError, "there is no cell 'lstn'; did you mean 'lstm'? (gw.cells has rnn, lstm, "),
    (
        (None, I, H),
        {},
        TypeError,
        "cell: expected a gw.Cell or a name of gw.cells, got NoneType (is @gw.cell missing?)",
    ),
    ((nn.LSTM, I, H), {}, TypeError, "cell: expected a gw.Cell or a name of gw.cells, got type"),
    (("mgu", 0, H), {}, ValueError, "input_size: expected at least 1, got 0"),
    (("mgu", I, -1), {}, ValueError, "hidden_size: expected at least 1, got -1"),
    (("mgu", 2.5, H), {}, TypeError, "input_size: expected a whole number, got 2.5"),
    (("mgu", I, True), {}, TypeError, "hidden_size: expected a whole number, got True"),
    (("mgu", I, H, 0), {}, ValueError, "num_layers: expected at least 1, got 0"),
    (("mgu", I, H, 1.5), {}, TypeError, "num_layers: expected a whole number, got 1.5"),
    (("mgu", I, H), {"dropout": -0.1}, ValueError, "dropout: expected a probability from 0 to 1, got -0.1"),
    (("mgu", I, H), {"dropout": 1.1}, ValueError, "dropout: expected a probability from 0 to 1, got 1.1"),
    (("mgu", I, H), {"dropout": float("nan")}, ValueError, "dropout: expected a probability from 0 to 1, got nan"),
    (("mgu", I, H), {"dropout": "a"}, ValueError, "dropout: expected a probability from 0 to 1, got 'a'"),
    (
        ("mgu", I, H),
        {"backend": "fast"},
        ValueError,
        "backend: expected one of auto, cpu, reference, vendor, got 'fast'",
    ),
    (("mgu", I, H), {"heads": 0}, ValueError, "heads: expected at least 1, got 0"),
    (("mgu", I, H), {"heads": 2.0}, TypeError, "heads: expected a whole number, got 2.0"),
    (("mgu", I, H), {"heads": 4}, ValueError, "heads=4: U_f has 6 units, which 4 heads cannot share evenly"),
    (
        ("lstmp", I, H),
        {"heads": 2, "sizes": {"P": 3}},
        ValueError,
        "heads=2: what U_i multiplies has 3 units, which 2 ",
    ),
    (
        ("lstmp", I, H),
        {},
        gw.CellError,
        "layer 0 of lstmp(input_size=4, hidden_size=6): the width P has no size: give it with sizes={'P': …}",
    ),
    (("lstmp", I, H), {"sizes": {"Q": 2}}, gw.CellError, "there is no width 'Q' in this cell (it has H, I, P)"),
    (("lstmp", I, H), {"sizes": {"P": 0}}, ValueError, "sizes['P']: expected at least 1, got 0"),
    (("lstmp", I, H), {"sizes": {"P": "2"}}, TypeError, "sizes['P']: expected a whole number, got '2'"),
    (
        ("lstmp", I, H),
        {"sizes": {"P": 2, "H": 9}},
        ValueError,
        "sizes: expected the cell's own widths, got 'H'; that is hidden_size",
    ),
    (
        ("mgu", I, H),
        {"sizes": {"I": 9}},
        ValueError,
        "sizes: expected the cell's own widths, got 'I'; that is input_size",
    ),
    (
        ("ea_lstm", I, H),
        {},
        gw.CellError,
        "input_size has 1 size(s) for 2 input(s) (x, static): give a tuple with one for each",
    ),
    (("mgu", (I, 2), H), {}, gw.CellError, "input_size has 2 size(s) for 1 input(s) (x)"),
    (
        ("mut1", I, H),
        {},
        gw.CellError,
        "layer 0 of mut1(input_size=4, hidden_size=6): widths don't fit: I = 4 is not H",
    ),
    (("mut1", H, H, 2), {"bidirectional": True}, gw.CellError, "layer 1 of mut1(input_size=12, hidden_size=6): widths"),
    (("lstm_2000", I, 5), {}, gw.CellError, "layer 0 of lstm_2000(input_size=4, hidden_size=5): widths don't fit"),
]


@pytest.mark.parametrize(("args", "options", "kind", "message"), SETTINGS, ids=[s[3][:50] for s in SETTINGS])
def test_bad_settings(args, options, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        gw.Recurrent(*args, **options)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: gw.LSTM(I, H, proj_size=-1), ValueError, "proj_size: expected at least 0, got -1"),
        (lambda: gw.LSTM(I, H, proj_size=H), ValueError, "proj_size: expected less than hidden_size (6), got 6"),
        (lambda: gw.LSTM(I, H, proj_size=1.5), TypeError, "proj_size: expected a whole number, got 1.5"),
        (lambda: gw.RNN(I, H, nonlinearity="gelu"), ValueError, "nonlinearity: expected 'tanh' or 'relu', got 'gelu'"),
        (lambda: gw.GRU(I, H, dropout=2), ValueError, "dropout: expected a probability from 0 to 1, got 2"),
    ],
)
def test_bad_settings_of_drop_ins(make, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        make()


# -- calling it ------------------------------------------------------------------------------------------

INPUTS = [
    (torch.zeros(T, B, 3), ValueError, "input: expected 4 features in the last dimension, got 3 (shape (5, 3, 3))"),
    (
        torch.zeros(I),
        ValueError,
        "input: expected 2 or 3 dimensions, (T, features) for one sequence or (T, B, features)",
    ),
    (torch.zeros(1, T, B, I), ValueError, "input: expected 2 or 3 dimensions"),
    (
        X.double(),
        ValueError,
        "input: expected dtype torch.float32, as the weights have, got torch.float64; convert one",
    ),
    (X.long(), ValueError, "input: expected dtype torch.float32, as the weights have, got torch.int64; convert one of"),
    (
        X.to("meta"),
        ValueError,
        "input: expected device cpu, where the weights are, got meta; move one of them with .to",
    ),
    (None, TypeError, "input: expected a tensor, got NoneType"),
    (X.numpy(), TypeError, "input: expected a tensor, got ndarray"),
    ((X, X), ValueError, "input: expected a tuple of 1 tensors (x), got 2"),
]
LENGTHS = [
    ([5, 5, 6], ValueError, "lengths: expected at most the input's 5 steps, got 6 for sequence 2; is batch_first what"),
    ([5, -1, 5], ValueError, "lengths: expected numbers from 0, got -1 for sequence 1"),
    ([5, 5], ValueError, "lengths: expected one for each of the 3 sequences, shape (3,), got shape (2,)"),
    (torch.ones(3, 1, dtype=torch.int64), ValueError, "lengths: expected one for each of the 3 sequences, shape (3,)"),
    (torch.tensor(3), ValueError, "lengths: expected one for each of the 3 sequences, shape (3,), got shape ()"),
    (torch.ones(3), ValueError, "lengths: expected whole numbers (torch.int64), got torch.float32"),
    (torch.ones(3, dtype=torch.bool), ValueError, "lengths: expected whole numbers (torch.int64), got torch.bool"),
    ([1.0, 2.0, 3.0], TypeError, "lengths: expected a tensor or a list of whole numbers, got [1.0, 2.0, 3.0]"),
    ([True, True, True], ValueError, "lengths: expected whole numbers (torch.int64), got torch.bool"),
    ("abc", TypeError, "lengths: expected a tensor or a list of whole numbers, got 'abc'"),
    (5, TypeError, "lengths: expected a tensor or a list of whole numbers, got 5"),
]
RESETS = [
    (torch.zeros(T, B), ValueError, "reset: expected a boolean tensor, got torch.float32; reset.bool() makes one of 0"),
    (torch.zeros(T, B, dtype=torch.uint8), ValueError, "reset: expected a boolean tensor, got torch.uint8"),
    (
        torch.zeros(B, T, dtype=torch.bool),
        ValueError,
        "reset: expected shape (5, 3), as the input's time and batch, got",
    ),
    (
        torch.zeros(T, dtype=torch.bool),
        ValueError,
        "reset: expected shape (5, 3), as the input's time and batch, got shape",
    ),
    ([[False] * B] * T, TypeError, "reset: expected a boolean tensor, got list"),
]
STATES = [
    (STATE, TypeError, "state: expected a tuple of 2 tensors (h, c), got Tensor"),
    ((STATE,), ValueError, "state: expected 2 tensors (h, c), got 1"),
    ((STATE,) * 3, ValueError, "state: expected 2 tensors (h, c), got 3"),
    ((STATE, None), TypeError, "state: expected a tuple of 2 tensors (h, c), got tuple of Tensor, NoneType"),
    ((STATE, torch.zeros(1, B, H + 1)), ValueError, "state c: expected shape (1, 3, 6), got shape (1, 3, 7)"),
    ((STATE[0], STATE[0]), ValueError, "state h: expected shape (1, 3, 6), got shape (3, 6)"),
    ((STATE, STATE.double()), ValueError, "state c: expected dtype torch.float32, as the input has, got torch.float64"),
    ((STATE, STATE.to("meta")), ValueError, "state c: expected device cpu, where the input is, got meta"),
    ("zeros", TypeError, "state: expected a tuple of 2 tensors (h, c), got str"),
]
LAYERS = {
    "a cell of our own": lambda: gw.Recurrent("peephole_lstm", I, H),
    "a drop-in": lambda: gw.LSTM(I, H),
    "the reference": lambda: gw.LSTM(I, H, backend="reference"),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_bad_calls(layer):
    made = LAYERS[layer]()
    for given, kind, message in INPUTS:
        with pytest.raises(kind, match=re.escape(message)):
            made(given)
    for given, kind, message in LENGTHS:
        with pytest.raises(kind, match=re.escape(message)):
            made(X, lengths=given)
    for given, kind, message in RESETS:
        with pytest.raises(kind, match=re.escape(message)):
            made(X, reset=given)
    for given, kind, message in STATES:
        with pytest.raises(kind, match=re.escape(message)):
            made(X, given)
    for given in ("some", True):
        with pytest.raises(ValueError, match=f"states: expected None or 'all', got {given!r}"):
            made(X, states=given)


@pytest.mark.parametrize("layer", LAYERS)
def test_bad_calls_with_packed_sequences(layer):
    made = LAYERS[layer]()
    packed = pack_padded_sequence(X, [3, 2, 1])
    reset = torch.zeros(T, B, dtype=torch.bool)
    for given in ({"lengths": [3, 2, 1]}, {"reset": reset}, {"states": "all"}):
        with pytest.raises(
            ValueError, match="a PackedSequence has its lengths: give lengths=, reset= and states= with"
        ):
            made(packed, **given)
    with pytest.raises(ValueError, match="input: expected 4 features in the last dimension, got 5"):
        made(pack_padded_sequence(torch.zeros(T, B, I + 1), [3, 2, 1]))
    with pytest.raises(ValueError, match=r"input: expected dtype torch\.float32, as the weights have"):
        made(pack_padded_sequence(X.double(), [3, 2, 1]))
    with pytest.raises(ValueError, match=r"state h: expected shape \(1, 3, 6\), got shape \(1, 2, 6\)"):
        made(packed, (STATE[:, :2], STATE[:, :2]))


def test_bad_calls_of_one_sequence():
    layer, one = gw.Recurrent("mgu", I, H), torch.zeros(T, I)
    assert layer(one, lengths=[3], reset=torch.zeros(T, dtype=torch.bool))[0].shape == (T, H)
    with pytest.raises(ValueError, match=r"reset: expected shape \(5,\), as the input's time and batch, got shape"):
        layer(one, reset=torch.zeros(T, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"state h: expected shape \(1, 6\), got shape \(1, 3, 6\)"):
        layer(one, STATE)
    with pytest.raises(ValueError, match=r"lengths: expected one for each of the 1 sequences, shape \(1,\), got shape"):
        layer(one, lengths=[1, 2])


@pytest.mark.parametrize("batch_first", [False, True])
def test_bad_further_inputs(batch_first):
    layer = gw.Recurrent("ea_lstm", (I, 2), H, batch_first=batch_first)
    x = X.transpose(0, 1) if batch_first else X
    shape = tuple(x.shape[:2])
    for given, message in [
        (x, "input: expected a tuple of 2 tensors (x, static), got 1"),
        ((x, torch.zeros(B, 3)), "input static: expected 2 features in the last dimension, got 3 (shape (3, 3))"),
        ((x, torch.zeros(2, 2)), "input static: expected a batch of (3,), got shape (2, 2)"),
        ((x, torch.zeros(2)), "input static: expected a batch of (3,), got shape (2,)"),
        ((x, torch.zeros(T + 1, B, 2)), f"input static: expected time and batch {shape}, got shape (6, 3, 2)"),
        ((x, torch.zeros(B, 2).double()), "input static: expected dtype torch.float32, as the weights have"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            layer(given)


def test_a_backend_that_cannot_is_an_error_not_a_silent_change():
    reset = torch.zeros(T, B, dtype=torch.bool)
    for layer, given, why in [
        (gw.Recurrent("mgu", I, H, backend="vendor"), {}, "the equations of mgu are none of torch's LSTM, GRU and RNN"),
        (gw.GRU(I, H, backend="vendor"), {"reset": reset}, "torch's kernels know no resets"),
        (gw.GRU(I, H, backend="vendor"), {"states": "all"}, "torch's kernels do not give every state"),
    ]:
        with pytest.raises(
            ValueError, match=f"backend: expected a cell and a call that the .* kernels? knows?, got {why}"
        ):
            layer(X, **given)


def test_an_error_leaves_the_layer_as_it_was():
    layer = gw.Recurrent("mgu", I, H)
    before = layer(X)[0]
    with pytest.raises(ValueError, match="lengths"):
        layer(X, lengths=[9, 9, 9])
    assert torch.equal(layer(X)[0], before)


# -- what is masked reaches nothing ------------------------------------------------------------------------

RUNS = [(name, backend) for name in gw.cells for backend in ("reference", "cpu")]
RUNS += [(name, "vendor") for name in ("lstm", "lstmp", "gru", "rnn")]
COUNTS = torch.tensor([3, 0, T, 2])


def of_input(x, change):
    return tuple(change(i) for i in x) if isinstance(x, tuple) else change(x)


def made(name: str, backend: str):
    """(a layer of two directions where the cell can, its input)."""
    graph = gw.cells[name].graph
    case = case_for(graph, 4, 4, other=2)
    layer = case.layer(
        gw.cells[name],
        backend=backend,
        dtype=torch.float64,
        bidirectional=True,
        num_layers=2 - needs_its_own_width(name),
    )
    return layer, sequence_inputs(case, T, len(COUNTS), generator(6))


def needs_its_own_width(name: str) -> bool:
    """A cell whose input is as wide as its state takes no pair of directions for an input."""
    return name in ("mut1", "mut2", "sru")


def results(layer, x, weight: Tensor | None = None, **kwargs) -> dict[str, Tensor]:
    """Output, final states, and gradients of inputs, initial states and weights; `weight` (B,) weighs the sequences."""
    inputs = tuple(i.clone().requires_grad_() for i in (x if isinstance(x, tuple) else (x,)))
    batch = inputs[0].shape[1]
    g = generator(8)
    states = tuple(
        (torch.randn(layer.num_layers * 2, batch, width, generator=g, dtype=torch.float64) * 0.3).requires_grad_()
        for width in layer.state_sizes.values()
    )
    if layer.cell.name == "slstm":  # its normaliser and stabiliser are no free numbers
        states = (states[0], states[1], states[2].detach().abs().requires_grad_(), states[3])
    given = (inputs if len(inputs) > 1 else inputs[0], states if len(states) > 1 else states[0])
    y, final = layer(*given, **kwargs)
    final = final if isinstance(final, tuple) else (final,)
    leaves = {f"input {i}": v for i, v in enumerate(inputs)} | {f"state {i}": v for i, v in enumerate(states)}
    leaves |= dict(layer.named_parameters())
    weight = torch.ones(batch, dtype=torch.float64) if weight is None else weight
    loss = sum(
        (torch.where(weight.bool().unsqueeze(-1), v, 0.0) * torch.randn(v.shape, generator=g, dtype=v.dtype)).sum()
        for v in (y, *final)
    )
    grads = torch.autograd.grad(loss, list(leaves.values()))
    found = {"output": y} | {f"final {i}": s for i, s in enumerate(final)}
    return found | {f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)}


@pytest.mark.parametrize("filling", [float("nan"), INF, -INF, 1e300])
@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_padding_reaches_nothing(name, backend, filling):
    layer, x = made(name, backend)
    behind = (torch.arange(T).unsqueeze(-1) >= COUNTS).unsqueeze(-1)
    expected = results(layer, of_input(x, lambda i: torch.where(behind, 0.0, i)), lengths=COUNTS)
    found = results(layer, of_input(x, lambda i: torch.where(behind, filling, i)), lengths=COUNTS)
    for key, value in expected.items():
        assert value.isfinite().all(), key
        assert_close(found[key], value, 1e-12, key)
    padded = behind.squeeze(-1)
    assert not found["output"][padded].any()
    for i in range(len(layer.cell.inputs)):
        assert not found[f"gradient of input {i}"][padded].any()
    for i in range(len(layer.cell.states)):
        assert torch.equal(found[f"final {i}"][:, 1], found_state(layer, i)), (
            "a sequence without a step keeps its state"
        )


def found_state(layer, i: int) -> Tensor:
    """The state that `results` begins the empty sequence with."""
    g = generator(8)
    drawn = [
        torch.randn(layer.num_layers * 2, len(COUNTS), width, generator=g, dtype=torch.float64) * 0.3
        for width in layer.state_sizes.values()
    ]
    return (drawn[i].abs() if layer.cell.name == "slstm" and i == 2 else drawn[i])[:, 1]


def parts_of_others(found: dict[str, Tensor], sequence: int, layer) -> dict[str, Tensor]:
    """What must not know of a sequence: everything of the others."""
    others = [b for b in range(len(COUNTS)) if b != sequence]
    names = ["output", *(f"final {i}" for i in range(len(layer.cell.states)))]
    names += [f"gradient of input {i}" for i in range(len(layer.cell.inputs))]
    names += [f"gradient of state {i}" for i in range(len(layer.cell.states))]
    return {name: found[name][:, others] for name in names}


@pytest.mark.parametrize("lengths", [None, COUNTS, torch.tensor([0, 1, T, 0])], ids=["all", "some", "few"])
@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_nan_stays_in_its_sequence(name, backend, lengths):
    layer, x = made(name, backend)
    sick = 2  # the longest: what others might borrow from

    def spoil(i: Tensor) -> Tensor:
        i = i.clone()
        i[1, sick] = float("nan")
        return i

    kwargs = {} if lengths is None else {"lengths": lengths}
    expected, found = results(layer, x, **kwargs), results(layer, of_input(x, spoil), **kwargs)
    assert found["output"][:, sick].isnan().any()
    wanted = parts_of_others(expected, sick, layer)
    for key, value in parts_of_others(found, sick, layer).items():
        assert value.isfinite().all(), key
        assert_close(value, wanted[key], 1e-12, key)


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_infinity_stays_in_its_sequence(name, backend):
    layer, x = made(name, backend)
    sick = 2

    def spoil(i: Tensor) -> Tensor:
        i = i.clone()
        i[1, sick, ::2], i[1, sick, 1::2] = INF, -INF
        return i

    expected, found = results(layer, x, lengths=COUNTS), results(layer, of_input(x, spoil), lengths=COUNTS)
    wanted = parts_of_others(expected, sick, layer)
    for key, value in parts_of_others(found, sick, layer).items():
        assert_close(value, wanted[key], 1e-12, key)


@pytest.mark.parametrize("name", gw.cells)
def test_nan_before_a_reset_stays_before_it(name):
    """A reset cuts by selection, in both directions; so does the view back of `previous`."""
    layer, x = made(name, "reference")
    reset = torch.zeros(T, len(COUNTS), dtype=torch.bool)
    reset[3, 1] = True

    def spoil(at: int):
        def change(i: Tensor) -> Tensor:
            i = i.clone()
            i[at, 1] = float("nan")
            return i

        return change

    clean = layer(x, reset=reset)[0]
    before, behind = layer(of_input(x, spoil(2)), reset=reset)[0], layer(of_input(x, spoil(3)), reset=reset)[0]
    assert_close(before[3:], clean[3:], 1e-12)
    assert before[2, 1].isnan().any()
    assert_close(behind[:3], clean[:3], 1e-12)
    assert behind[3, 1].isnan().any()


@pytest.mark.parametrize("name", gw.cells)
def test_default_states_with_padding_have_finite_gradients(name):
    """From the cell's own start too, −∞ for the stabiliser of the sLSTM."""
    layer, x = made(name, "reference")
    behind = (torch.arange(T).unsqueeze(-1) >= COUNTS).unsqueeze(-1)
    reset = torch.rand(T, len(COUNTS), generator=generator(1)) < 0.4
    found = []
    for filling in (0.0, float("nan")):
        inputs = of_input(x, lambda i: torch.where(behind, filling, i).requires_grad_())  # noqa: B023 - used at once
        y, _ = layer(inputs, lengths=COUNTS, reset=reset)
        leaves = [*(inputs if isinstance(inputs, tuple) else (inputs,)), *layer.parameters()]
        found.append(torch.autograd.grad(y.sin().sum(), leaves))
    for clean, spoilt in zip(*found, strict=True):
        assert clean.isfinite().all()
        assert_close(spoilt, clean, 1e-12)
