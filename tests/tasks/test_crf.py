"""The CRF against brute force over all sequences, its gradients by finite differences, its likeliest sequence."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.tasks.tag.crf import CRF, allowed_tags, viterbi
from gatewright.tasks.tag.spans import follows

LENGTHS = (4, 1, 3)


def made(seed: int, tags: int, scale: float = 1.0, lengths=LENGTHS):
    """A CRF in float64 with random scores, emissions, lengths, and tags."""
    torch.manual_seed(seed)
    crf = CRF(tags).double()
    for p in crf.parameters():
        torch.nn.init.normal_(p, std=scale)
    steps, n = max(lengths), len(lengths)
    emissions = scale * torch.randn(steps, n, tags, dtype=torch.float64)
    return crf, emissions, torch.tensor(lengths), torch.randint(tags, (steps, n))


def score(crf: CRF, emissions: torch.Tensor, tags: tuple[int, ...]) -> float:
    """The definition, a step at a time."""
    total = crf.start[tags[0]] + crf.end[tags[-1]] + sum(emissions[t, k] for t, k in enumerate(tags))
    return (total + sum(crf.transitions[a, b] for a, b in itertools.pairwise(tags))).item()


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=25)
def test_probabilities_are_those_of_brute_force(seed, tags, scale):
    crf, emissions, lengths, chosen = made(seed, tags, scale)
    found = crf(emissions, chosen, lengths)
    for b, n in enumerate(LENGTHS):
        every = [score(crf, emissions[:, b], path) for path in itertools.product(range(tags), repeat=n)]
        mine = score(crf, emissions[:, b], tuple(chosen[:n, b].tolist()))
        assert found[b].item() == pytest.approx(torch.tensor(every).logsumexp(0).item() - mine, rel=1e-6, abs=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=25)
def test_the_likeliest_sequence_is_that_of_brute_force(seed, tags):
    crf, emissions, lengths, _ = made(seed, tags)
    found = crf.decode(emissions, lengths)
    for b, n in enumerate(LENGTHS):
        best = max(itertools.product(range(tags), repeat=n), key=lambda path: score(crf, emissions[:, b], path))
        assert tuple(found[:n, b].tolist()) == best
        assert (found[n:, b] == 0).all()


def test_gradients_by_finite_differences():
    crf, emissions, lengths, tags = made(1, 3)
    weights = [emissions.requires_grad_(), *crf.parameters()]

    def loss(emissions, transitions, start, end):
        return torch.func.functional_call(
            crf, {"transitions": transitions, "start": start, "end": end}, (emissions, tags, lengths)
        )

    assert torch.autograd.gradcheck(loss, weights)


def test_nothing_behind_an_end_matters_not_even_nan():
    crf, emissions, lengths, tags = made(2, 3)
    wanted, likeliest = crf(emissions, tags, lengths), crf.decode(emissions, lengths)
    for b, n in enumerate(LENGTHS):
        emissions[n:, b] = float("nan")
        tags[n:, b] = 1
    emissions.requires_grad_()
    found = crf(emissions, tags, lengths)
    assert torch.equal(found, wanted)
    assert torch.equal(crf.decode(emissions, lengths), likeliest)
    found.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in crf.parameters())
    inside = ~torch.isnan(emissions)
    assert torch.isfinite(emissions.grad[inside]).all()
    assert (emissions.grad[~inside] == 0).all()


def test_scores_of_float32_that_lie_far_apart():
    """A step of 200 nats between tags is no infinity."""
    crf, emissions, lengths, tags = made(3, 3, scale=200.0)
    with torch.no_grad():
        wanted = crf(emissions, tags, lengths)
        found = crf.float()(emissions.float(), tags, lengths)
    assert torch.isfinite(wanted).all()
    assert torch.allclose(found.double(), wanted, rtol=1e-4)


@given(st.integers(0, 1000), st.sampled_from(["BIO", "BIOES"]))
@settings(max_examples=25)
def test_constrained_tags_keep_to_the_scheme(seed, scheme):
    names = ["O", *(f"{p}-{kind}" for p in ("BI" if scheme == "BIO" else "BIES") for kind in "xy")]
    crf, emissions, lengths, _ = made(seed, len(names), 3.0, lengths=(7, 1, 4))
    found = crf.decode(emissions, lengths, allowed_tags(names, scheme))
    for b, n in enumerate((7, 1, 4)):
        tags = [names[k] for k in found[:n, b].tolist()]
        assert all(follows(*pair, scheme) for pair in zip([None, *tags], [*tags, None], strict=True)), tags


def test_constraints_leave_what_keeps_to_them():
    """The likeliest sequence among those allowed, by brute force."""
    names = ["O", "B-x", "I-x"]
    crf, emissions, lengths, _ = made(5, 3, 2.0)
    found = crf.decode(emissions, lengths, allowed_tags(names, "BIO"))
    for b, n in enumerate(LENGTHS):
        legal = [
            path
            for path in itertools.product(range(3), repeat=n)
            if all(
                follows(a, c, "BIO")
                for a, c in zip([None, *(names[k] for k in path)], [*(names[k] for k in path), None], strict=True)
            )
        ]
        assert tuple(found[:n, b].tolist()) == max(legal, key=lambda path: score(crf, emissions[:, b], path))


def test_pairs_that_training_has_are_allowed_besides():
    pairs, first, last = allowed_tags(["O", "I-x"], "BIO", [(None, "I-x")])
    assert first.tolist() == [True, True]
    assert not pairs[0, 1]
    assert last.tolist() == [True, True]


def test_viterbi_without_transitions_takes_each_step_by_itself():
    emissions = torch.randn(5, 2, 4)
    zero = torch.zeros(4, 4)
    assert torch.equal(viterbi(emissions, torch.tensor([5, 5]), zero, zero[0], zero[0]), emissions.argmax(-1))
