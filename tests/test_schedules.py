"""The schedules: every cell on each of them against its equations in float64, outputs and all gradients."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import cells
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.layer.autograd import Recurrence
from kernels.layer.select import SCHEDULES
from tests import custom
from tests.reference import agree, check, draws, given_cell, leaves, outputs, problem, rows, solve
from tests.sampling import sample
from tests.tolerances import TOLERANCE

SIZES = [(1, 1, 1, 1), (5, 1, 3, 17), (3, 2, 33, 1), (3, 2, 1, 33), (1, 4, 17, 17), (2, 3, 7, 100)]
COMPILED = [(3, 31, 5, 17), (9, 33, 5, 17), (17, 2, 3, 5), (3, 70, 4, 9)]
"""T, B, D, H; those of COMPILED are around what its loop takes in one go: 32 rows, and 8 steps ahead."""

EACH = ["compiled", "stepwise", "persistent"]
BOTH = EACH[:2]
KINDS = ("minimal", "lstm", "gru_reset_before")
"""One state, two states, and a second stage in a step."""


@sample("case, backend", [(name, size) for name in cells.DEFAULT for size in (SIZES if name in KINDS else SIZES[1::4])], EACH)
def test_cells(case, backend):
    """In float32, interpreted and compiled: a cell of each kind at all sizes, the others at two."""
    name, size = case
    check(draws(cells.load(name), *size), backend, torch.float32)


@sample("name, size", KINDS, COMPILED)
def test_blocks(name, size):
    """Around the blocks of rows and steps of the compiled loop."""
    check([problem(cells.load(name), *size)], "compiled", torch.float32)


@sample("name, size", KINDS, [SIZES[0], SIZES[-1], COMPILED[1]])
def test_float64(name, size):
    """The compiled loop in double: its own sigmoid, tanh and products to the last digits."""
    check(draws(cells.load(name), *size, dtype=torch.float64), "compiled", torch.float64)


@sample("name, dtype, backend", KINDS, [torch.float16, torch.bfloat16], BOTH)
def test_sixteen_bit(name, dtype, backend):
    """In 16 bit, with states carried in float32."""
    check([problem(cells.load(name), 3, 2, 5, 17, dtype=dtype)], backend, dtype)


@sample("name, backend", list(custom.CELLS), EACH)
def test_custom_cells(name, backend):
    """Cells that users may write, from peepholes to three stages; the persistent kernel takes what has a product in its loop."""
    if backend == "persistent" and not plan(custom.CELLS[name]).stages:
        backend = "stepwise"
    cell = custom.CELLS[name]
    check(draws(cell, 3, 3, 17 if plan(cell).elementwise_input else 5, 17), backend, torch.float32)


@pytest.mark.parametrize("name", [*KINDS, "peephole", "learned_bias", "namesakes", "autonomous"])
def test_no_bias(name):
    """All `b` left out, all `p` still there."""
    check([given_cell(name, 3, 2, 5, 17, bias=False)], "compiled", torch.float32)


@settings(max_examples=15)
@given(st.sampled_from(cells.DEFAULT), st.integers(1, 12), st.integers(1, 80), st.integers(1, 40), st.integers(1, 70))
@example("lstm", 2, 65, 16, 64)
def test_any_size_compiled(name, T, B, D, H):
    check(draws(cells.load(name), T, B, D, H), "compiled", torch.float32)


@settings(max_examples=6)
@given(st.sampled_from(cells.DEFAULT), st.integers(1, 4), st.integers(1, 12), st.integers(1, 20), st.integers(12, 90))
def test_any_size_stepwise(name, T, B, D, H):
    check(draws(cells.load(name), T, B, D, H), "stepwise", torch.float32)


@pytest.mark.parametrize("backend", BOTH)
def test_small_values(backend):
    """CFN without input: its state decays to nothing, and what is left is as accurate as what it started from."""
    p = problem(cells.load("cfn"), 24, 2, 5, 17)
    check([p.with_given(x=torch.zeros_like(p.given["x"]))], backend, torch.float32)


@sample("name, backend, through", KINDS, EACH, ["y", "final"])
def test_upstream(name, backend, through):
    """Gradients that arrive only through the outputs, or only through the final states."""
    p = problem(cells.load(name), 3, 2, 5, 17)
    ends = [end for end in p.upstream if end.startswith(through)]
    check([p], backend, torch.float32, through=ends)


@pytest.mark.parametrize("backend", EACH)
def test_one_final_state(backend):
    """Of two final states only the second has a gradient."""
    check([problem(cells.load("lstm"), 3, 2, 5, 17)], backend, torch.float32, through=["final c"])


@sample("name, part, backend", KINDS, ["x", "states", "first weight", "recurrent weights", "all but one", "all but x", "all but h"], BOTH)
def test_frozen(name, backend, part):
    """Whatever takes no gradient gets none, and changes no other."""
    p = problem(cells.load(name), 3, 2, 5, 17)
    weights = list(p.weights)
    recurrent = [f"W.{matrix}" for matrix in plan(p.cell).recurrent]
    frozen = {
        "x": ["x"], "states": p.cell.states, "first weight": weights[:1], "recurrent weights": recurrent,
        "all but one": [n for n in p.given if n != weights[-1]], "all but x": [n for n in p.given if n != "x"],
        "all but h": [n for n in p.given if n != "h"],
    }[part]  # fmt: skip
    check([p], backend, torch.float32, frozen=frozen)


STRIDED: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "sliced": lambda t: t.repeat_interleave(2, dim=-1)[..., ::2],
    "expanded": lambda t: t[:, :1].expand(t.shape),
    "offset": lambda t: torch.cat([t.new_zeros(1), t.flatten()])[1:].view(t.shape),
}


@sample("name, how, backend", KINDS, list(STRIDED), BOTH)
def test_strides(name, backend, how):
    """Whatever is given however it lies in memory, and upstream gradients too."""
    p = problem(cells.load(name), 3, 4, 5, 17)
    moved = {name: STRIDED[how](value) for name, value in p.given.items() if how != "expanded" or name not in p.weights}
    upstream = {name: STRIDED[how](value) for name, value in p.upstream.items()}
    check([replace(p.with_given(**moved), upstream=upstream)], backend, torch.float32)


@sample("name, T, backend", [*KINDS, "peephole", "crossed", "nested", "squashed"], [1, 9], BOTH)
def test_inference(name, backend, T):
    """Without gradients less is kept, and the same numbers come out."""
    p = given_cell(name, T, 3, 5, 17)
    trained = outputs(leaves(p), backend)
    with torch.no_grad():
        inferred = outputs(p, backend)
    agree([inferred], [trained], TOLERANCE["two ways", torch.float32])
    assert not any(value.requires_grad for value in inferred.values())


@pytest.mark.parametrize("backend", BOTH)
def test_inputs_stay(backend):
    """Nothing given is written to."""
    p = problem(cells.load("gru"), 3, 2, 5, 17)
    before = {n: v.clone() for n, v in [*p.given.items(), *p.upstream.items()]}
    solve(p, backend, torch.float32)
    assert all(torch.equal(before[n], v) for n, v in [*p.given.items(), *p.upstream.items()])


@pytest.mark.parametrize("backend", BOTH)
def test_final_states_are_their_own(backend):
    """They share no memory with the outputs, whoever writes to which."""
    out = outputs(problem(cells.load("lstm"), 3, 2, 5, 17), backend)
    assert len({value.untyped_storage().data_ptr() for value in out.values()}) == 3


@pytest.mark.parametrize("backend", BOTH)
def test_memory_of_a_former_run(backend):
    """A second backward pass over a kept graph gives the same gradients."""
    p = problem(cells.load("lstm"), 3, 2, 5, 17)
    x = p.given["x"].clone().requires_grad_()
    out = outputs(p.with_given(x=x), backend)["y"]
    first, second = (torch.autograd.grad(out, x, p.upstream["y"], retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_one_thread():
    """However many threads share the rows, the same numbers come out."""
    p = problem(cells.load("lstm"), 3, 33, 5, 17)
    two = solve(p, "compiled", torch.float32)
    torch.set_num_threads(1)
    try:
        one = solve(p, "compiled", torch.float32)
    finally:
        torch.set_num_threads(2)
    agree([one], [two], TOLERANCE["two ways", torch.float32])


@sample("name, how, backend", [*KINDS, "reused", "fed", "peephole"], ["", "transposed"], BOTH)
def test_given_rows(name, how, backend):
    """The loop alone, its rows given: it leaves them as they are, and gives their gradients."""
    p = given_cell(name, 3, 2, 5, 17)
    expected = solve(p, backend, torch.float32)
    p = leaves(p)
    tensors, given = rows(p), 3 * len(layout(plan(p.cell)).projections)
    tensors[:given] = [STRIDED[how](t) if how and t is not None else t for t in tensors[:given]]
    before = [None if t is None else t.detach().clone() for t in tensors]
    y, *final = Recurrence.apply(plan(p.cell), SCHEDULES[backend], True, 3, *tensors, *(p.given[s] for s in p.cell.states))
    gradients = torch.autograd.grad([y, *final], list(p.given.values()), list(p.upstream.values()))
    found = dict(zip(expected, [y, *final, *gradients], strict=True))
    agree([found], [expected], TOLERANCE["two ways", torch.float32])
    assert all(t is None or torch.equal(t, b) for t, b in zip(tensors, before, strict=True))


def test_no_recurrence():
    """A cell whose step reads no state: nothing but what stands in front of the loop."""

    def memoryless(h, x, W, b):
        return cells.grammar.functions.tanh(W.x(x) + b.h)

    check([problem(cells.Cell(memoryless), 3, 2, 5, 17)], "compiled", torch.float32)
    check([problem(cells.Cell(memoryless), 3, 2, 5, 17)], "stepwise", torch.float32)


def test_run_takes_no_gradient_it_need_not():
    """Where nothing wants a gradient, none is prepared, whatever the mode."""
    p = problem(cells.load("minimal"), 2, 2, 3, 5)
    assert all(value.grad_fn is None for value in outputs(p, "compiled").values())
