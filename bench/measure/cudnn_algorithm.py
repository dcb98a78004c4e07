"""Predicts the algorithm that cuDNN uses for a recurrent layer, as torch selects it.

Source: `get_algo` in pytorch/aten/src/ATen/native/cudnn/RNN.cpp, for a unidirectional layer without projection and with a tensor as input
(no packed sequence), on a GPU of compute capability 8.0 or later except 8.6. The prediction follows the source; it is not observed. torch
uses cuDNN for bfloat16 if it was built with cuDNN 9.13 or later.
"""

from typing import Literal, NamedTuple

from bench.records import Case, Mode

Algorithm = Literal["PERSIST_STATIC_SMALL_H", "PERSIST_STATIC", "STANDARD"]
Direction = Literal["forward", "backward"]

SMALL_H = {
    ("RNN", "forward"): 384, ("LSTM", "forward"): 192, ("GRU", "forward"): 192,
    ("RNN", "backward"): 256, ("LSTM", "backward"): 128, ("GRU", "backward"): 128,
}  # fmt: skip
"""The largest H of cuDNN's persistent kernel for small H, by torch.nn module and pass."""

MULTIPROCESSORS = 98
"""The smallest number of multiprocessors for which a GPU uses the persistent kernel."""


class Choice(NamedTuple):
    """An algorithm, and the rule that selects it."""

    algorithm: Algorithm
    reason: str


def expected_algorithm(module: str, dtype: str, H: int, B: int, D: int, direction: Direction, multiprocessors: int) -> Choice:
    """Returns the algorithm of one pass of a layer.

    Args:
        module: "RNN", "LSTM" or "GRU".
        dtype: The name of the dtype.
        H: The number of units.
        B: The number of sequences.
        D: The number of inputs.
        direction: The pass, "forward" or "backward".
        multiprocessors: The number of multiprocessors of the GPU.
    """
    small = SMALL_H[module, direction]
    if dtype != "float64" and small >= H:
        return Choice("PERSIST_STATIC_SMALL_H", f"H ≤ {small} for the {direction} pass of {module}")
    reason = explain_standard(module, dtype, H, B, D, multiprocessors)
    return Choice("STANDARD", reason) if reason else Choice("PERSIST_STATIC", "float16, H ≤ 1024, H and D multiples of 128, B ≤ 128")


def explain_standard(module: str, dtype: str, H: int, B: int, D: int, multiprocessors: int) -> str:
    """Returns the rule that excludes PERSIST_STATIC, or ""."""
    rules = {
        f"{dtype} is not float16": dtype != "float16", "H > 1024": H > 1024,
        "H is no multiple of 128": H % 128 != 0, "D is no multiple of 128": D % 128 != 0,
        f"fewer than {MULTIPROCESSORS} multiprocessors": multiprocessors < MULTIPROCESSORS,
        "never for a GRU": module == "GRU", "B is no multiple of 8": B % 8 != 0, "B > 128": B > 128,
        "B ≥ 96 and H ≥ 896": module == "RNN" and B >= 96 and H >= 896,
    }  # fmt: skip
    return next((reason for reason, holds in rules.items() if holds), "")


DIRECTIONS: dict[Mode, tuple[Direction, ...]] = {"inference": ("forward",), "training": ("forward", "backward"), "backward": ("backward",)}


def name_algorithms(module: str, case: Case, multiprocessors: int) -> str:
    """Returns the algorithms of a case as text: "PERSIST_STATIC", or "PERSIST_STATIC_SMALL_H, backward STANDARD" if the passes differ."""
    directions = DIRECTIONS[case.mode]
    found = [expected_algorithm(module, case.dtype, case.H, case.B, case.D, d, multiprocessors).algorithm for d in directions]
    return found[0] if len(set(found)) == 1 else f"{found[0]}, backward {found[1]}"
