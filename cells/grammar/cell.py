"""A cell: a function from the states, an input and the parameters to the next states.

    def minimal(h, x, W, b):
        z = tanh(W.z(x) + b.z)
        u = sigmoid(W.uh(h) + W.uz(z) + b.u)
        return u * h + (1 - u) * z

The arguments before `x` are the states; the first one is the output. `W.name(v)` applies a trainable matrix, and `W.name.T(v)` applies it
transposed. `b.name` and `p.name` are trainable vectors (H) (`bias=False` removes `b`), and `s.name` is a trainable scalar. `prev(x)` is the
input of the step before, and `time()` the number of the step. The function returns the next states.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from cells.grammar.error_lines import locate_errors
from cells.grammar.errors import CellError, cell_error
from cells.grammar.functions import set_step_input
from cells.grammar.parameters import LETTERS, Matrix, Parameters, apply_matrix, find_matrix
from cells.grammar.torch_equivalent import TorchEquivalent

Rule = float | tuple[float, float] | Callable[[Tensor], None]
"""The initialization of a parameter: a number to fill it with, U(low, high), or a function that fills it in place."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrence, and its metadata.

    Attributes:
        step: the function.
        paper: the source.
        parameters: the parameter count of the paper, as a formula in D and H.
        torch_equivalent: the torch.nn module of the same equations.
        init: the initialization by parameter ("b.f") or by kind ("W"): a number, a `(low, high)` pair for a uniform distribution, or one
            of `cells.grammar.initializers`. Default: U(-1/√H, 1/√H), as in torch.nn; 1 for a scalar.
        variants: other initializations from papers, by name; see `with_init`.
        domain: by state, the `(low, high)` from which random initial states are drawn, if not every value is valid.
        heads: by matrix of a state ({"W.zh": 4}), the number of its diagonal blocks. Each head mixes its own H/heads units, and the
            parameter is (heads, H/heads, H/heads). Only the blocks are multiplied, but by "persistent" and "newton": their H×H matrix has
            zeros, so that there a NaN or inf in one head reaches all heads of its sequence.
        start: by state, the number that a sequence starts from by default; 0 for the others.
        draws_masks: True for the form in training of a cell with zoneout or dropout, which `cells.grammar.masked` makes.
    """

    step: Callable[..., Any]
    paper: str = ""
    parameters: str = ""
    torch_equivalent: TorchEquivalent | None = None
    init: Mapping[str, Rule] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Rule]] = field(default_factory=dict)
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    heads: Mapping[str, int] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    draws_masks: bool = False

    @property
    def name(self) -> str:
        """Returns the name of the function."""
        return self.step.__name__

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles a cell by name, as a class is, if a module holds it or a cell of the same function under that name."""
        module = self.step.__module__
        held = getattr(sys.modules.get(module), self.name, None)
        if held is self:
            return _named, (module, self.name)
        if isinstance(held, Cell) and held.step is self.step:
            return _named, (module, self.name, dict(self.init))
        facts = (self.paper, self.parameters, self.torch_equivalent, self.init, self.variants, self.domain, self.heads, self.start)
        return Cell, (self.step, *(dict(fact) if isinstance(fact, Mapping) else fact for fact in facts))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Cell":
        return self

    def with_init(self, rules: str | Mapping[str, Rule]) -> "Cell":
        """Returns the same equations with another initialization.

        Args:
            rules: the name of one of `variants`, or rules as in `init`.

        Raises:
            CellError: there is no variant of that name.
        """
        if isinstance(rules, str) and rules not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise CellError(f"{self.name}: no initialisation is called {rules!r}: beside the default there is {known}")
        return replace(self, init=self.variants[rules] if isinstance(rules, str) else rules)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Returns the names of the states, the output first; raises CellError if the signature breaks the grammar."""
        if inspect.iscoroutinefunction(self.step) or inspect.isgeneratorfunction(self.step):
            raise cell_error(self.step, "return the next states: a cell neither yields nor awaits")
        parameters = inspect.signature(self.step).parameters.values()
        names = [p.name for p in parameters]
        starred = [p.name for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if starred:
            raise cell_error(
                self.step, f"each state and letter has a name of its own, so there is no *{starred[0]}: def {self.name}(h, x, W, b)"
            )
        if "x" not in names or names.index("x") == 0:
            raise cell_error(self.step, f"write the states, then `x`: def {self.name}(h, x, W, b)")
        unknown = set(names[names.index("x") + 1 :]) - set(LETTERS)
        early = [name for name in names[: names.index("x")] if name in LETTERS]
        if early:
            raise cell_error(self.step, f"{early[0]} holds parameters, and must come after `x`: def {self.name}(h, x, W, b)")
        if unknown:
            raise cell_error(self.step, f"after `x` come only W, b, p and s, not {', '.join(sorted(unknown))}")
        return tuple(names[: names.index("x")])

    @cached_property
    def rewritings(self) -> "dict[str, Cell]":
        """Returns the cells that `cells.grammar.masked` has made of this one, by kind."""
        return {}

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Returns the kinds of parameters that the function takes, of LETTERS."""
        return tuple(inspect.signature(self.step).parameters)[len(self.states) + 1 :]

    def __call__(
        self, states: Sequence[Any], x: Any, learned: Mapping[str, Any], before: Any = None, number: Any = None
    ) -> tuple[Any, ...]:
        """Computes the next states.

        Args:
            states: the states, (B, H) each, or symbols.
            x: the input of the time step, (B, D), or a symbol.
            learned: the parameters by kind, from `bind_parameters`.
            before: the input of the step before. Default: 0
            number: the number of the step, which time() returns, behind the columns of its masks if the cell draws any.

        Raises:
            CellError: the function returns the wrong number of states, or a list.
        """
        with set_step_input(x, before, number, self.draws_masks):
            result = self.step(*states, x, **{letter: learned[letter] for letter in self.letters})
        if isinstance(result, list):
            raise cell_error(self.step, f"returns a list: return the next {', '.join(self.states)}, with commas alone")
        result = result if isinstance(result, tuple) else (result,)
        if len(result) != len(self.states):
            raise cell_error(
                self.step,
                f"returns {len(result)} states, its signature has {len(self.states)}: "
                f"return the next {', '.join(self.states)}, in that order",
            )
        if not isinstance(states[0], Tensor):
            return result
        pairs = zip(result, states, strict=True)
        return tuple(r.to(s.dtype).expand_as(s) if isinstance(r, Tensor) else torch.full_like(s, r) for r, s in pairs)

    def shapes(self, D: int, H: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """Returns the shape of every parameter by name ("W.z", "b.u"), in the order in which the equations first use them.

        Args:
            D: the input size.
            H: the hidden size.
            bias: whether the cell has its biases `b`.

        Raises:
            CellError: H is not a multiple of a matrix's heads, or the function breaks the grammar.
        """
        found: dict[str, tuple[int, ...]] = {}

        def note(key: str, shape: tuple[int, ...]) -> None:
            if found.setdefault(key, shape) != shape:
                raise CellError(f"{key} is applied to widths {found[key][1]} and {shape[1]}: use two names")

        def apply(name: str, v: Tensor) -> Tensor:
            if not isinstance(v, Tensor):
                raise CellError(f"W.{name} is applied to {v!r}: a matrix takes a state, x, or what is made of them")
            name = name.removesuffix(".T")
            heads = self.heads.get(f"W.{name}", 1)
            if H % heads:
                raise CellError(f"the {heads} heads of W.{name} share the units: H must be a multiple of {heads}, not {H}")
            note(f"W.{name}", (heads, H // heads, H // heads) if heads > 1 else (H, v.shape[-1]))
            return v.new_zeros(*v.shape[:-1], H)

        def vector(kind: str) -> Callable[[str], Tensor | float]:
            def read(name: str) -> Tensor | float:
                if kind == "b" and not bias:
                    return 0.0
                width = 1 if kind == "s" else H
                note(f"{kind}.{name}", (width,))
                return torch.zeros(width, device="cpu")

            return read

        def zeros(width: int) -> Tensor:
            return torch.zeros(1, width, device="cpu")  # meta tensors would import torch's compiler, which takes a second

        with locate_errors(self.step):
            vectors = {kind: Parameters(vector(kind)) for kind in LETTERS[1:]}
            learned = {"W": Parameters(partial(Matrix, apply)), **vectors}
            self([zeros(H) for _ in self.states], zeros(D), learned, number=zeros(1))
        return found

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        """Initializes the parameters, given by name as in `shapes`, in place from torch's global generator."""
        for name, value in parameters.items():
            bound = 1 / math.sqrt(value.shape[0] if value.dim() < 3 else value.shape[0] * value.shape[1])
            default: Rule = 1.0 if name[0] == "s" else (-bound, bound)
            rule = self.init.get(name, self.init.get(name[0], default))
            with torch.no_grad():
                if callable(rule):
                    rule(value)
                    continue
                low, high = rule if isinstance(rule, tuple) else (rule, rule)
                value.uniform_(low, high) if low < high else value.fill_(low)

    def random_state(self, name: str, normal: Tensor) -> Tensor:
        """Maps samples from N(0, 1) to random values of a state: the samples themselves, or uniform in the state's `domain`."""
        low, high = self.domain.get(name, (0.0, 0.0))
        return low + (high - low) * torch.special.ndtr(normal) if low < high else normal

    def initial(self, like: Tensor, *shape: int) -> list[Tensor]:
        """Returns the default initial states of that shape, with the dtype and device of `like`."""
        return [like.new_full(shape, self.start.get(name, 0.0)) for name in self.states]

    @staticmethod
    def bind_parameters(parameters: Mapping[str, Tensor]) -> dict[str, Parameters]:
        """Returns the parameters by kind, as the function takes them, from tensors by name; a missing `b` is 0."""

        def apply(name: str, v: Tensor) -> Tensor:
            weight = find_matrix(parameters, f"W.{name}")
            return apply_matrix(weight, v.to(weight.dtype))

        def named(letter: str) -> Parameters:
            return Parameters(lambda name: parameters[f"{letter}.{name}"])

        b = Parameters(lambda name: parameters.get(f"b.{name}", 0.0))
        return {"W": Parameters(partial(Matrix, apply)), "b": b, "p": named("p"), "s": named("s")}

    def unroll(
        self, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor], before: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
        """Runs the cell step by step on tensors of any dtype: the eager reference.

        Args:
            x: the input, (T, B, D).
            states: the initial states, (B, H) each.
            parameters: the parameters by name.
            before: prev(x) in the first step, (B, D). Default: 0
            numbers: time() of each step, (T, 1, 1) or (T, B, 1), behind its masks if the cell draws any. Default: 0, 1, …

        Returns:
            y (T, B, H), and the final states (B, H).
        """
        learned = self.bind_parameters(parameters)
        numbers = count_steps(x) if numbers is None else numbers

        def outputs() -> Iterator[Tensor]:
            nonlocal states, before
            for x_t, number in zip(x.unbind(0), numbers.unbind(0), strict=True):
                states = self(states, x_t, learned, before, number)
                before = x_t
                yield states[0]

        y = list(outputs())
        return torch.stack(y) if y else x.new_zeros(0, *states[0].shape), tuple(states)


def count_steps(x: Tensor, start: float = 0.0) -> Tensor:
    """Returns the numbers of the steps of x (T, B, D) from `start` on, (T, 1, 1), in float64: a period of thousands of steps keeps its
    phase. A trace records them for any T."""
    return torch.ones_like(x[:, :1, :1], dtype=torch.float64).cumsum(0) + (start - 1)


def _named(module: str, name: str, init: Mapping[str, Rule] | None = None) -> Cell:
    held: Cell = getattr(importlib.import_module(module), name)
    return held if init is None else held.with_init(init)


def cell(*step: Callable[..., Any], **facts: Any) -> Callable[[Callable[..., Any]], Cell]:
    """Makes a function a `Cell`, with further arguments of `Cell`: `@cell(paper=…, parameters=…)`.

    Raises:
        CellError: the decorator is used without brackets.
    """
    if step:
        raise CellError(
            f"@cell on {getattr(step[0], '__name__', 'a cell')} needs arguments in parentheses, @cell(paper=…): without any, omit it"
        )
    return lambda step: Cell(step, **facts)
