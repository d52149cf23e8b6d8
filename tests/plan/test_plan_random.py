"""Plans of random cells against the reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import Trial

from cases import case_for
from gatewright.plan import recurrent_matrices, regularised
from random_graphs import recipes

OPTIONS = st.fixed_dictionaries({"reset": st.booleans(), "lengths": st.booleans(), "every": st.booleans()})
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))


def tried(recipe, options, sizes, seed, regular=lambda graph: graph) -> None:
    graph = regular(recipe.graph())
    hidden, batch, steps = sizes
    Trial(graph, case_for(graph, hidden_size=hidden), steps=steps, batch=batch, seed=seed, **options).compare()


@settings(max_examples=20)
@given(recipes(), OPTIONS, SIZES, st.integers(0, 5))
def test_random_cells(recipe, options, sizes, seed):
    tried(recipe, options, sizes, seed)


@pytest.mark.slow
@settings(max_examples=300)
@given(recipes(), OPTIONS, SIZES, st.integers(0, 5))
def test_more_random_cells(recipe, options, sizes, seed):
    tried(recipe, options, sizes, seed)


@pytest.mark.slow
@settings(max_examples=150)
@given(recipes(), OPTIONS, SIZES, st.integers(0, 5))
def test_regularised_random_cells(recipe, options, sizes, seed):
    def regular(graph):
        dropout = 0.3 if recurrent_matrices(graph) else 0.0
        return regularised(graph, zoneout=0.3, recurrent_dropout=dropout, training=True)

    tried(recipe, options, sizes, seed, regular)
