"""What a recurrence means, on every cell: lengths, resets, directions, initial states and their gradients.

The expected values come from the plainest way to say it: every sequence alone, cut at its resets, without a mask.
"""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from tolerances import TOLERANCE, assert_close

TOL = TOLERANCE[torch.float64, "reference"]
STEPS, BATCH = 6, 4


def layer_of(name: str, **options) -> gw.Recurrent:
    cell = gw.cells[name]
    return case_for(cell.graph).layer(cell, backend="reference", dtype=torch.float64, **options)


def as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def first_states(layer, generator, batch=BATCH) -> tuple:
    """Random states that are legal: sLSTM's normaliser n is positive in any state that it can reach."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    return tuple(
        torch.rand(rows, batch, width, generator=generator, dtype=torch.float64) + 0.5
        for width in layer.state_sizes.values()
    )


def called(layer, state):
    return state if len(state) > 1 else state[0]


def alone(layer, inputs, state, length, reset):
    """One sequence (T, I) of one direction, step by step through its segments, with nothing masked."""
    carried = layer.cell.graph.states
    segments, start = [], 0
    for t in range(length):
        if t and reset[t]:
            segments.append((start, t))
            start = t
    segments.append((start, length))
    if reset[0] and length:
        state = tuple(torch.full_like(s, i.initial) for s, i in zip(state, carried, strict=False))
    outputs = []
    for k, (begin, end) in enumerate(segments if length else []):
        if k:
            state = tuple(torch.full_like(s, i.initial) for s, i in zip(state, carried, strict=False))
        x = tuple(i[begin:end] for i in inputs)
        y, state = layer(x if len(x) > 1 else x[0], called(layer, state))
        state = as_tuple(state)
        outputs.append(y)
    return torch.cat(outputs) if outputs else None, state


def gradients(layer, loss, tensors):
    return torch.autograd.grad(loss, [*layer.parameters(), *tensors], materialize_grads=True)


@pytest.mark.parametrize("name", gw.cells)
def test_lengths_and_resets(name):
    """A masked batch against every sequence alone: outputs, final states and every gradient."""
    g = generator(1)
    layer = layer_of(name)
    inputs = as_tuple(sequence_inputs(case_for(layer.cell.graph), STEPS, BATCH, g))
    lengths = torch.tensor([STEPS, 3, 0, 1])
    reset = torch.rand(STEPS, BATCH, generator=g) < 0.35
    reset[0, 1] = True
    state = first_states(layer, g)
    tracked = [x.requires_grad_() for x in (*inputs, *state)]
    y, final = layer(inputs if len(inputs) > 1 else inputs[0], called(layer, state), lengths=lengths, reset=reset)
    final = as_tuple(final)
    cotangent = torch.randn(y.shape, generator=g, dtype=y.dtype)
    ends = [torch.randn(f.shape, generator=g, dtype=y.dtype) for f in final]
    loss = (y * cotangent).sum() + sum((f * e).sum() for f, e in zip(final, ends, strict=True))
    found = gradients(layer, loss, tracked)

    expected_loss = torch.zeros((), dtype=torch.float64)
    for b in range(BATCH):
        n = int(lengths[b])
        out, last = alone(layer, tuple(x[:, b] for x in inputs), tuple(s[:, b] for s in state), n, reset[:, b])
        assert_close(y[n:, b], torch.zeros_like(y[n:, b]), TOL, "padding")
        if out is not None:
            assert_close(y[:n, b], out, TOL, f"sequence {b}")
            expected_loss = expected_loss + (out * cotangent[:n, b]).sum()
        last = last if n else (*last, *(torch.zeros_like(f[:, b]) for f in final[len(state) :]))  # no inputs, no past
        for f, one, e in zip(final, last, ends, strict=True):
            assert_close(f[:, b], one, TOL, f"final state of {b}")
            expected_loss = expected_loss + (one * e[:, b]).sum()
    for mine, theirs in zip(found, gradients(layer, expected_loss, tracked), strict=True):
        assert_close(mine, theirs, 1e-9, "gradient")


@pytest.mark.parametrize("name", gw.cells)
def test_reverse_direction(name):
    """Backwards means: the same on the turned sequence, where a cut between t−1 and t stays where it is."""
    g = generator(2)
    both = layer_of(name, bidirectional=True)
    one = layer_of(name)
    one.load_state_dict(
        {k.removesuffix("_reverse"): v for k, v in both.state_dict().items() if k.endswith("_reverse")}
        | ({"row_names": one.state_dict()["row_names"]} if "row_names" in one.state_dict() else {})
    )
    inputs = as_tuple(sequence_inputs(case_for(both.cell.graph), STEPS, BATCH, g))
    lengths = torch.tensor([STEPS, 3, 0, 1])
    reset = torch.rand(STEPS, BATCH, generator=g) < 0.4
    state = first_states(both, g)
    y, final = both(inputs if len(inputs) > 1 else inputs[0], called(both, state), lengths=lengths, reset=reset)
    backwards = y[..., y.shape[-1] // 2 :]
    for b, n in enumerate(lengths.tolist()):
        turned = tuple(x[:n, b].flip(0) for x in inputs)
        cuts = torch.zeros(max(n, 1), dtype=torch.bool)
        for t in range(1, n):
            cuts[n - t] = reset[t, b]  # entering t−1 from t
        out, last = alone(one, turned, tuple(s[1:, b] for s in state), n, cuts)
        if out is not None:
            assert_close(backwards[:n, b].flip(0), out[..., : backwards.shape[-1]], TOL, f"sequence {b}")
        for f, expected in zip(as_tuple(final), last[: len(state)], strict=True):
            assert_close(f[1:, b], expected, TOL, "final state")


@pytest.mark.parametrize("name", gw.cells)
def test_all_states(name):
    """`states="all"` gives what a run over the first t steps ends with."""
    g = generator(3)
    layer = layer_of(name, num_layers=2)
    x = sequence_inputs(case_for(layer.cell.graph), STEPS, BATCH, g)
    lengths = torch.tensor([STEPS, 3, 0, 1])
    y, every = layer(x, lengths=lengths, states="all")
    same, _ = layer(x, lengths=lengths)
    assert_close(y, same, TOL)
    for t in (0, 2, STEPS - 1):
        part = tuple(i[: t + 1] for i in x) if isinstance(x, tuple) else x[: t + 1]
        _, final = layer(part)
        for states, end in zip(as_tuple(every), as_tuple(final)[: len(layer.state_sizes)], strict=True):
            on = lengths > t
            assert_close(states[:, t, on], end[:, on], TOL, "a valid step")
            assert states[:, t, ~on].abs().sum() == 0


@pytest.mark.parametrize("name", gw.cells)
def test_in_two_parts(name):
    """T steps are T₁ steps and then T₂; a cell that looks back at inputs carries them in its state."""
    layer = layer_of(name, num_layers=2)
    g = generator(4)
    x = as_tuple(sequence_inputs(case_for(layer.cell.graph), STEPS, BATCH, g))
    whole, final = layer(x if len(x) > 1 else x[0])
    first, middle = layer(tuple(i[:2] for i in x) if len(x) > 1 else x[0][:2])
    second, end = layer(tuple(i[2:] for i in x) if len(x) > 1 else x[0][2:], middle)
    assert_close(torch.cat([first, second]), whole, TOL)
    for a, b in zip(as_tuple(end), as_tuple(final), strict=True):
        assert_close(a, b, TOL)


@pytest.mark.parametrize("name", gw.cells)
def test_float32(name):
    """The same in float32, to float32's tolerance."""
    layer = layer_of(name)
    g = generator(5)
    x = sequence_inputs(case_for(layer.cell.graph), STEPS, BATCH, g)
    exact, _ = layer(x)
    layer.float()
    y, _ = layer(tuple(i.float() for i in x) if isinstance(x, tuple) else x.float())
    assert y.dtype == torch.float32
    assert_close(y.double(), exact, TOLERANCE[torch.float32, "reference"])


MASKED = [float("nan"), float("inf")]


@pytest.mark.parametrize(("name", "poison"), list(itertools.product(gw.cells, MASKED)))
def test_what_is_masked_reaches_nothing(name, poison):
    """NaN and infinity behind a sequence's end, and in a state that a reset replaces, change no bit anywhere."""
    layer = layer_of(name, bidirectional=True)
    lengths = torch.tensor([STEPS, 3, 0, 1])
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[0, 1] = reset[4, 1] = reset[2, 2] = True
    results = []
    for value in (0.0, poison):
        inputs = as_tuple(sequence_inputs(case_for(layer.cell.graph), STEPS, BATCH, generator(7)))
        for x, (b, n) in itertools.product(inputs, enumerate(lengths.tolist())):
            x[n:, b] = value
        state = first_states(layer, generator(8))
        for s in state:
            s[0, 1] = value  # forwards, sequence 1 is reset before its first step
        tracked = [x.requires_grad_() for x in (*inputs, *state)]
        x = inputs if len(inputs) > 1 else inputs[0]
        y, final = layer(x, called(layer, state), lengths=lengths, reset=reset)
        loss = y.square().sum() + sum(f.square().sum() for f in as_tuple(final))
        grads = gradients(layer, loss, tracked)
        results.append([y, *as_tuple(final), *grads])
    for clean, poisoned in zip(*results, strict=True):
        assert torch.isfinite(poisoned).all()
        assert torch.equal(clean, poisoned)


def test_a_log_in_the_padding_does_no_harm():
    """0 times the infinite derivative of log(0) would be NaN: the padding is never computed with."""
    cell = gw.parse("h_t = tanh(W_h log(x_t) + U_h h_{t-1} + b_h)")
    layer = gw.Recurrent(cell, 3, 5, dtype=torch.float64, bidirectional=True)
    x = torch.rand(STEPS, BATCH, 3, dtype=torch.float64) + 0.5
    lengths = torch.tensor([0, 2, STEPS, 0])
    for b, n in enumerate(lengths.tolist()):
        x[n:, b] = 0.0 if b % 2 else -1.0
    x.requires_grad_()
    y, h = layer(x, lengths=lengths)
    (y.sum() + h.sum()).backward()
    assert x.grad is not None
    assert all(torch.isfinite(t).all() for t in (y, h, x.grad, *(p.grad for p in layer.parameters())))


def test_a_state_beyond_the_end_does_no_harm():
    """One step more would take s below 0, where its logarithm is NaN."""
    cell = gw.parse("y_t; s_t = budget(x_t; s_{t-1})\ns_0 = 1\ns_t = s_{t-1} - σ(W_s x_t)\ny_t = log(s_t) ⊙ p_y")
    layer = gw.Recurrent(cell, 3, 5, dtype=torch.float64)
    with torch.no_grad():
        layer.weights()["W_s"].fill_(0.3)  # about half of the budget a step
    x = torch.zeros(5, 2, 3, dtype=torch.float64, requires_grad=True)
    y, s = layer(x, lengths=torch.tensor([1, 0]))
    (y.sum() + s.sum()).backward()
    assert x.grad is not None
    assert all(torch.isfinite(t).all() for t in (y, s, x.grad, *(p.grad for p in layer.parameters())))


def test_a_state_without_steps_enters_no_equation():
    """A sequence of length 0 returns its NaN, and nothing else hears of it."""
    layer = layer_of("lstm")
    state = tuple(torch.zeros(1, BATCH, 5, dtype=torch.float64) for _ in range(2))
    state[0][0, 2] = float("nan")
    y, (h, _) = layer(torch.ones(STEPS, BATCH, 3, dtype=torch.float64), state, lengths=torch.tensor([6, 3, 0, 1]))
    assert h[0, 2].isnan().all()
    assert torch.isfinite(y).all()
    y.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_nan_stays_in_its_sequence():
    layer = layer_of("lstm")
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    x[2, 1] = float("nan")
    x.requires_grad_()
    y, (h, c) = layer(x)
    others = [0, 2, 3]
    assert torch.isfinite(y[:, others]).all()
    assert torch.isfinite(y[:2, 1]).all()
    assert y[2:, 1].isnan().all()
    (grad,) = torch.autograd.grad(y.sum() + h.sum() + c.sum(), x)
    assert torch.isfinite(grad[:, others]).all()


@settings(max_examples=30)
@given(st.permutations(range(BATCH)), st.sampled_from(list(gw.cells)))
def test_a_permuted_batch_gives_a_permuted_result(order, name):
    layer = layer_of(name)
    x = sequence_inputs(case_for(layer.cell.graph), STEPS, BATCH, generator(9))
    lengths = torch.tensor([STEPS, 3, 2, 1])
    y, _ = layer(x, lengths=lengths)
    turned = tuple(i[:, list(order)] for i in x) if isinstance(x, tuple) else x[:, list(order)]
    z, _ = layer(turned, lengths=lengths[list(order)])
    assert_close(z, y[:, list(order)], TOL)


def test_swapped_gates_are_seen():
    """With the weights of i and f exchanged an LSTM gives something else: gates are told apart."""
    layer = layer_of("lstm")
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    y, _ = layer(x)
    views = layer.weights()
    with torch.no_grad():
        for kind in ("W", "U"):
            kept = views[f"{kind}_i"].clone()
            views[f"{kind}_i"].copy_(views[f"{kind}_f"])
            views[f"{kind}_f"].copy_(kept)
    z, _ = layer(x)
    assert (y - z).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["lstm", "qrnn", "slstm"])
def test_no_steps(name):
    """T = 0 gives an empty output and the states it began with."""
    layer = layer_of(name, bidirectional=True)
    state = first_states(layer, generator(10))
    y, final = layer(torch.zeros(0, BATCH, 3, dtype=torch.float64), called(layer, state))
    assert y.shape == (0, BATCH, layer.output_size)
    assert all(torch.equal(a, b) for a, b in zip(as_tuple(final), state, strict=True))
    y, final = layer(torch.zeros(STEPS, 0, 3, dtype=torch.float64), lengths=torch.zeros(0, dtype=torch.int64))
    assert y.shape == (STEPS, 0, layer.output_size)


def test_initial_values():
    """A state that begins elsewhere than at 0 begins there at a reset too."""
    cell = gw.parse("s_0 = 2.5\ns_t = s_{t-1} + tanh(W_s x_t)")
    layer = gw.Recurrent(cell, 3, 5, dtype=torch.float64)
    x = torch.zeros(4, 2, 3, dtype=torch.float64)
    y, s = layer(x)
    assert (y == 2.5).all()
    reset = torch.tensor([[False, False], [True, False], [False, False], [False, False]])
    y, s = layer(x, torch.full((1, 2, 5), 7.0, dtype=torch.float64), reset=reset)
    assert y[0].eq(7).all()
    assert y[1:, 0].eq(2.5).all()
    assert s[0, 1].eq(7).all()


def test_a_static_input_may_be_given_once():
    layer = layer_of("ea_lstm")
    x = torch.randn(STEPS, BATCH, 3, dtype=torch.float64)
    static = torch.randn(BATCH, 2, dtype=torch.float64)
    once, _ = layer((x, static))
    every, _ = layer((x, static.expand(STEPS, BATCH, 2)))
    assert torch.equal(once, every)
    single, _ = layer((x[:, 0], static[0]))
    assert_close(single, once[:, 0], TOL)


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_what_a_cell_looks_back_at_goes_on(window, cut, seed):
    """A convolution over `window` steps gives the same in one call and in two, with lengths and resets in both."""
    cell = gw.cells.qrnn.with_(window=window + 1)
    layer = gw.Recurrent(cell, 3, 5, 2, dtype=torch.float64)
    g = generator(seed % 1000)
    x = torch.randn(STEPS, BATCH, 3, generator=g, dtype=torch.float64)
    reset = torch.rand(STEPS, BATCH, generator=g) < 0.3
    whole, final = layer(x, reset=reset)
    lengths = torch.full((BATCH,), cut)
    padded = torch.cat([x[:cut], torch.full((2, BATCH, 3), float("nan"), dtype=torch.float64)])
    cuts = torch.cat([reset[:cut], torch.ones(2, BATCH, dtype=torch.bool)])
    first, middle = layer(padded, lengths=lengths, reset=cuts)
    second, end = layer(x[cut:], middle, reset=reset[cut:])
    assert_close(torch.cat([first[:cut], second]), whole, TOL)
    for a, b in zip(end, final, strict=True):
        assert_close(a, b, TOL)
