"""Buffers are used again when nobody refers to them, and never before."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch

from gatewright.backends.cpu import memory
from gatewright.backends.cpu.memory import KEPT_SCRATCH, PATIENCE, SMALL, Pool, saved_buffer, workspace

MEBI = 1 << 20


@pytest.fixture
def pool() -> Pool:
    return Pool(8 * MEBI)


def take(pool: Pool, mebibytes: float) -> torch.Tensor:
    return pool.take((int(mebibytes * MEBI),), torch.uint8)


def test_a_buffer_is_free_when_the_last_reference_goes(pool):
    first = take(pool, 2)
    at, view = first.data_ptr(), first[5:]
    del first
    assert take(pool, 2).data_ptr() != at
    del view
    assert take(pool, 2).data_ptr() == at


def test_what_autograd_saved_is_not_free(pool):
    class Keep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(pool.take((MEBI,), torch.float32).fill_(3.0))
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0][0]

    x = torch.ones(1, requires_grad=True)
    y = Keep.apply(x)
    for _ in range(3):
        pool.take((MEBI,), torch.float32).zero_()
    assert torch.autograd.grad(y, x)[0] == 3
    assert pool.held() == 8 * MEBI
    del y
    assert len({pool.take((MEBI,), torch.float32).data_ptr() for _ in range(3)}) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
@pytest.mark.parametrize("count", [0, 1, 1000, MEBI + 7])
def test_size_and_alignment(count, dtype):
    for found in (saved_buffer(count, dtype), workspace("test", count, dtype)[:count]):
        assert found.dtype == dtype and found.shape == (count,) and found.is_contiguous()
        assert not count or found.data_ptr() % 64 == 0
        found.zero_()


def test_sizes_that_differ_a_little_share_a_buffer(pool):
    at = take(pool, 2.1).data_ptr()
    assert {take(pool, size).data_ptr() for size in (2.2, 2.4, 1.3)} == {at}
    assert take(pool, 1.0).data_ptr() != at or pool.held() < 2.5 * MEBI


def test_a_result_may_ask_for_a_storage_of_its_own_size(pool):
    first = pool.take((3, MEBI), torch.uint8, exact=True)
    assert first.shape == (3, MEBI) and first.untyped_storage().nbytes() == 3 * MEBI
    at = first.data_ptr()
    del first
    smaller = pool.take((2, MEBI), torch.uint8, exact=True)
    assert smaller.data_ptr() != at and smaller.untyped_storage().nbytes() == 2 * MEBI
    assert pool.take((3, MEBI), torch.uint8, exact=True).data_ptr() == at


def test_what_another_process_may_see_is_not_used_again(pool):
    at = take(pool, 2).share_memory_().data_ptr()
    assert {take(pool, 2).data_ptr() for _ in range(3)}.isdisjoint({at})


def test_the_pool_is_bounded(pool):
    live = [take(pool, 2) for _ in range(6)]
    assert pool.held() == 8 * MEBI
    assert len({t.data_ptr() for t in live}) == 6
    del live
    assert take(pool, 8).numel() == 8 * MEBI and pool.held() == 8 * MEBI  # the free ones made room
    assert take(pool, 9).numel() == 9 * MEBI and pool.held() == 8 * MEBI
    assert pool.take((SMALL - 1,), torch.uint8).numel() == SMALL - 1 and pool.held() == 8 * MEBI


def test_what_is_long_unused_is_given_back(pool):
    take(pool, 4)
    for _ in range(PATIENCE + 2):
        take(pool, 1)
    assert pool.held() == 5 * MEBI
    take(pool, 1.5)
    assert pool.held() == 2.5 * MEBI


def test_no_two_threads_share_a_buffer(pool):
    torn = []

    def use(number: int) -> None:
        for _ in range(200):
            mine = take(pool, 1).fill_(number)
            if not bool((mine == number).all()):
                torn.append(number)

    threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not torn


def test_scratch_is_kept_by_key_type_and_thread():
    first = workspace("a", 100, torch.float32)
    assert workspace("a", 80, torch.float32).data_ptr() == first.data_ptr()
    others = [workspace("b", 100, torch.float32), workspace("a", 100, torch.float64), first]
    thread = threading.Thread(target=lambda: others.append(workspace("a", 100, torch.float32)))
    thread.start()
    thread.join()
    assert len({t.data_ptr() for t in others}) == 4
    larger = workspace("a", 1000, torch.float32)
    assert larger.numel() >= 1000 and workspace("a", 100, torch.float32).data_ptr() == larger.data_ptr()


def test_large_scratch_is_lent():
    large = workspace("a", KEPT_SCRATCH, torch.float32)
    assert large.numel() == KEPT_SCRATCH
    assert workspace("a", 100, torch.float32).data_ptr() != large.data_ptr()


def _fill(queue) -> None:
    saved_buffer(MEBI, torch.uint8).fill_(7)
    queue.put(memory._pool.held())


def test_a_forked_process_starts_anew(monkeypatch):
    monkeypatch.setattr(memory, "_pool", Pool(8 * MEBI))
    mine = [saved_buffer(MEBI, torch.uint8).fill_(1) for _ in range(3)]
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    with memory._pool._lock:  # as another thread might, at the moment of the fork
        child = fork.Process(target=_fill, args=(queue,))
        child.start()
    child.join(20)
    assert child.exitcode == 0 and queue.get() == MEBI
    assert all(bool((t == 1).all()) for t in mine) and memory._pool.held() == 3 * MEBI


def test_other_default_devices_do_not_matter():
    with torch.device("meta"):
        assert saved_buffer(10, torch.float32).device.type == "cpu"
        assert saved_buffer(MEBI, torch.float32).device.type == "cpu"
        assert workspace("device", 10, torch.float32).device.type == "cpu"
