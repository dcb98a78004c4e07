"""Memory, counted where it can be counted by hand."""

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
    assert measured.weights == 4 * (2 * H * H + H)
    assert measured.saved == 4 * T * B * H, "tanh keeps its outputs; the inputs and weights of the products don't count"


def test_compiled_keeps_the_terms_and_the_outputs():
    T, B, H = 8, 4, 16
    given = make_problem("lstm", T, B, H, H, "float32", "cpu", 0)
    saved = memory.measure_memory(build_workload("compiled", given)).saved
    terms, states, packed = 4 * T * B * H, 2 * T * B * H, 2 * 4 * H * H + 4 * H
    assert saved == 4 * (terms + states + packed)
