"""The scan kernels: right in Triton's interpreter, in one chunk of time and in several, linear in it, and in registers when compiled."""

import importlib.util
from typing import Any

import pytest
import torch

import cells
from cells.grammar.cell import Cell
from kernels.derive.adjoint import is_affine
from kernels.derive.plan import plan
from kernels.layer import checkpointing, select
from kernels.layer.autograd import Recurrence
from kernels.schedules.persistent.tiling import Chip
from tests import custom
from tests.offline import offline
from tests.reference import agree, check, draws, leaves, outputs, problem, rows, solve
from tests.sampling import sample
from tests.tolerances import TOLERANCE

pytest.importorskip("triton")
from triton.runtime import interpreter

from kernels.schedules.scan import scan

AFFINE = {
    "indrnn": False, "sru": False, "mingru": True, "minlstm": True, "independent": False, "rotating": True, "bounded": False,
    "decaying": True, "forgetful": True, "qrnn": True, "paragru": False, "paralstm": False,
}  # fmt: skip
"""Cells without a product in the loop, of each kind, and whether their step is affine in the states."""
SIZES = [(1, 1, 1, 1), (5, 1, 3, 17), (11, 3, 7, 45)]
"""T, B, D, H: the last is more than one program, and no multiple of the steps that are loaded at once."""

LAUNCHES = {"mingru": (2, 2), "sru": (1, 2)}


def of(name: str) -> Cell:
    return custom.CELLS.get(name) or cells.load(name)


def sized(name: str, T: int, B: int, D: int, H: int) -> tuple[int, int, int, int]:
    return T, B, H if plan(of(name)).elementwise_input else D, H


def cut(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Time in so many chunks, wherever it can be."""
    monkeypatch.setattr(scan, "count_chunks", lambda plan, T, *given: min(count, T) if given[-1] or is_affine(plan.step) else 1)


NAMES = [name for name in (*cells.names(), *custom.CELLS) if not (plan(of(name)).stages or plan(of(name)).stencil_inputs)]


def test_these_have_no_product():
    assert set(AFFINE) <= set(NAMES)
    assert {name: is_affine(plan(of(name)).step) for name in AFFINE} == AFFINE


@sample("name, size", NAMES, SIZES, taken=AFFINE)
def test_cells(name, size):
    check(draws(of(name), *sized(name, *size)), "scan", torch.float32)


@sample("name, count", NAMES, [2, 5], taken=AFFINE)
def test_chunks_of_time(name, count, monkeypatch):
    """Of unequal length, and of a single step; initial states and gradients of the final ones pass through all of them. The backward
    pass is in chunks for every cell."""
    cut(monkeypatch, count)
    check(draws(of(name), *sized(name, *SIZES[{2: 2, 5: 1}[count]])), "scan", torch.float32)


@sample("name, dtype", NAMES, [torch.float16, torch.bfloat16], taken=AFFINE)
def test_sixteen_bit(name, dtype, monkeypatch):
    """States are carried in float32, from chunk to chunk too."""
    cut(monkeypatch, 2)
    check([problem(of(name), *sized(name, 5, 2, 5, 17), dtype=dtype)], "scan", dtype)


@sample("name, through, count", ["sru", "rotating", "decaying"], [["y"], ["final h"], ["final c"], ["final h", "final c"]], [1, 3])
def test_upstream(name, through, count, monkeypatch):
    cut(monkeypatch, count)
    check([problem(of(name), *sized(name, 7, 2, 5, 17))], "scan", torch.float32, through=through)


@sample("name, count", NAMES, [1, 3], taken=AFFINE)
def test_inference(name, count, monkeypatch):
    """Without gradients less is kept, and the same numbers come out."""
    cut(monkeypatch, count)
    p = problem(of(name), *sized(name, 8, 3, 5, 17))
    trained = outputs(leaves(p), "scan")
    with torch.no_grad():
        inferred = outputs(p, "scan")
    agree([inferred], [trained], TOLERANCE["two ways", torch.float32])


@sample("name", NAMES, taken=AFFINE)
def test_low_memory(name, monkeypatch):
    monkeypatch.setattr(checkpointing, "CHUNK", 4)
    cut(monkeypatch, 2)
    check([problem(of(name), *sized(name, 9, 2, 5, 17))], "scan-low", torch.float32)


@pytest.mark.parametrize("schedule", ["scan", "compiled"])
@pytest.mark.parametrize("name", ["mingru", "sru"])
def test_given_rows(name, schedule):
    """They are read where they lie, and stay as they are."""
    p = leaves(problem(of(name), *sized(name, 3, 2, 5, 17)))
    expected = solve(p, schedule, torch.float32)
    tensors = rows(p)
    before = [None if t is None else t.detach().clone() for t in tensors]
    y, *final = Recurrence.apply(plan(p.cell), select.SCHEDULES[schedule], True, 3, *tensors, *(p.given[s] for s in p.cell.states))
    gradients = torch.autograd.grad([y, *final], list(p.given.values()), list(p.upstream.values()), allow_unused=True)
    found = [torch.zeros_like(g) if d is None else d for d, g in zip(gradients, p.given.values(), strict=True)]
    agree([dict(zip(expected, [y, *final, *found], strict=True))], [expected], TOLERANCE["two ways", torch.float32])
    assert all(t is None or torch.equal(t, b) for t, b in zip(tensors, before, strict=True))


@pytest.fixture
def loads(monkeypatch) -> list[Any]:
    """Every load of the interpreter."""
    found: list[Any] = []
    load = interpreter.InterpreterBuilder.create_masked_load

    def counted(self, *arguments):
        found.append(arguments)
        return load(self, *arguments)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_masked_load", counted)
    return found


@pytest.mark.full
@pytest.mark.skipif(torch.cuda.is_available(), reason="counts in Triton's interpreter")
@pytest.mark.parametrize("name", ["mingru", "sru"])
def test_linear_in_time(name, loads, monkeypatch):
    """Loads of a forward and backward pass grow by the same for the same steps more, and their number of launches doesn't."""
    cut(monkeypatch, 2)
    launched: list[Any] = []
    run = scan.Launch.launch_kernel
    monkeypatch.setattr(scan.Launch, "launch_kernel", lambda self, *arguments: (launched.append(arguments), run(self, *arguments)))
    counts = []
    for T in (32, 64, 96):
        loads.clear()
        launched.clear()
        solve(problem(of(name), *sized(name, T, 1, 5, 17)), "scan", torch.float32)
        counts.append(len(loads))
        assert len(launched) == sum(LAUNCHES[name])
    assert counts[1] - counts[0] == counts[2] - counts[1] > 0


def test_how_time_is_cut(monkeypatch):
    """As a device has room, and no further; only of a long sequence; and only where the step is affine."""
    monkeypatch.setattr(scan, "get_chip", lambda index: Chip("a device", 100, 0))
    gpu, long = torch.device("cuda"), 100 * scan.MIN_CHUNK

    def count(name: str, T: int, programs: int, backward: bool = False) -> int:
        return scan.count_chunks(plan(of(name)), T, programs * scan.BLOCK, gpu, backward)

    assert scan.count_chunks(plan(of("mingru")), long, scan.BLOCK, torch.device("cpu"), False) == 1
    assert [count("mingru", long, n) for n in (1, 10, 100, 201, 400, 10_000)] == [100, 40, 4, 1, 1, 1]
    assert [count("mingru", n * scan.MIN_CHUNK + 1, 1) for n in (0, 1, 2, 9)] == [1, 1, 2, 9]
    assert count("rotating", long, 10) == 40 and count("indrnn", long, 10) == count("sru", long, 10) == 1
    assert count("indrnn", long, 10, backward=True) == count("sru", long, 10, backward=True) == 40


def test_what_it_is_for():
    """On a GPU "auto" takes it wherever it can run; a plan with a product says why it can't."""
    gpu = torch.device("cuda")
    assert select.fastest_schedule_name(plan(of("mingru")), torch.float32, gpu, 32, 256) == "scan"
    reason = scan.unsupported_reason(plan(of("lstm")), torch.float32, gpu, 32, 256)
    assert reason == "runs cells without a product in the loop, and lstm has W.ih and W.fh and W.gh and W.oh"
    assert "float64" in str(scan.unsupported_reason(plan(of("mingru")), torch.float64, gpu, 32, 256))


needs_compiler = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")


@pytest.mark.full
@needs_compiler
@pytest.mark.parametrize("names", [("sru",), pytest.param((), marks=pytest.mark.gates)], ids=["sample", "all"])
def test_no_spills(names):
    """Both directions, and what chunks of time take: every cell on an H100, one on an A100 and a B200 too."""
    for name, found in offline("resources", *names, script="offline_scan.py").items():
        chunked = {"chunk_summary_backward"} | ({"chunk_summary"} if AFFINE[name] else set())
        expected = {"forward", "backward"} | (chunked if name != "forgetful" else set())
        assert {kernel["kernel"] for kernel in found} == expected
        for kernel in found:
            assert kernel["stack"] == kernel["local"] == 0 and not kernel["spills"], (name, kernel)
            assert 0 < kernel["registers"] <= 128, (name, kernel)


@pytest.mark.full
@needs_compiler
def test_nothing_is_compiled_again():
    """Nor for another length or batch, whether or not time is cut."""
    for name, counts in offline("recompile", "mingru", "sru", script="offline_scan.py").items():
        first = counts[0][2]
        assert first > 0 and [count for _, _, count in counts] == [first] * len(counts), f"{name}: (T, B, kernels) {counts}"
