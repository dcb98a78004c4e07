"""The algorithm that cuDNN is expected to take, held to torch's `get_algo` line by line."""

import pytest

from bench.harness.suites import SUITES
from bench.measure.cudnn_algorithm import expected_algorithm, name_algorithms
from tests.records import case

SMALL, STATIC, STANDARD = "PERSIST_STATIC_SMALL_H", "PERSIST_STATIC", "STANDARD"
MODULES = {"vanilla": "RNN", "lstm": "LSTM", "gru": "GRU"}


def algorithm(module, dtype, H, B=64, D=None, direction="forward", multiprocessors=132):
    return expected_algorithm(module, dtype, H, B, D or H, direction, multiprocessors).algorithm


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("module", "direction", "last"),
    [("RNN", "forward", 384), ("LSTM", "forward", 192), ("GRU", "forward", 192),
     ("RNN", "backward", 256), ("LSTM", "backward", 128), ("GRU", "backward", 128)],
)  # fmt: skip
def test_small_h(module, direction, last, dtype):
    """Forward and backward decided apart, whatever the batch, but not in double."""
    assert algorithm(module, dtype, last, B=3, direction=direction) == SMALL
    assert algorithm(module, dtype, last + 1, direction=direction) == STANDARD
    assert algorithm(module, "float64", last, direction=direction) == STANDARD


@pytest.mark.parametrize(
    ("module", "sizes", "wanted"),
    [
        ("LSTM", {"H": 512}, STATIC),
        ("LSTM", {"H": 512, "dtype": "bfloat16"}, STANDARD),
        ("LSTM", {"H": 512, "dtype": "float32"}, STANDARD),
        ("LSTM", {"H": 1024}, STATIC),
        ("LSTM", {"H": 1152}, STANDARD),
        ("LSTM", {"H": 500, "D": 512}, STANDARD),
        ("LSTM", {"H": 512, "D": 500}, STANDARD),
        ("LSTM", {"H": 512, "multiprocessors": 98}, STATIC),
        ("LSTM", {"H": 512, "multiprocessors": 97}, STANDARD),
        ("GRU", {"H": 512}, STANDARD),
        ("LSTM", {"H": 512, "B": 60}, STANDARD),
        ("LSTM", {"H": 512, "B": 128}, STATIC),
        ("LSTM", {"H": 512, "B": 136}, STANDARD),
        ("LSTM", {"H": 1024, "B": 96}, STATIC),
        ("RNN", {"H": 512, "B": 128}, STATIC),
        ("RNN", {"H": 512, "B": 60}, STANDARD),
        ("RNN", {"H": 512, "B": 136}, STANDARD),
        ("RNN", {"H": 896, "B": 88}, STATIC),
        ("RNN", {"H": 896, "B": 96}, STANDARD),
        ("RNN", {"H": 768, "B": 96}, STATIC),
    ],
)
def test_persistent(module, sizes, wanted):
    for direction in ("forward", "backward"):
        assert algorithm(module, **{"dtype": "float16", **sizes}, direction=direction) == wanted


def test_it_says_why():
    assert expected_algorithm("LSTM", "bfloat16", 512, 64, 512, "forward", 132).reason == "bfloat16 is not float16"
    assert expected_algorithm("GRU", "float16", 512, 64, 512, "forward", 132).reason == "never for a GRU"
    assert expected_algorithm("LSTM", "float16", 192, 64, 192, "forward", 132).reason == "H ≤ 192 for the forward pass of LSTM"
    assert "multiples of 128" in expected_algorithm("LSTM", "float16", 512, 64, 512, "forward", 132).reason


def test_a_training_names_both_of_its_passes_where_they_differ():
    assert name_algorithms("GRU", case(H=160), 132) == "PERSIST_STATIC_SMALL_H, backward STANDARD"
    assert name_algorithms("GRU", case(H=160, mode="inference"), 132) == SMALL
    assert name_algorithms("GRU", case(H=128), 132) == SMALL


def test_the_crossover_suite_stands_on_both_sides_of_every_cliff():
    """Each rule of torch's decides a shape of the suite: its reasons are all there."""
    found = {
        expected_algorithm(MODULES[s.cell], s.dtype, s.H, s.B, s.D, direction, 132).reason
        for s in SUITES["crossover"]
        for direction in ("forward", "backward")
    }
    small = {
        f"H ≤ {last} for the {direction} pass of {module}"
        for direction, sizes in (("forward", (384, 192, 192)), ("backward", (256, 128, 128)))
        for module, last in zip(("RNN", "LSTM", "GRU"), sizes, strict=True)
    }
    assert found == small | {
        "bfloat16 is not float16", "H > 1024", "H is no multiple of 128", "D is no multiple of 128", "never for a GRU",
        "B is no multiple of 8", "B > 128", "B ≥ 96 and H ≥ 896", "float16, H ≤ 1024, H and D multiples of 128, B ≤ 128",
    }  # fmt: skip
