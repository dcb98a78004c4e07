"""On a GPU: the scan kernels, with time in one chunk and in as many as the device asks for."""

from dataclasses import replace
from functools import cache

import pytest
import torch

import cells
from bench.measure import gate
from bench.measure import problem as measured
from bench.measure.backends import build_workload
from bench.measure.scan_peers import SCANS
from bench.measure.torch_flags import set_precision
from bench.records.tolerance import find_tolerance
from kernels import RNN
from kernels.derive.plan import plan
from tests import custom
from tests.reference import Problem, agree, check, outputs, problem, solve
from tests.tolerances import TOLERANCE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
DEVICE = "cuda"
SHORT, LONG = (9, 19, 12, 272), (1500, 3, 12, 40)
"""T, B, D, H: the second is cut in time where a step is affine, the first never is."""

NAMES = [name for name in cells.names() if not (plan(cells.load(name)).stages or plan(cells.load(name)).stencil_inputs)]
EVERY = pytest.mark.parametrize("name", [*NAMES, *custom.ELEMENTWISE])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)


def given(name: str, size: tuple[int, int, int, int], dtype: torch.dtype) -> Problem:
    """A problem on the device: the same numbers as on a CPU."""
    T, B, D, H = size
    cell = custom.CELLS.get(name) or cells.load(name)
    p = problem(cell, T, B, H if plan(cell).elementwise_input else D, H, dtype=dtype)
    moved = ({n: v.to(DEVICE) for n, v in tensors.items()} for tensors in (p.given, p.upstream))
    return replace(p, given=next(moved), upstream=next(moved))


@EVERY
@DTYPES
def test_cells(name, dtype):
    """Outputs and every gradient against the equations in float64."""
    check([given(name, SHORT, dtype)], "scan", dtype)


@EVERY
def test_long(name):
    """Whatever is cut in time, and what can't be."""
    check([given(name, LONG, torch.float32)], "scan", torch.float32)


@pytest.mark.parametrize(
    ("name", "backward"), [("mingru", False), ("rotating", False), ("decaying", False), ("sru", True), ("paralstm", True)]
)
def test_time_is_cut(name, backward):
    from kernels.schedules.scan import scan

    T, B, _, H = LONG
    assert scan.count_chunks(plan(custom.CELLS.get(name) or cells.load(name)), T, B * H, torch.device(DEVICE), backward) > 1


@EVERY
def test_the_same_bits_again(name):
    """No sum is in an order of its own making."""
    p = given(name, LONG, torch.float32)
    first, again = (solve(p, "scan", torch.float32) for _ in range(2))
    assert all(torch.equal(first[n], again[n]) for n in first)


@EVERY
def test_inference(name):
    """Without gradients less is kept, and the same numbers come out."""
    p = given(name, LONG, torch.float32)
    leaves = p.with_given(**{n: v.clone().requires_grad_() for n, v in p.given.items()})
    with torch.no_grad():
        inferred = outputs(p, "scan")
    agree([inferred], [{n: v.detach() for n, v in outputs(leaves, "scan").items()}], TOLERANCE["two ways", torch.float32])


@pytest.mark.parametrize("name", NAMES)
def test_auto(name):
    """A layer takes it by itself, and gives what stepwise gives."""
    torch.manual_seed(0)
    layer = RNN(name, 48, 48, device=DEVICE)
    other = RNN(name, 48, 48, device=DEVICE, backend="stepwise")
    other.load_state_dict(layer.state_dict())
    x = torch.randn(20, 4, 48, device=DEVICE)
    agree([{"y": layer(x)[0].detach()}], [{"y": other(x)[0].detach()}], TOLERANCE["schedule", torch.float32])


@cache
def asked(name: str, size: tuple[int, int, int, int]) -> measured.Problem:
    """As it is measured: its reference takes a step in float64 for each T, once."""
    return measured.make_problem(name, *size, "float32", DEVICE, 0)


@pytest.mark.parametrize("peer", SCANS)
@pytest.mark.parametrize("name", ["mingru", "minlstm", "qrnn"])
@pytest.mark.parametrize("size", [(1, 1, 3, 5), (2100, 2, 8, 24)], ids=str)
def test_peers(peer, name, size):
    """What scan is measured against is right, in a T of one, and of more than the chunks and blocks of the packages have."""
    if SCANS[peer].module:
        pytest.importorskip(SCANS[peer].module)
    set_precision("ieee")
    errors, wrong = gate.compare_answer(
        asked(name, size), build_workload(peer, asked(name, size)).answer(), find_tolerance("float32", "ieee")
    )
    assert not wrong, f"{wrong}: {errors}"
