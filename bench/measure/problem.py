"""The inputs that all backends of a cell and size get, and the float64 answer that they are compared with."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import cells
from cells.grammar.cell import Cell
from kernels.derive.plan import plan
from kernels.layer import random_masks

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Answer:
    """The outputs (y, then the final states) and the gradients by name: "x", each initial state, each trainable parameter."""

    outputs: list[Tensor]
    gradients: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """A cell at a size, with random inputs, initial states, weights and upstream gradients from a seed.

    Attributes:
        name: The name of the cell in the run.
        x: Inputs (T, B, D).
        states: Initial states, each (B, H).
        dy: Upstream gradient of y (T, B, H).
        d_final: Upstream gradients of the final states, each (B, H).
    """

    name: str
    cell: Cell
    T: int
    B: int
    D: int
    H: int
    dtype: torch.dtype
    device: torch.device
    seed: int

    @property
    def size_error(self) -> str:
        """Returns why the cell can't have this size, or ""."""
        if plan(self.cell).elementwise_input and self.D != self.H:
            return f"{self.name} uses x unit by unit: it takes D = H"
        fitting = plan(self.cell).round_up_width(self.H)
        return "" if fitting == self.H else f"the heads of {self.name} share the units: it takes H = {fitting}, not {self.H}"

    @cached_property
    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self.dtype).to(self.device)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            values = {name: torch.empty(shape) for name, shape in self.cell.shapes(self.D, self.H).items()}
            self.cell.initialise(values)
        return {name: value.to(self.dtype).to(self.device) for name, value in values.items()}

    @cached_property
    def _tensors(self) -> tuple[Tensor, list[Tensor], Tensor, list[Tensor]]:
        T, B, D, H = self.T, self.B, self.D, self.H
        names = self.cell.states
        x, dy = self._normal(T, B, D), self._normal(T, B, H)
        states = [self.cell.random_state(name, self._normal(B, H)) for name in names]
        return x, states, dy, [self._normal(B, H) for _ in names]

    @property
    def x(self) -> Tensor:
        return self._tensors[0]

    @property
    def states(self) -> list[Tensor]:
        return self._tensors[1]

    @property
    def dy(self) -> Tensor:
        return self._tensors[2]

    @property
    def d_final(self) -> list[Tensor]:
        return self._tensors[3]

    @cached_property
    def masks(self) -> Tensor | None:
        """Returns the masks (T, B, columns) of zoneout and dropout, which all backends get in training; None if the cell has none."""
        found = plan(self.cell).masks
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return random_masks.draw(found, self.x.cpu(), self.H).to(self.device) if found else None

    @cached_property
    def answer(self) -> Answer:
        """Returns the float64 reference for exactly the numbers that the backends get."""
        return self.reference()

    @cached_property
    def rounded(self) -> Answer:
        """Returns the answer of the equations in the dtype of the problem."""
        return self.reference(dtype=self.dtype)

    @cached_property
    def inferred(self) -> Tensor:
        """Returns the float64 reference of y (T, B, H) in inference: without masks."""
        if self.masks is None:
            return self.answer.outputs[0]
        weights, states = {name: w.double() for name, w in self.weights.items()}, [s.double() for s in self.states]
        with torch.no_grad():
            return self.cell.unroll(self.x.double(), states, weights)[0]

    def forget_answers(self) -> None:
        """Frees the memory of the answers that are known; they are computed anew if they are needed."""
        for known in ("answer", "rounded", "inferred"):
            self.__dict__.pop(known, None)

    def reference(
        self, mode: AbstractContextManager[object] | None = None, shift: float = 0.0, dtype: torch.dtype = torch.float64
    ) -> Answer:
        """Returns the answer of the equations, step by step.

        Args:
            mode: A context that the cell runs in.
            shift: A part by which every weight is larger.
            dtype: The dtype of all tensors.
        """
        weights = {k: v.to(dtype, copy=True) * (1 + shift) for k, v in self.weights.items()}
        leaves = [self.x.to(dtype, copy=True), *(s.to(dtype, copy=True) for s in self.states), *weights.values()]
        for leaf in leaves:
            leaf.requires_grad_()
        x, *rest = leaves
        states, learned = rest[: len(self.states)], rest[len(self.states) :]
        given = plan(self.cell), x, states, dict(zip(weights, learned, strict=True)), self.masks
        with mode or nullcontext():
            y, final = random_masks.unroll(*given)
        outputs = [y, *final]
        upstream = [self.dy.to(dtype), *(d.to(dtype) for d in self.d_final)]
        gradients = torch.autograd.grad(outputs, leaves, upstream, allow_unused=True, materialize_grads=True)
        names = ["x", *(f"{s}_0" for s in self.cell.states), *weights]
        return Answer([o.detach() for o in outputs], dict(zip(names, gradients, strict=True)))


def make_problem(name: str, T: int, B: int, D: int, H: int, dtype: str, device: str, seed: int) -> Problem:
    """Makes a problem from names.

    Args:
        name: A cell, as `cells.load` takes it.
        T: Time steps.
        B: Sequences.
        D: Inputs.
        H: Units.
        dtype: A key of DTYPES.
        device: A torch device.
        seed: Seeds all random numbers.

    Raises:
        KeyError: A name is unknown.
    """
    return Problem(name, cells.load(name), T, B, D, H, DTYPES[dtype], torch.device(device), seed)
