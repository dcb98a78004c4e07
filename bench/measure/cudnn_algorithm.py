"""Which algorithm cuDNN is expected to take for a recurrent layer, as torch chooses it.

Source: `get_algo` of pytorch/aten/src/ATen/native/cudnn/RNN.cpp, for a layer in one direction without a projection, given a tensor
and not a packed sequence, on a GPU of compute capability 8.0 or later, and not 8.6. It is what the source says, not what
was observed. torch gives bfloat16 to cuDNN where it was built with 9.13 or later.
"""

from typing import Literal, NamedTuple

from bench.records import Case, Mode

Algorithm = Literal["PERSIST_STATIC_SMALL_H", "PERSIST_STATIC", "STANDARD"]
Direction = Literal["forward", "backward"]

SMALL_H = {
    ("RNN", "forward"): 384, ("LSTM", "forward"): 192, ("GRU", "forward"): 192,
    ("RNN", "backward"): 256, ("LSTM", "backward"): 128, ("GRU", "backward"): 128,
}  # fmt: skip
"""The largest H of the persistent kernel for small ones, by torch.nn's module."""

MULTIPROCESSORS = 98
"""The fewest at which a GPU gets the persistent kernel."""


class Choice(NamedTuple):
    algorithm: Algorithm
    reason: str


def expected_algorithm(module: str, dtype: str, H: int, B: int, D: int, direction: Direction, multiprocessors: int) -> Choice:
    """Return the algorithm for torch.nn's `module` ("RNN", "LSTM" or "GRU") with D inputs, H units and B sequences, in one direction of its
    training."""
    small = SMALL_H[module, direction]
    if dtype != "float64" and small >= H:
        return Choice("PERSIST_STATIC_SMALL_H", f"H ≤ {small} for the {direction} pass of {module}")
    reason = refusal(module, dtype, H, B, D, multiprocessors)
    return Choice("STANDARD", reason) if reason else Choice("PERSIST_STATIC", "float16, H ≤ 1024, H and D multiples of 128, B ≤ 128")


def refusal(module: str, dtype: str, H: int, B: int, D: int, multiprocessors: int) -> str:
    """Why a layer doesn't get PERSIST_STATIC, or ""."""
    rules = {
        f"{dtype} is not float16": dtype != "float16",
        "H > 1024": H > 1024,
        "H is no multiple of 128": H % 128 != 0,
        "D is no multiple of 128": D % 128 != 0,
        f"fewer than {MULTIPROCESSORS} multiprocessors": multiprocessors < MULTIPROCESSORS,
        "never for a GRU": module == "GRU",
        "B is no multiple of 8": B % 8 != 0,
        "B > 128": B > 128,
        "B ≥ 96 and H ≥ 896": module == "RNN" and B >= 96 and H >= 896,
    }
    return next((reason for reason, holds in rules.items() if holds), "")


DIRECTIONS: dict[Mode, tuple[Direction, ...]] = {"inference": ("forward",), "training": ("forward", "backward"), "backward": ("backward",)}


def name_algorithms(module: str, case: Case, multiprocessors: int) -> str:
    """The algorithms of a case in words: "PERSIST_STATIC", or of a training whose passes differ,
    "PERSIST_STATIC_SMALL_H, backward STANDARD"."""
    directions = DIRECTIONS[case.mode]
    found = [expected_algorithm(module, case.dtype, case.H, case.B, case.D, d, multiprocessors).algorithm for d in directions]
    return found[0] if len(set(found)) == 1 else f"{found[0]}, backward {found[1]}"
