"""Plants errors in the gradients of random problems with a kink, and counts which the check before the clock finds.

    python -m tests.planted_gradients [--problems 1000] [--seed 0] [--longest 512]

Each problem has a cell, a size, a dtype and a backend drawn at random. Its answer as it is must pass (else a false alarm), and so must the
float64 reference with some open branches moved to the other side. Each planted error must be found: in float32 a gradient 1% too large,
and 10% of one time step of x's gradient, or of a time step's part of a matrix's gradient, if that exceeds the tolerance; in 16 bit a
gradient of 64 entries and more that is 1% too large or too small, rounded. Where the check says that rounding hides 1% at this size, it
may pass, and is counted as such.

A tenth of the problems has up to `--longest` time steps, the others up to SHORT. On a CPU no fused kernel runs in 16 bit, so their
numerics, float32 states and 16-bit products, stand for one.
"""

import argparse
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.measure import gate, gradient_scale, kinks
from bench.measure.backends import Unsupported, build_workload
from bench.measure.problem import Answer, Problem
from bench.records.tolerance import find_tolerance
from cells import Cell, load
from cells.grammar.functions import abs, hard_sigmoid, hard_tanh, maximum, minimum, relu, sigmoid, tanh, where


def folded(h, x, W, b):
    return abs(W.hx(x) + W.hh(h) + b.h) - 0.5 * h


def clipped(h, x, W):
    z = hard_sigmoid(2 * W.zx(x) + 2 * W.zh(h))
    return z * h + (1 - z) * hard_tanh(3 * W.hx(x) + 3 * W.hh(h))


def chosen(h, c, x, W, b):
    a, z = W.ax(x) + W.ah(h), sigmoid(W.zx(x) + b.z)
    return z * h + (1 - z) * where(a > c, a, c), tanh(a + c)


def bounded(h, x, W, b):
    return minimum(maximum(W.hx(x) + W.hh(h), -0.3), tanh(W.ux(x) + b.u)) + 0.5 * relu(h)


CELLS = {cell.__name__: Cell(cell) for cell in (folded, clipped, chosen, bounded)}
SMOOTH = ("gru", "lstm", "minimal", "vanilla", "cfn")
NAMES = ("indrnn", "ligru", "slstm", "vanilla_relu") * 2 + (*CELLS, *SMOOTH)
DTYPES = ("float32", "float32", "float16", "bfloat16")
SHORT = 32
FUSED = "float32 states"


class RoundedProducts(TorchFunctionMode):
    """While it is active, the operand and the result of a matrix product are rounded, and so are their gradients."""

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.linear:
            return func(*args, **(kwargs or {}))
        v, weight = args
        return func(v.to(self.dtype).to(v.dtype), weight).to(self.dtype).to(v.dtype)


def draw_problem(rng: random.Random, longest: int) -> Problem:
    name, dtype = rng.choice(NAMES), rng.choice(DTYPES)
    most = longest if rng.random() < 0.1 else min(longest, SHORT)
    T, B, H = round(2 ** rng.uniform(0, math.log2(most))), rng.choice((1, 2, 5, 16)), rng.choice((8, 32, 64, 128))
    sizes = T, B, H if name == "folded" else rng.choice((16, H)), H
    cell = CELLS[name] if name in CELLS else load(name)
    return Problem(name, cell, *sizes, getattr(torch, dtype), torch.device("cpu"), rng.randrange(10**6))


def answer_of(problem: Problem, rng: random.Random) -> tuple[str, Answer]:
    """Returns the answer of a backend that can run the problem, and its name. Cells of the tree alone are compiled: it takes long."""
    backends = ("eager",) if problem.name in CELLS else ("eager", "compiled", "compiled", "vendor")
    if problem.dtype != torch.float32:
        backends = (*backends, FUSED)
    for backend in rng.sample(backends, len(backends)):
        if backend == FUSED:
            found = problem.reference(RoundedProducts(problem.dtype), dtype=torch.float32)
            return backend, round_answer(problem, found)
        try:
            return backend, build_workload(backend, problem).answer()
        except Unsupported:
            continue
    raise AssertionError("eager runs everything")


def plant(problem: Problem, answer: Answer, allowed: float, rng: random.Random) -> Iterator[tuple[str, Answer]]:
    """Yields wrong answers with their names."""

    def change(name: str, value: Tensor) -> Answer:
        return Answer(answer.outputs, answer.gradients | {name: value})

    reference = problem.answer.gradients
    if problem.dtype != torch.float32:
        names = [name for name, g in reference.items() if g.numel() >= gradient_scale.ENTRIES and g.any()]
        if names:
            name, factor = rng.choice(names), rng.choice((0.99, 1.01))
            scaled = (answer.gradients[name].double() * factor).to(problem.dtype)
            yield f"1% of a gradient in {str(problem.dtype).removeprefix('torch.')}", change(name, scaled)
        return
    name = rng.choice([name for name, g in reference.items() if g.any()])
    yield "1% of a gradient", change(name, answer.gradients[name] * 1.01)
    t, found = rng.randrange(problem.T), answer.gradients["x"].clone()
    found[t] *= 1.1
    if exceeds(0.1 * reference["x"][t], reference["x"], allowed):
        yield "10% of a step of x", change("x", found)
    name = rng.choice([name for name in problem.weights if name.startswith("W")])
    part = 0.1 * differentiate_step(problem, name, t)
    if exceeds(part, reference[name], allowed):
        yield "10% of a step of a matrix", change(name, answer.gradients[name] + part.float())


def exceeds(part: Tensor, whole: Tensor, allowed: float) -> bool:
    """Returns whether an error is above the tolerance, with a tenth of it for rounding."""
    return (part.abs().max() / whole.abs().max().clamp_min(1e-300)).item() > 1.1 * allowed


def differentiate_step(problem: Problem, name: str, t: int) -> Tensor:
    """Returns the part of a matrix's gradient that time step t contributes."""
    weights = {key: value.double() for key, value in problem.weights.items()}
    own = weights[name].clone().requires_grad_()
    steps = [problem.x[s].double() for s in range(problem.T)]
    states, outputs = tuple(s.double() for s in problem.states), []
    for s, x in enumerate(steps):
        learned = problem.cell.bind_parameters(weights | {name: own} if s == t else weights)
        states = problem.cell(states, x, learned, steps[s - 1] if s else None)
        outputs.append(states[0])
    ends = [(end, d) for end, d in ((torch.stack(outputs), problem.dy), *zip(states, problem.d_final, strict=True)) if end.requires_grad]
    if not ends:
        return torch.zeros_like(own)
    return torch.autograd.grad([e for e, _ in ends], own, [d.double() for _, d in ends], allow_unused=True, materialize_grads=True)[0]


def flip_branches(problem: Problem, rng: random.Random) -> Answer:
    """Returns the reference, rounded, with up to three open branches, or the nearest, on the other side."""
    calls = kinks.find_calls(problem)
    places = [(k, b, h) for k, call in enumerate(calls) for b, h in call.open.nonzero().tolist()]
    taken = rng.sample(places, min(len(places), rng.randint(1, 3)))
    return round_answer(problem, problem.reference(kinks.KinkMode(kinks.turn_branches({}, dict(enumerate(calls)), taken, 1))))


def round_answer(problem: Problem, answer: Answer) -> Answer:
    return Answer([o.to(problem.dtype) for o in answer.outputs], {name: g.to(problem.dtype) for name, g in answer.gradients.items()})


def try_problem(rng: random.Random, longest: int, tell: Callable[[str], None]) -> Counter[tuple[str, str]]:
    """Returns how often each kind of answer was right, missed, or a false alarm."""
    problem, count = draw_problem(rng, longest), Counter[tuple[str, str]]()
    size = f"{problem.name} T={problem.T} B={problem.B} D={problem.D} H={problem.H} {problem.dtype} seed {problem.seed}"
    allowed = find_tolerance(str(problem.dtype).removeprefix("torch."), "ieee")
    backend, answer = answer_of(problem, rng)
    for kind, right in (("as it is", answer), ("flipped", flip_branches(problem, rng))):
        errors, wrong = gate.compare_answer(problem, right, allowed)
        count[kind, "false alarm" if wrong else "passed"] += 1
        if wrong:
            tell(f"false alarm: {size}, {backend}, {kind}: {wrong}")
        assert wrong or max(errors.output, errors.gradient or 0) <= allowed
    for kind, spoiled in plant(problem, answer, allowed, rng):
        errors, wrong = gate.compare_answer(problem, spoiled, allowed)
        hidden = not wrong and (errors.scale or 0) > 0.01
        count[kind, "caught" if wrong else "hidden by rounding, as said" if hidden else "missed"] += 1
        if not wrong:
            words = f"hidden below {errors.scale:.1%}" if hidden else "missed"
            tell(f"{words}: {size}, {backend}: {kind}")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, total = random.Random(options.seed), Counter[tuple[str, str]]()
    for number in range(1, options.problems + 1):
        total += try_problem(rng, options.longest, print)
        if number % 100 == 0 or number == options.problems:
            print(f"{number} problems:", *(f"{kind}: {count} {result}" for (kind, result), count in sorted(total.items())), sep="\n  ")


if __name__ == "__main__":
    main()
