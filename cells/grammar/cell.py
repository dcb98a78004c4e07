"""A cell: one function of states, an input and learned values, and what its signature says.

    def minimal(h, x, W, b):
        z = tanh(W.z(x) + b.z)
        u = sigmoid(W.uh(h) + W.uz(z) + b.u)
        return u * h + (1 - u) * z

What stands before `x` are the states, the first of which is the output. `W.name(v)` applies a learned matrix, `b.name`
and `p.name` are learned vectors of width H (`b` is what `bias=False` drops), `s.name` learned scalars. `prev(x)` is the input one
step earlier. The function returns the next states.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cells.grammar.error_lines import locate_errors
from cells.grammar.errors import CellError, cell_error
from cells.grammar.functions import set_step_input
from cells.grammar.parameters import LETTERS, Learned
from cells.grammar.torch_equivalent import Twin

Rule = float | tuple[float, float] | Callable[[Tensor], None]
"""How a learned value begins: filled with a number, drawn from U(low, high), or filled in place by a law."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrence and what is known about it.

    `parameters` is the paper's count as a formula in D and H; `twin` the torch.nn module of the same equations;
    `init` overrides the initialisation, by parameter ("b.f") or by kind ("W"): a value to fill with, a
    `(low, high)` pair to draw from, or a law of `cells.grammar.initializers`. Everything else is drawn from U(-1/√H, 1/√H), as torch.nn
    does, but
    that a scalar starts at 1. `variants` are other initialisations that papers give for it, by name: see `initialised`. `domain` has
    the `(low, high)` from which an initial state is drawn where one is random and not every value makes sense for it.

    `heads` makes matrices of a state block-diagonal, by name ({"W.zh": 4}): each head mixes its own H/heads units, and the matrix is
    (heads, H/heads, H/heads). The schedules run it as the H×H matrix that it is a part of, so it saves parameters and no time.
    `start` has the number that a state begins with where none is given, by name; 0 for the others.
    """

    step: Callable[..., Any]
    paper: str = ""
    parameters: str = ""
    twin: Twin | None = None
    init: Mapping[str, Rule] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Rule]] = field(default_factory=dict)
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    heads: Mapping[str, int] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.step.__name__

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by name where a module holds it under its own, as a class is, or one of its step; a copy is the cell itself."""
        module = self.step.__module__
        held = getattr(sys.modules.get(module), self.name, None)
        if held is self:
            return _named, (module, self.name)
        if isinstance(held, Cell) and held.step is self.step:
            return _named, (module, self.name, dict(self.init))
        facts = (self.paper, self.parameters, self.twin, self.init, self.variants, self.domain, self.heads, self.start)
        return Cell, (self.step, *(dict(fact) if isinstance(fact, Mapping) else fact for fact in facts))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Cell":
        return self

    def with_init(self, rules: str | Mapping[str, Rule]) -> "Cell":
        """The same equations with another initialisation: one of `variants` by name, or rules as in `init`.

        Raises CellError for a name that isn't among the variants."""
        if isinstance(rules, str) and rules not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise CellError(f"{self.name}: no initialisation is called {rules!r}: beside the default there is {known}")
        return replace(self, init=self.variants[rules] if isinstance(rules, str) else rules)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The states' names, the output first."""
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
            raise cell_error(self.step, f"{early[0]} is what is learned, and comes after `x`: def {self.name}(h, x, W, b)")
        if unknown:
            raise cell_error(self.step, f"after `x` come only W, b, p and s, not {', '.join(sorted(unknown))}")
        return tuple(names[: names.index("x")])

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Those of LETTERS that the function takes."""
        return tuple(inspect.signature(self.step).parameters)[len(self.states) + 1 :]

    def __call__(self, states: Sequence[Any], x: Any, learned: Mapping[str, Any], before: Any = None) -> tuple[Any, ...]:
        """The next states from `states`, the input `x` of one time step, and what is learned by letter. `before` is the input of the
        step before, None at the first."""
        with set_step_input(x, before):
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
        """Every learned value by name ("W.z", "b.u"), in the order the equations first use it, and its shape.

        Raises CellError for an H that a matrix's heads can't share."""
        found: dict[str, tuple[int, ...]] = {}

        def note(key: str, shape: tuple[int, ...]) -> None:
            if found.setdefault(key, shape) != shape:
                raise CellError(f"{key} is applied to widths {found[key][1]} and {shape[1]}: use two names")

        def matrix(name: str) -> Callable[[Tensor], Tensor]:
            def apply(v: Tensor) -> Tensor:
                if not isinstance(v, Tensor):
                    raise CellError(f"W.{name} is applied to {v!r}: a matrix takes a state, x, or what is made of them")
                heads = self.heads.get(f"W.{name}", 1)
                if H % heads:
                    raise CellError(f"the {heads} heads of W.{name} share the units: H must be a multiple of {heads}, not {H}")
                note(f"W.{name}", (heads, H // heads, H // heads) if heads > 1 else (H, v.shape[-1]))
                return v.new_zeros(*v.shape[:-1], H)

            return apply

        def vector(kind: str) -> Callable[[str], Tensor | float]:
            def read(name: str) -> Tensor | float:
                if kind == "b" and not bias:
                    return 0.0
                width = 1 if kind == "s" else H
                note(f"{kind}.{name}", (width,))
                return torch.zeros(width, device="cpu")

            return read

        def zeros(width: int) -> Tensor:
            return torch.zeros(1, width, device="cpu")  # of meta tensors torch computes with its compiler, which takes a second to import

        with locate_errors(self.step):
            vectors = {kind: Learned(vector(kind)) for kind in LETTERS[1:]}
            self([zeros(H) for _ in self.states], zeros(D), {"W": Learned(matrix), **vectors})
        return found

    def round_up_width(self, H: int) -> int:
        """The least hidden width from H on that the cell's heads can share."""
        step = math.lcm(*self.heads.values())
        return -(-H // step) * step

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        """Fill `parameters` (by name, as in `shapes`) in place, from torch's global generator."""
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
        """A random state of that name, made of as many draws from N(0, 1): those, or uniform in the state's `domain`."""
        low, high = self.domain.get(name, (0.0, 0.0))
        return low + (high - low) * torch.special.ndtr(normal) if low < high else normal

    def initial(self, like: Tensor, *shape: int) -> list[Tensor]:
        """Each state as a sequence begins where none is given, of that shape, with the dtype and device of `like`."""
        return [like.new_full(shape, self.start.get(name, 0.0)) for name in self.states]

    @staticmethod
    def learned(parameters: Mapping[str, Tensor]) -> dict[str, Learned]:
        """What is learned by letter, as the function takes it, of `parameters` by name; a `b` that isn't there is 0."""

        def matrix(name: str) -> Callable[[Tensor], Tensor]:
            weight = parameters[f"W.{name}"]
            return lambda v: apply_matrix(weight, v.to(weight.dtype))

        def named(letter: str) -> Learned:
            return Learned(lambda name: parameters[f"{letter}.{name}"])

        return {"W": Learned(matrix), "b": Learned(lambda name: parameters.get(f"b.{name}", 0.0)), "p": named("p"), "s": named("s")}

    def unroll(
        self, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor], before: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The reference: the equations with tensors, one time step after another, in any dtype.

        `x` is (T, B, D), each state (B, H), `before` (B, D) what prev(x) is in the first step, 0 if None. Returns the outputs
        (T, B, H) and the final states.
        """
        learned = self.learned(parameters)

        def outputs() -> Iterator[Tensor]:
            nonlocal states, before
            for x_t in x.unbind(0):
                states = self(states, x_t, learned, before)
                before = x_t
                yield states[0]

        y = list(outputs())
        return torch.stack(y) if y else x.new_zeros(0, *states[0].shape), tuple(states)


def apply_matrix(weight: Tensor, v: Tensor) -> Tensor:
    """A matrix (H, K), or the blocks (heads, n, n) of one, times the last dimension of `v`."""
    if weight.dim() == 2:
        return F.linear(v, weight)
    return torch.einsum("hij,...hj->...hi", weight, v.unflatten(-1, weight.shape[:2])).flatten(-2)


def _named(module: str, name: str, init: Mapping[str, Rule] | None = None) -> Cell:
    held: Cell = getattr(importlib.import_module(module), name)
    return held if init is None else held.with_init(init)


def cell(*step: Callable[..., Any], **facts: Any) -> Callable[[Callable[..., Any]], Cell]:
    """Make a function a `Cell`, with what is known about it: `@cell(paper=…, parameters=…)`. Raises CellError for one without brackets."""
    if step:
        raise CellError(f"what is known of {getattr(step[0], '__name__', 'a cell')} stands in brackets: @cell(paper=…), or no @cell at all")
    return lambda step: Cell(step, **facts)
