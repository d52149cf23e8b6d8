"""The thread that runs a model: what shares a batch, what fails alone, what waits, what is turned away."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gatewright.explorer.refused import Refused
from gatewright.serve.batching import Batcher, each


@pytest.fixture
def make():
    made = []

    def batcher(answer, max_batch=8, max_wait=0.01, max_queue=100, start=True):
        made.append(Batcher(answer, max_batch=max_batch, max_wait=max_wait, max_queue=max_queue))
        if start:
            made[-1].start()
        return made[-1]

    yield batcher
    for one in made:
        one.stop(10)


@given(st.lists(st.integers(-3, 3), max_size=20))
def test_what_is_wrong_fails_alone(numbers):
    found = each(lambda batch: [12 // x for x in batch], numbers)
    assert len(found) == len(numbers)
    for x, y in zip(numbers, found, strict=True):
        assert isinstance(y, ZeroDivisionError) if x == 0 else y == 12 // x


def test_one_bad_item_costs_few_calls():
    sizes = []

    def answer(batch):
        sizes.append(len(batch))
        return [1 // x for x in batch]

    each(answer, [1] * 37 + [0] + [1] * 26)
    assert len(sizes) == 13  # 64, then two halves of each that has it


def test_a_model_that_gives_too_few_answers_is_found_out():
    (error, *_) = each(lambda batch: [0] * (len(batch) - 1), [1, 2])
    assert "0 answers to 1 items" in str(error)


def test_what_waits_side_by_side_shares_a_batch(make):
    sizes = []
    batcher = make(lambda batch: sizes.append(len(batch)) or batch, start=False)
    futures = batcher.submit(range(20))
    batcher.start()
    assert [f.result(10) for f in futures] == list(range(20)) and sizes == [8, 8, 4]


def test_a_full_batch_does_not_wait(make):
    batcher = make(lambda batch: batch, max_batch=4, max_wait=60)
    assert [f.result(10) for f in batcher.submit(range(4))] == [0, 1, 2, 3]


def test_an_item_waits_for_others_so_long_and_no_longer(make):
    batcher = make(lambda batch: batch, max_wait=0.15)
    began = time.monotonic()
    batcher.submit([1])[0].result(10)
    assert 0.14 < time.monotonic() - began < 5


def test_there_is_no_gradient_in_the_thread(make):
    batcher = make(lambda batch: [torch.is_grad_enabled() for _ in batch])
    assert batcher.submit([1])[0].result(10) is False
    assert batcher.call(torch.is_grad_enabled).result(10) is False


def test_answers_come_back_to_who_asked(make):
    batcher = make(lambda batch: [10 * x for x in batch], max_queue=10_000)
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda x: batcher.submit([x])[0].result(20), range(500)))
    assert found == [10 * x for x in range(500)]


def held(make, **limits):
    """A batcher that is busy until the event is set."""
    go, begun = threading.Event(), threading.Event()

    def answer(batch):
        begun.set()
        assert go.wait(20)
        return batch

    batcher = make(answer, max_wait=0.0, **limits)
    first = batcher.submit(["first"])[0]
    assert begun.wait(10)
    return batcher, go, first


def test_who_comes_when_too_many_wait_is_turned_away(make):
    batcher, go, first = held(make, max_queue=3)
    waiting = batcher.submit([1, 2, 3])
    for late in (lambda: batcher.submit([4]), lambda: batcher.call(int)):
        with pytest.raises(Refused, match=r"3 items wait already, and no more than 3 may") as told:
            late()
        assert told.value.status == 503 and int(told.value.headers["retry-after"]) >= 1
    go.set()
    assert [f.result(10) for f in (first, *waiting)] == ["first", 1, 2, 3]
    assert batcher.submit([5])[0].result(10) == 5


def test_what_nobody_waits_for_is_not_computed(make):
    batcher, go, first = held(make)
    given_up, wanted = batcher.submit(["given up"])[0], batcher.submit(["wanted"])[0]
    assert batcher.depth == 2 and given_up.cancel() and not first.cancel()
    assert batcher.depth == 1
    seen, answer = [], batcher.answer
    batcher.answer = lambda batch: seen.extend(batch) or answer(batch)
    go.set()
    assert wanted.result(10) == "wanted" and seen == ["wanted"]


def test_what_nobody_waits_for_takes_no_place(make):
    batcher, go, _ = held(make, max_queue=2)
    for future in [*batcher.submit([1]), batcher.call(int)]:
        future.cancel()
    later = batcher.submit([3, 4])
    go.set()
    assert [f.result(10) for f in later] == [3, 4]


def test_calls_and_batches_take_turns(make):
    batcher, go, first = held(make, max_batch=1)
    order = []
    batcher.answer = lambda batch: order.append("item") or batch
    futures = [*batcher.submit(range(3)), *(batcher.call(lambda: order.append("call")) for _ in range(3))]
    go.set()
    for future in (first, *futures):
        future.result(10)
    assert order == ["call", "item"] * 3


def test_a_call_that_fails_tells_who_asked_and_the_thread_goes_on(make):
    batcher = make(lambda batch: batch)
    with pytest.raises(ZeroDivisionError):
        batcher.call(lambda: 1 // 0).result(10)
    assert batcher.submit([1])[0].result(10) == 1 and batcher.alive


def test_it_ends_after_what_waits_is_answered(make):
    batcher, go, first = held(make, max_batch=2)
    waiting = batcher.submit(range(5))
    threading.Timer(0.1, go.set).start()
    batcher.stop(20)
    assert [f.result(0) for f in (first, *waiting)] == ["first", 0, 1, 2, 3, 4]
    assert not batcher.alive
    with pytest.raises(Refused, match="stopping"):
        batcher.submit([1])
