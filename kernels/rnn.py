"""`RNN`: any cell as a torch module, used like nn.LSTM."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cells
from cells.cell import Cell
from kernels import backend as backends
from kernels import chunked, hoist
from kernels.plan import Plan, plan

Hidden = Tensor | tuple[Tensor, ...]
MEMORY = ("full", "low")


@cache
def _cell(step: Callable[..., Any]) -> Cell:
    """A function's cell: the same for the same function, so that its plan and its kernels are made once."""
    return Cell(step)


class RNN(nn.Module):
    """Layers of a recurrent cell over a sequence, with nn.LSTM's arguments, shapes and state dict habits.

    Arguments: `cell` is a name ("minimal", see `cells.names()`), a `Cell`, or a function in the grammar of `cells.cell`;
    `input_size` D, `hidden_size` H, `num_layers`, `bias`, `batch_first`, `dropout` and `bidirectional` are as in nn.LSTM;
    `backend` is "auto", "eager", "compiled", "stepwise" or "resident". With `memory="low"` a training step keeps the states alone
    and computes the rest again, by large products, as its backward pass reaches it; "eager" has to run a second time for that.

    Called with x (T, B, D), (B, T, D) with `batch_first`, or (T, D), and optionally the initial states
    (num_layers · directions, B, H), zero otherwise: one tensor for a cell with one state, a tuple for several. Returns the
    outputs, (T, B, directions · H) or in x's layout, and the final states in the shape of the initial ones.

    Parameters are named by cell: `W.ih` of the first layer is `W_ih_l0`, in the reverse direction `W_ih_l0_reverse`.
    Raises ValueError, TypeError or RuntimeError where nn.LSTM does, and CellError for a function that is no cell.
    """

    def __init__(
        self,
        cell: str | Cell | Callable[..., Any],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backend: str = "auto",
        memory: str = "full",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(size, int):
                raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout should be a number in range [0, 1], not {dropout}")
        if backend not in backends.NAMES:
            raise ValueError(f"no backend is called {backend!r}: there are {', '.join(backends.NAMES)}")
        if memory not in MEMORY:
            raise ValueError(f"memory is {' or '.join(map(repr, MEMORY))}, not {memory!r}")
        self.cell = cells.load(cell) if isinstance(cell, str) else cell if isinstance(cell, Cell) else _cell(cell)
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", UserWarning, stacklevel=2)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.backend, self.memory = backend, memory
        if self.plan.square and input_size != hidden_size:
            raise ValueError(f"{self.cell.name} uses x unit by unit: input_size must equal hidden_size")
        if self.plan.square and bidirectional and num_layers > 1:
            raise ValueError(f"{self.cell.name} uses x unit by unit: no layer can follow a bidirectional one, which is twice as wide")
        self._names = tuple(self.cell.shapes(input_size, hidden_size, bias))
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * self.directions
            for suffix in self.suffixes(layer):
                for name, shape in self.cell.shapes(width, hidden_size, bias).items():
                    empty = torch.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(name.replace(".", "_") + suffix, nn.Parameter(empty))
        self.reset_parameters()

    @property
    def plan(self) -> Plan:
        """The cell's plan; it is made once and shared by all layers of that cell."""
        return plan(self.cell, self.bias)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]

    def weights(self, suffix: str = "_l0") -> dict[str, Tensor]:
        """A layer's parameters by the names its equations use ("W.ih"); `suffix` is "_l0", "_l1_reverse", …"""
        return {name: getattr(self, name.replace(".", "_") + suffix) for name in self._names}

    def reset_parameters(self) -> None:
        """Initialise as the cell's paper says, otherwise as torch.nn does."""
        for layer in range(self.num_layers):
            for suffix in self.suffixes(layer):
                self.cell.initialise(self.weights(suffix))

    def forward(self, input: Tensor, hx: Hidden | None = None) -> tuple[Tensor, Hidden]:
        x, states, batched = self._arguments(input, hx)
        B, H = x.shape[1], self.hidden_size
        schedule = backends.choose(self.backend, self.plan, x.dtype, x.device, B, H) if B else None
        low = self.memory == "low"
        unroll = chunked.unroll if low else Cell.unroll
        run = chunked.run if low else hoist.run
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction, suffix in enumerate(self.suffixes(layer)):
                sequence = x.flip(0) if direction else x
                initial = [s[len(final)] for s in states]
                weights = self.weights(suffix)
                if schedule is None:
                    y, last = unroll(self.cell, sequence, initial, weights)
                else:
                    y, last = run(self.plan, schedule, sequence, initial, weights)
                outputs.append(y.flip(0) if direction else y)
                final.append(last)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        finals = tuple(torch.stack(s) for s in zip(*final, strict=True))
        if not batched:
            x, finals = x.squeeze(1), tuple(s.squeeze(1) for s in finals)
        elif self.batch_first:
            x = x.transpose(0, 1)
        return x, finals if len(finals) > 1 else finals[0]

    def _arguments(self, input: Any, hx: Hidden | None) -> tuple[Tensor, Sequence[Tensor], bool]:
        """Check as nn.LSTM does: x as (T, B, D), every state as (num_layers · directions, B, H), whether x had a batch."""
        if not isinstance(input, Tensor):
            raise TypeError(f"expected a tensor, got {type(input).__name__}: pad packed sequences first")
        if input.dim() not in (2, 3):
            raise ValueError(f"RNN: Expected input to be 2D or 3D, got {input.dim()}D instead")
        if input.is_floating_point() and torch.is_autocast_enabled(input.device.type):
            input = input.to(next(self.parameters()).dtype)  # the loops carry their states in the weights' precision
        for name, weight in self.named_parameters():
            if input.dtype != weight.dtype:
                raise ValueError(
                    f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}, {name}). "
                    f"Convert input: input.to({weight.dtype}), or convert model: model.to({input.dtype})"
                )
            if input.device != weight.device:
                raise RuntimeError(f"Input and parameter tensors are not at the same device: {input.device}, {name} at {weight.device}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}")
        batched = input.dim() == 3
        x = input.unsqueeze(1) if not batched else input.transpose(0, 1) if self.batch_first else input
        if x.size(0) == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        count = self.num_layers * self.directions
        if hx is None:
            return x, [x.new_zeros(count, x.size(1), self.hidden_size) for _ in self.cell.states], batched
        given = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if len(given) != len(self.cell.states):
            raise ValueError(f"{self.cell.name} has the states {', '.join(self.cell.states)}: got {len(given)} of {len(self.cell.states)}")
        expected = (count, x.size(1), self.hidden_size) if batched else (count, self.hidden_size)
        for name, state in zip(self.cell.states, given, strict=True):
            if tuple(state.shape) != expected:
                raise RuntimeError(f"Expected hidden size {expected} for {name}, got {list(state.shape)}")
            if state.dtype != x.dtype or state.device != x.device:
                raise RuntimeError(f"Expected {name} in {x.dtype} on {x.device}, got {state.dtype} on {state.device}")
        return x, given if batched else [s.unsqueeze(1) for s in given], batched

    def extra_repr(self) -> str:
        shown = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "backend": "auto",
            "memory": "full",
        }  # fmt: skip
        return shown + "".join(f", {k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v)
