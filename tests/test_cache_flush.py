"""The flush flushes: what was warm before it is cold after it."""

from types import SimpleNamespace

import pytest
import torch

from bench.measure import cache_flush, device_constants
from bench.measure.cache_flush import Flush
from bench.measure.clock import time_once

CPU = torch.device("cpu")
LINE = 16
"""float32 values of a cache line."""

SIZE, LOADS, SAMPLES = 2**20, 20_000, 25


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_cold_is_slower_than_warm(one_thread):
    """4 MiB, of which one value in each of 20,000 lines is loaded, in random order: no prefetcher helps. On the machine this was
    written on, busy with other work, a flush made it 5 to 8 times slower; after one of a hundredth of the size this test fails."""
    values = torch.randn(SIZE)
    lines = torch.randperm(SIZE // LINE)[:LOADS] * LINE
    flush = Flush(CPU)

    def load() -> torch.Tensor:
        return values[lines]

    def flushed() -> float:
        flush()
        return time_once(load, CPU)[0]

    load()
    warm = min(time_once(load, CPU)[0] for _ in range(SAMPLES))
    cold = min(flushed() for _ in range(SAMPLES))
    assert cold > 2 * warm


def test_it_overwrites_twice_what_the_caches_hold(monkeypatch):
    monkeypatch.setattr(device_constants, "count_cache_bytes", lambda: 3 * 2**20)
    flush = Flush(CPU)
    assert flush.buffer.nbytes == 6 * 2**20
    before = flush.buffer.clone()
    flush()
    assert (flush.buffer != before).all()


def test_where_nobody_knows_the_caches_it_overwrites_plenty(monkeypatch):
    monkeypatch.setattr(device_constants, "count_cache_bytes", lambda: None)
    assert Flush(CPU).buffer.nbytes == cache_flush.UNKNOWN == 2**28


def test_on_a_gpu_it_takes_the_size_of_l2(monkeypatch):
    made = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(L2_cache_size=50 * 2**20))
    monkeypatch.setattr(torch, "zeros", lambda size, dtype, device: made.append((size, device)) or torch.empty(8, dtype=dtype))
    Flush(torch.device("cuda"))
    assert made == [(100 * 2**20, torch.device("cuda"))]
