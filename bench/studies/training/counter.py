"""Sets the weights of one unit by hand so that it counts: up by one for each a, and down by one for each b.

The memory of an LSTM has no bound. With the forget gate at 1 and candidates of ±1, c is the count itself, exactly, up to the 2²⁴ that
float32 counts to. The state of a GRU or a MinimalRNN is a weighted mean of values in [-1, 1], so in one unit some two of n counts lie at
most 2/(n - 1) apart, whatever the weights; and what a step adds shrinks as the state nears 1, so that as many steps down don't lead back.
With a constant gate u, the state after n steps up and n down is -(1 - uⁿ)².
"""

import torch

from kernels import RNN

SATURATED = 200.0
"""A pre-activation at which σ is exactly 1, and tanh exactly ±1, in float32."""
KEEPS = 16.0
"""The bias of the gate that keeps a bounded state: 1 - σ = 2⁻²³, twice the smallest step of float32 below 1."""
WEIGHTS = {
    "lstm": {"W.gx": [[SATURATED, -SATURATED]], "b.i": [SATURATED], "b.f": [SATURATED], "b.o": [SATURATED]},
    "gru": {"W.nx": [[SATURATED, -SATURATED]], "b.z": [KEEPS]},
    "minimal": {"W.z": [[SATURATED, -SATURATED]], "b.u": [KEEPS]},
}
"""The parameters that aren't 0, by cell; the inputs are a and b, one-hot."""
COUNTS = (10, 1_000, 100_000)


def make_counter(cell: str, backend: str = "auto") -> RNN:
    """Returns a float32 layer of one unit with the weights of a counter, on the CPU.

    Args:
        cell: A cell of WEIGHTS.
        backend: The backend of the layer.
    """
    rnn = RNN(cell, 2, 1, backend=backend)
    zeros = {name: torch.zeros_like(value) for name, value in rnn.weights().items()}
    rnn.set_weights(zeros | {name: torch.tensor(value) for name, value in WEIGHTS[cell].items()})
    return rnn


@torch.no_grad()
def count(rnn: RNN, up: int, down: int) -> float:
    """Returns the count that a counter has after `up` steps of a and `down` of b: its last state over what the first step adds."""
    letters = torch.eye(2)[:, None, None]

    def run(letter: int, steps: int, states: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        _, last = rnn(letters[letter].expand(steps, 1, 2).contiguous(), states if len(states) > 1 else states[0]) if steps else (0, states)
        return last if isinstance(last, tuple) else (last,)

    zero = tuple(torch.zeros(1, 1, 1) for _ in rnn.cell.states)
    return (run(1, down, run(0, up, zero))[-1] / run(0, 1, zero)[-1]).item()


def measure_counters(cell: str) -> dict[str, float]:
    """Returns by how many counts the counter of a cell is off after as many steps up and down, for each of COUNTS; {} without a counter."""
    return {f"set by hand: off after {n:,} up and down": abs(count(make_counter(cell), n, n)) for n in COUNTS if cell in WEIGHTS}
