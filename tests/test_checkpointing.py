"""`memory="low"` on every schedule: the same numbers from chunks of time, and no step of a loop run twice."""

import pytest
import torch

import cells
from kernels.derive.plan import plan
from kernels.layer import checkpointing
from kernels.layer.select import SCHEDULES
from kernels.schedules.interface import PassInputs
from tests import custom
from tests.reference import Problem, agree, check, draws, outputs, problem, solve
from tests.sampling import sample
from tests.tolerances import TOLERANCE

ALL = ["eager", "compiled", "stepwise", "persistent"]
BOTH = pytest.mark.parametrize("backend", ["compiled", "stepwise"])


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(checkpointing, "CHUNK", 3)


FEW = ["minimal", "lstm", "gru_reset_before"]
SIZES = [(6, 1, 3, 9), (1, 1, 1, 1), (4, 2, 33, 1), (2, 2, 5, 17)]
"""T, B, D, H; chunks are 3 steps long."""


def supported(backend: str, p: Problem) -> None:
    """Skip what a schedule can't run."""
    if backend != "eager":
        reason = SCHEDULES[backend].unsupported_reason(plan(p.cell), torch.float32, torch.device("cpu"), *p.given[p.cell.states[0]].shape)
        if reason:
            pytest.skip(f"{backend} {reason}")


@sample("name, backend", FEW, ALL)
def test_cells(name, backend):
    """Two chunks and a step more."""
    p = problem(cells.load(name), 7, 3, 5, 17)
    supported(backend, p)
    check([p], f"{backend}-low", torch.float32)


@sample("name, backend, size", FEW, ALL, SIZES)
def test_sizes(name, backend, size):
    """Whole chunks, less than one, one step, one sequence, one unit."""
    found = draws(cells.load(name), *size)
    supported(backend, found[0])
    check(found, f"{backend}-low", torch.float32)


@sample("name", list(custom.CELLS))
def test_custom_cells(name):
    """Cells that users may write, from peepholes to three stages."""
    cell = custom.CELLS[name]
    check(draws(cell, 7, 3, 17 if plan(cell).elementwise_input else 5, 17), "compiled-low", torch.float32)


@pytest.mark.parametrize("name", ["peephole", "crossed", "nested", "squashed", "fed"])
def test_custom_cells_stepwise(name):
    check([problem(custom.CELLS[name], 7, 3, 5, 17)], "stepwise-low", torch.float32)


@pytest.mark.parametrize("name", ["minimal", "lstm", "peephole", "learned_bias", "autonomous"])
def test_no_bias(name):
    check([problem(custom.CELLS.get(name) or cells.load(name), 7, 2, 5, 17, bias=False)], "compiled-low", torch.float32)


@pytest.mark.parametrize("name", FEW)
def test_float64(name):
    check([problem(cells.load(name), 7, 2, 5, 17, dtype=torch.float64)], "compiled-low", torch.float64)


@sample("name, dtype", FEW, [torch.float16, torch.bfloat16])
def test_sixteen_bit(name, dtype):
    """States are rounded between chunks too."""
    check([problem(cells.load(name), 7, 2, 5, 17, dtype=dtype)], "stepwise-low", dtype)


def test_gradients_add_up_in_float32(monkeypatch):
    """A bias whose gradient is 256 of the last chunk and 1 of each before it: in 16 bit, 256 + 1 is 256."""
    monkeypatch.setattr(checkpointing, "CHUNK", 1)
    p = problem(custom.CELLS["independent"], 9, 1, 1, 1)
    given = {name: torch.zeros_like(value).bfloat16() for name, value in p.given.items()}
    dy = torch.tensor([1.0] * 8 + [256.0]).bfloat16().view(9, 1, 1)
    found = solve(Problem(p.cell, p.bias, given, {"y": dy}), "stepwise-low", torch.bfloat16, through=["y"])
    assert found["d b.h"].item() == 264


@sample("backend, through", ALL, [["y"], ["final h"], ["final c"]])
def test_upstream(backend, through):
    """Gradients that arrive only through the outputs, or only through one final state."""
    check([problem(cells.load("lstm"), 7, 2, 5, 17)], f"{backend}-low", torch.float32, through=through)


@sample("name, part", FEW, ["x", "states", "first weight", "recurrent weights", "all but one", "all but x", "all but h"])
def test_frozen(name, part):
    """Whatever takes no gradient gets none, and changes no other."""
    p = problem(cells.load(name), 7, 2, 5, 17)
    weights = list(p.weights)
    frozen = {
        "x": ["x"], "states": p.cell.states, "first weight": weights[:1], "recurrent weights": [f"W.{m}" for m in plan(p.cell).recurrent],
        "all but one": [n for n in p.given if n != weights[-1]], "all but x": [n for n in p.given if n != "x"],
        "all but h": [n for n in p.given if n != "h"],
    }[part]  # fmt: skip
    check([p], "compiled-low", torch.float32, frozen=frozen)


@pytest.mark.parametrize("name", ["minimal", "lstm", "peephole", "nested"])
def test_strides(name):
    """An input and upstream gradients that lie in memory however they like."""
    p = problem(custom.CELLS.get(name) or cells.load(name), 7, 4, 5, 17)
    x = p.given["x"].transpose(0, 1).contiguous().transpose(0, 1)
    upstream = {name: value[:, :1].expand(value.shape) for name, value in p.upstream.items()}
    check([Problem(p.cell, p.bias, {**p.given, "x": x}, upstream)], "compiled-low", torch.float32)


@sample("name, backend", ["minimal", "lstm", "gru_reset_before", "peephole"], ALL)
def test_inference(name, backend):
    """Without gradients the same numbers come out, and none is prepared."""
    p = problem(custom.CELLS.get(name) or cells.load(name), 7, 3, 5, 17)
    supported(backend, p)
    with torch.no_grad():
        full, low = outputs(p, backend), outputs(p, f"{backend}-low")
    agree([low], [full], TOLERANCE["two ways", torch.float32])
    assert len({value.untyped_storage().data_ptr() for value in low.values()}) == len(low)
    assert not any(value.requires_grad for value in outputs(p, f"{backend}-low").values())


@BOTH
def test_no_step_runs_twice(backend, monkeypatch):
    """A training step takes each time step through the loop once in either direction."""
    steps = {"forward": 0, "backward": 0}

    def counted(name: str) -> None:
        run = getattr(SCHEDULES[backend], name)

        def call(loop: PassInputs, *rest: object) -> object:
            steps[name] += loop.T
            return run(loop, *rest)

        monkeypatch.setattr(SCHEDULES[backend], name, call)

    counted("forward")
    counted("backward")
    solve(problem(cells.load("lstm"), 7, 2, 5, 17), f"{backend}-low", torch.float32)
    assert steps == {"forward": 7, "backward": 7}
