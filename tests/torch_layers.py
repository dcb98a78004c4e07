"""torch.nn's recurrent layers and ours on the same inputs: what they return, and all gradients."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from kernels import RNN
from tests.reference import error
from tests.tolerances import TOLERANCE


def state_list(states: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [states] if isinstance(states, Tensor) else list(states)


def states_of(rnn: RNN, *batch: int) -> Tensor | tuple[Tensor, ...]:
    found = tuple(torch.randn(rnn.num_layers * rnn.directions, *batch, rnn.hidden_size) for _ in rnn.cell.states)
    return found if len(found) > 1 else found[0]


KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "vanilla": nn.RNN, "vanilla_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)}
OPTIONS = [
    dict(zip(("bias", "batch_first", "bidirectional", "num_layers"), values, strict=True))
    for values in itertools.product((True, False), (False, True), (False, True), (1, 2))
]
PAIRS = [(kind, options) for kind in KINDS for options in (OPTIONS if kind == "lstm" else [OPTIONS[k] for k in (3, 6, 8, 13)])]
"""Every combination of options for an LSTM; for the others four, in which any two options are on and off together."""


def describe(value: object) -> str:
    """The name of a kind, or of a combination of options, as a test's id."""
    return " ".join(f"{k}={int(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


LENGTHS = {"falling": [7, 5, 4, 2, 1], "any order": [3, 7, 1, 7, 5], "equal": [4, 4, 4, 4, 4], "one": [6], "steps of one": [1, 1, 1]}


def flat(found: tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, ...]]) -> list[Tensor]:
    """Outputs, then final states."""
    y, final = found
    return [y.data if isinstance(y, PackedSequence) else y, *([final] if isinstance(final, Tensor) else final)]


def results(
    layer: nn.Module, x: Tensor, *rest: object, pack: list[int] | None = None, **options: object
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final states of a layer, and the gradients of x and of the states where they are given, for random upstream ones."""
    x = x.clone().requires_grad_()
    given = pack_padded_sequence(x, pack, layer.batch_first, enforce_sorted=False) if pack else x
    outputs = flat(layer(given, *rest))
    generator = torch.Generator().manual_seed(5)
    loss = sum((o * torch.randn(o.shape, generator=generator, dtype=o.dtype)).sum() for o in outputs)
    leaves = [x] + [s for hx in rest for s in ([hx] if isinstance(hx, Tensor) else hx)]
    return outputs, list(torch.autograd.grad(loss, [*leaves, *layer.parameters()]))


def alike(one: tuple[list[Tensor], list[Tensor]], other: tuple[list[Tensor], list[Tensor]]) -> None:
    for what, found, right in zip(("outputs", "gradients"), one, other, strict=True):
        assert len(found) == len(right)
        for a, b in zip(found, right, strict=True):
            assert a.shape == b.shape and error(a, b) <= TOLERANCE[f"torch.nn {what}", b.dtype]
