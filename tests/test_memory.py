"""Memory, counted where it can be counted by hand."""

import ctypes
import dataclasses
import mmap
import sys

import pytest
import torch

from bench.measure import memory
from bench.measure.backends import build_workload
from bench.measure.problem import make_problem


def test_peak_is_of_the_call_alone():
    keep = torch.zeros(1000, 1000)

    def call() -> None:
        a = torch.ones(256, 1024)
        b = a + 1
        del a
        torch.ones(64, 1024).add_(b[:64])

    assert memory.measure_peak(call, torch.device("cpu")) in range(2 * 2**20, 2 * 2**20 + 2**18)
    assert keep.sum() == 0


def test_saved_counts_each_storage_once_and_no_weights_or_inputs():
    T, B, H = 8, 4, 16
    given = make_problem("vanilla", T, B, H, H, "float32", "cpu", 0)
    measured = memory.measure_memory(build_workload("eager", given))
    assert measured.weights == 4 * (2 * H * H + 2 * H), "torch's vanilla cell has two biases, and so has the layer"
    assert measured.saved == 4 * T * B * H, "tanh keeps its outputs; the inputs and weights of the products don't count"


def test_compiled_keeps_the_terms_and_the_outputs():
    T, B, H = 8, 4, 16
    given = make_problem("lstm", T, B, H, H, "float32", "cpu", 0)
    saved = memory.measure_memory(build_workload("compiled", given)).saved
    terms, states, bias = 4 * T * B * H, 2 * T * B * H, 4 * H
    assert saved == 4 * (terms + states + bias), "the sum of torch's two biases is new; its matrices are read where they are"


class Workspace(torch.autograd.Function):
    """Saves 64 pages, of which it writes to three."""

    @staticmethod
    def forward(ctx, x):
        block = torch.frombuffer(mmap.mmap(-1, 64 * mmap.PAGESIZE), dtype=torch.uint8)
        block[: 3 * mmap.PAGESIZE] = 1
        ctx.save_for_backward(block)
        return x.clone()

    @staticmethod
    def backward(ctx, d_y):
        return d_y


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what lies in memory")
def test_a_workspace_that_is_never_touched_takes_no_memory():
    """As torch's LSTM has one on a CPU."""
    work = build_workload("eager", make_problem("vanilla", 2, 2, 4, 4, "float32", "cpu", 0))
    measured = memory.measure_memory(dataclasses.replace(work, forward=lambda inputs, states: (Workspace.apply(inputs[0]), ())))
    assert (measured.saved, measured.saved_allocated) == (3 * mmap.PAGESIZE, 64 * mmap.PAGESIZE)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what lies in memory")
def test_resident_bytes_are_those_of_touched_pages():
    block = mmap.mmap(-1, 64 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    assert memory.count_resident_bytes(address, len(block)) == 0
    block[3 * mmap.PAGESIZE] = 1
    assert memory.count_resident_bytes(address, len(block)) == mmap.PAGESIZE
    assert memory.count_resident_bytes(address + 3 * mmap.PAGESIZE + 100, 200) == 200, "not the rest of the page"
    assert memory.count_resident_bytes(address + 4 * mmap.PAGESIZE, 0) == 0


def test_where_the_system_does_not_say_what_was_allocated_counts(monkeypatch):
    given = make_problem("vanilla", 8, 4, 16, 16, "float32", "cpu", 0)
    monkeypatch.setattr(memory.sys, "platform", "other")
    measured = memory.measure_memory(build_workload("eager", given))
    assert measured.saved == measured.saved_allocated == 4 * 8 * 4 * 16
