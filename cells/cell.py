"""A cell: one function of states, an input and learned values, and what its signature says.

    def minimal(h, x, W, b):
        z = tanh(W.z(x) + b.z)
        u = sigmoid(W.uh(h) + W.uz(z) + b.u)
        return u * h + (1 - u) * z

What stands before `x` are the states, the first of which is the output. `W.name(v)` applies a learned matrix, `b.name`
and `p.name` are learned vectors of width H (`b` is what `bias=False` drops). The function returns the next states.
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

from cells.fault import CellError, fault, located
from cells.twin import Twin

Rule = float | tuple[float, float] | Callable[[Tensor], None]
"""How a learned value begins: filled with a number, drawn from U(low, high), or filled in place by a law."""


class Learned:
    """`W`, `b` or `p` inside a cell: an attribute for every learned value."""

    def __init__(self, read: Callable[[str], Any]):
        self._read = read

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._read(name)


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrence and what is known about it.

    `parameters` is the paper's count as a formula in D and H; `twin` the torch.nn module of the same equations;
    `init` overrides the initialisation, by parameter ("b.f") or by kind ("W"): a value to fill with, a
    `(low, high)` pair to draw from, or a law of `cells.draws`. Everything else is drawn from U(-1/√H, 1/√H), as torch.nn does.
    `variants` are other initialisations that papers give for it, by name: see `initialised`. `domain` has the `(low, high)` from
    which an initial state is drawn where one is random and not every value makes sense for it.
    """

    step: Callable[..., Any]
    paper: str = ""
    parameters: str = ""
    twin: Twin | None = None
    init: Mapping[str, Rule] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Rule]] = field(default_factory=dict)
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)

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
        facts = (self.paper, self.parameters, self.twin, dict(self.init), dict(self.variants), dict(self.domain))
        return Cell, (self.step, *facts)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Cell":
        return self

    def initialised(self, rules: str | Mapping[str, Rule]) -> "Cell":
        """The same equations with another initialisation: one of `variants` by name, or rules as in `init`.

        Raises CellError for a name that isn't among the variants."""
        if isinstance(rules, str) and rules not in self.variants:
            known = ", ".join(self.variants) or "none"
            raise CellError(f"{self.name}: no initialisation is called {rules!r}: beside the default there is {known}")
        return replace(self, init=self.variants[rules] if isinstance(rules, str) else rules)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The states' names, the output first."""
        names = list(inspect.signature(self.step).parameters)
        if "x" not in names or names.index("x") == 0:
            raise fault(self.step, f"write the states, then `x`: def {self.name}(h, x, W, b)")
        unknown = set(names[names.index("x") + 1 :]) - {"W", "b", "p"}
        if unknown:
            raise fault(self.step, f"after `x` come only W, b and p, not {', '.join(sorted(unknown))}")
        return tuple(names[: names.index("x")])

    def __call__(self, states: Sequence[Any], x: Any, W: Any, b: Any, p: Any) -> tuple[Any, ...]:
        """The next states from `states` and the input `x` of one time step."""
        wanted = inspect.signature(self.step).parameters
        learned = {key: value for key, value in (("W", W), ("b", b), ("p", p)) if key in wanted}
        result = self.step(*states, x, **learned)
        result = result if isinstance(result, tuple) else (result,)
        if len(result) != len(self.states):
            raise fault(
                self.step,
                f"returns {len(result)} states, its signature has {len(self.states)}: "
                f"return the next {', '.join(self.states)}, in that order",
            )
        if not isinstance(states[0], Tensor):
            return result
        pairs = zip(result, states, strict=True)
        return tuple(r.to(s.dtype).expand_as(s) if isinstance(r, Tensor) else torch.full_like(s, r) for r, s in pairs)

    def shapes(self, D: int, H: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """Every learned value by name ("W.z", "b.u"), in the order the equations first use it, and its shape."""
        found: dict[str, tuple[int, ...]] = {}

        def note(key: str, shape: tuple[int, ...]) -> None:
            if found.setdefault(key, shape) != shape:
                raise CellError(f"{key} is applied to widths {found[key][1]} and {shape[1]}: use two names")

        def matrix(name: str) -> Callable[[Tensor], Tensor]:
            def apply(v: Tensor) -> Tensor:
                if not isinstance(v, Tensor):
                    raise CellError(f"W.{name} is applied to {v!r}: a matrix takes a state, x, or what is made of them")
                note(f"W.{name}", (H, v.shape[-1]))
                return v.new_zeros(*v.shape[:-1], H)

            return apply

        def vector(kind: str) -> Callable[[str], Tensor | float]:
            def read(name: str) -> Tensor | float:
                if kind == "b" and not bias:
                    return 0.0
                note(f"{kind}.{name}", (H,))
                return torch.zeros(H, device="meta")

            return read

        def zeros(width: int) -> Tensor:
            return torch.zeros(1, width, device="meta")

        with located(self.step):
            self([zeros(H) for _ in self.states], zeros(D), Learned(matrix), Learned(vector("b")), Learned(vector("p")))
        return found

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        """Fill `parameters` (by name, as in `shapes`) in place, from torch's global generator."""
        for name, value in parameters.items():
            bound = 1 / math.sqrt(value.shape[0])
            rule = self.init.get(name, self.init.get(name[0], (-bound, bound)))
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

    @staticmethod
    def learned(parameters: Mapping[str, Tensor]) -> tuple[Learned, Learned, Learned]:
        """The W, b and p of `parameters` by name, as the function takes them; a `b` that isn't there is 0."""

        def matrix(name: str) -> Callable[[Tensor], Tensor]:
            weight = parameters[f"W.{name}"]
            return lambda v: F.linear(v.to(weight.dtype), weight)

        b = Learned(lambda name: parameters.get(f"b.{name}", 0.0))
        return Learned(matrix), b, Learned(lambda name: parameters[f"p.{name}"])

    def unroll(self, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The reference: the equations with tensors, one time step after another, in any dtype.

        `x` is (T, B, D), each state (B, H). Returns the outputs (T, B, H) and the final states.
        """

        W, b, p = self.learned(parameters)

        def outputs() -> Iterator[Tensor]:
            nonlocal states
            for x_t in x.unbind(0):
                states = self(states, x_t, W, b, p)
                yield states[0]

        y = list(outputs())
        return torch.stack(y) if y else x.new_zeros(0, *states[0].shape), tuple(states)


def _named(module: str, name: str, init: Mapping[str, Rule] | None = None) -> Cell:
    held: Cell = getattr(importlib.import_module(module), name)
    return held if init is None else held.initialised(init)


def cell(**facts: Any) -> Callable[[Callable[..., Any]], Cell]:
    """Make a function a `Cell`, with what is known about it: `@cell(paper=…, parameters=…)`."""
    return lambda step: Cell(step, **facts)
