"""Plans of every cell, run as a kernel runs them, give the reference's values and gradients."""

import itertools

import pytest
import torch
from interpreter import Call, Interpreter
from trials import Trial

import gatewright as gw
from cases import case_for
from gatewright.plan import recurrent_matrices, regularised
from gatewright.plan.plan import plan

OPTIONS = [
    dict(zip(("reset", "lengths", "every"), on, strict=True)) for on in itertools.product((False, True), repeat=3)
]
PLAIN, ALL = OPTIONS[0], OPTIONS[-1]
SIZES = ((1, 1, 1), (3, 1, 7), (1, 5, 7), (3, 5, 1))
"""(hidden, sequences, steps)"""


@pytest.mark.parametrize("options", [PLAIN, ALL], ids=["plain", "all"])
@pytest.mark.parametrize("name", gw.cells)
def test_every_cell(name, options):
    graph = gw.cells[name].graph
    Trial(graph, case_for(graph), steps=4, **options).compare()


@pytest.mark.slow
@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_with_all_options_and_odd_sizes(name):
    graph = gw.cells[name].graph
    for options in OPTIONS:
        Trial(graph, case_for(graph), **options).compare()
        for seed, (hidden, batch, steps) in enumerate(SIZES):
            case = case_for(graph, input_size=1 + seed, hidden_size=hidden)
            Trial(graph, case, steps=steps, batch=batch, seed=seed, **options).compare()


@pytest.mark.parametrize("options", [PLAIN, ALL], ids=["plain", "all"])
@pytest.mark.parametrize("name", ["gru_original", "layer_norm_lstm", "lstmp", "slstm"])
def test_regularised(name, options):
    """Every mask has its own number, the one that the reference draws it with."""
    graph = regularised(gw.cells[name].graph, zoneout=0.4, recurrent_dropout=0.3, training=True)
    Trial(graph, case_for(graph), **options).compare()


@pytest.mark.slow
@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_regularised(name):
    graph = gw.cells[name].graph
    rates = [{"zoneout": 0.4}, {"zoneout": {graph.states[0].name: 0.5}}]
    if recurrent_matrices(graph):
        rates += [{"recurrent_dropout": 0.3}, {"recurrent_dropout": 0.3, "zoneout": 0.4}]
        rates += [{"recurrent_dropout": {next(iter(recurrent_matrices(graph))): 0.5}}]
    for given, training, options in itertools.product(rates, (True, False), (PLAIN, ALL)):
        noisy = regularised(graph, training=training, **given)
        Trial(noisy, case_for(noisy), steps=4, **options).compare()


@pytest.mark.parametrize("name", ["lstm", "gru", "peephole_lstm", "lstm_2000"])
def test_records(name):
    """Whatever has a name."""
    graph = gw.cells[name].graph
    trial = Trial(graph, case_for(graph), record=tuple(graph.watchable()), every=True, reset=True, lengths=True)
    trial.compare()


@pytest.mark.slow
@pytest.mark.parametrize("name", gw.cells)
def test_records_of_every_cell(name):
    graph = gw.cells[name].graph
    for record in [(called,) for called in graph.watchable()] + [tuple(graph.watchable())]:
        for options in (PLAIN, ALL):
            Trial(graph, case_for(graph), steps=4, record=record, **options).compare()


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_original", "layer_norm_lstm"])
def test_nothing_to_do(name, steps):
    """Without a step every state passes, and so does its adjoint: also where episodes start behind the end."""
    graph = gw.cells[name].graph
    trial = Trial(graph, case_for(graph), steps=steps, reset=True)
    ends = torch.zeros(trial.batch, dtype=torch.long)
    reset = torch.ones(steps, trial.batch, dtype=torch.bool)
    run = Interpreter(trial.plan, Call(trial.inputs, trial.weights, trial.states, trial.sizes, ends, reset))
    run.forward()
    run.backward(trial.given, trial.final)
    for state, value in trial.states.items():
        assert torch.equal(run.finals[state], value)
        assert torch.equal(run.initial_adjoints[state], trial.final[state])
    assert not any(g.any() for g in (*run.gradients.values(), *run.input_adjoints))


@pytest.mark.parametrize("name", gw.cells)
def test_a_plan_is_the_same_in_every_order_of_memory(name):
    """Nothing depends on what was made before: kernels are found by their plan's text in other processes too."""
    from gatewright.plan.show import show

    graph = gw.cells[name].graph
    first = show(plan.__wrapped__(graph, train=True, reset=True))
    clutter = [gw.cells[other].graph.mapped(lambda n: n) for other in gw.cells]
    assert show(plan.__wrapped__(graph, train=True, reset=True)) == first
    del clutter
