"""On a GPU: what Triton's interpreter showed of the schedules, shown on the device, and what it can't show: barriers that hold, the
same bits every time, no hang beside other work, replayed graphs, and the harness itself.

Run with `pytest -m gpu`; `python -m bench campaign` does it first. Everything else runs without a GPU.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import cells
from bench.records import FAILURES, read_records
from kernels.derive.plan import plan
from kernels.layer.select import SCHEDULES
from kernels.schedules.persistent import persistent
from kernels.schedules.persistent.tiling import Tiles
from kernels.schedules.stepwise import cuda_graph
from tests.reference import Problem, agree, check, outputs, problem, solve, unroller
from tests.tolerances import TOLERANCE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
DEVICE = "cuda"
ROOT = Path(__file__).parents[1]
ONE, MEET, LONG = (5, 3, 7, 17), (9, 19, 12, 272), (70, 6, 24, 48)
"""T, B, D, H: one program for a batch tile; several, which meet every step, at sizes that fill no tile; two chunks of replayed steps
and some more."""

EVERY = pytest.mark.parametrize("name", cells.DEFAULT)
FAMILY = pytest.mark.parametrize("name", [name for name in cells.names() if name not in cells.DEFAULT])
FEW = pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before", "vanilla_relu"])
SCHEDULED = pytest.mark.parametrize("backend", [name for name in SCHEDULES if name not in ("compiled", "scan", "stencil", "newton")])
"""Of `scan` and `stencil`, for which the cells here are not made: test_gpu_scan.py, test_waves. `newton`: test_gpu_newton.py."""

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)


@pytest.fixture(autouse=True)
def ieee() -> Iterator[None]:
    """float32 products in float32, as the tolerances take them."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def given(name: str, size: tuple[int, int, int, int], dtype: torch.dtype, seed: int = 0) -> Problem:
    """A problem on the device: the same numbers as on a CPU."""
    T, B, D, H = size
    cell = cells.load(name)
    H = plan(cell).round_up_width(H)
    p = problem(cell, T, B, H if plan(cell).elementwise_input else D, H, dtype=dtype, seed=seed)
    moved = ({n: v.to(DEVICE) for n, v in tensors.items()} for tensors in (p.given, p.upstream))
    return replace(p, given=next(moved), upstream=next(moved))


def running(name: str, backend: str, size: tuple[int, int, int, int], dtype: torch.dtype) -> Problem:
    """A problem that the schedule must not refuse."""
    p = given(name, size, dtype)
    h = p.given[p.cell.states[0]]
    reason = SCHEDULES[backend].unsupported_reason(plan(p.cell), h.dtype, h.device, *h.shape)
    assert reason is None, reason
    return p


@EVERY
@SCHEDULED
@DTYPES
def test_cells_whose_programs_meet(name, backend, dtype):
    """Outputs and every gradient against the equations in float64."""
    check([running(name, backend, MEET, dtype)], backend, dtype)


@FAMILY
@SCHEDULED
def test_family(name, backend):
    """The other cells, in float32; without a matrix to keep on chip `stepwise` alone runs them."""
    if plan(cells.load(name)).stages or backend != "persistent":
        check([running(name, backend, MEET, torch.float32)], backend, torch.float32)


@pytest.mark.parametrize("size", [ONE, MEET, LONG, (40, 3, 1, 2048), (40, 3, 1, 4608), (20, 70, 1, 4096)], ids=str)
def test_waves(size):
    """A program to a sequence, whose threads read what others of it stored a step before: up to the largest grid, over many steps. Then
    programs that share a grid out, all at once, and of more sequences than there is room for."""
    check([running("wave", "stencil", size, torch.float32)], "stencil", torch.float32)


@FEW
@SCHEDULED
@DTYPES
def test_cells_in_one_program(name, backend, dtype):
    check([running(name, backend, ONE, dtype)], backend, dtype)


@EVERY
@pytest.mark.parametrize("units, split", [(False, 1), (True, 1), (False, 4), (True, 4)])
def test_every_way_to_multiply(monkeypatch, name, units, split):
    """Whatever `tune` may choose, forward and backward, with programs that meet."""
    monkeypatch.setattr(persistent, "tiling_for", lambda work, device, reduced: Tiles(16, 32, 64 // split, 4, units, split, 2))
    check([running(name, "persistent", MEET, torch.bfloat16)], "persistent", torch.bfloat16)


@pytest.mark.parametrize("name", ["minimal", "gru", "lstm", "gru_reset_before"])
def test_as_wide_as_it_gets(name):
    """H=1024 in bfloat16: up to 64 programs meet."""
    check([running(name, "persistent", (4, 16, 32, 1024), torch.bfloat16)], "persistent", torch.bfloat16)


@FEW
@SCHEDULED
def test_inference(name, backend):
    """Without gradients less is kept, and the same numbers come out."""
    p = running(name, backend, MEET, torch.float32)
    leaves = p.with_given(**{n: v.clone().requires_grad_() for n, v in p.given.items()})
    with torch.no_grad():
        inferred = outputs(p, backend)
    agree([inferred], [{n: v.detach() for n, v in outputs(leaves, backend).items()}], TOLERANCE["two ways", torch.float32])


def waiting() -> set[int]:
    """Which captured chunks wait for their next call."""
    return {id(chunk) for chunks in cuda_graph._idle.values() for chunk, _ in chunks}


@EVERY
@DTYPES
def test_replayed_steps(name, dtype):
    """A sequence longer than two chunks: what was captured serves it, and other numbers and lengths after it."""
    check([given(name, LONG, dtype)], "stepwise", dtype)
    captured = waiting()
    T, *size = LONG
    check([given(name, (T - cuda_graph.CHUNK, *size), dtype, seed=1)], "stepwise", dtype)
    assert captured and captured == waiting(), "the second run captured anew"


@FEW
def test_replayed_or_not(name, monkeypatch):
    """The same kernels on the same numbers, whether they are replayed or launched."""
    p = given(name, LONG, torch.float32)
    replayed = solve(p, "stepwise", torch.float32)
    monkeypatch.setattr(cuda_graph, "count_graph_steps", lambda steps: 0)
    agree([replayed], [solve(p, "stepwise", torch.float32)], TOLERANCE["two ways", torch.float32])


@FEW
@pytest.mark.parametrize("own", [True, False], ids=["on two streams", "on one stream"])
@pytest.mark.parametrize("threads", [1, 2])
def test_replayed_at_once(name, own, threads):
    """Calls of one size, from two threads or from one, on a stream each or on the same: each gets its own numbers, forward and backward.
    They wait behind products of large matrices, so that they start together on two streams; the second round of one thread captures
    nothing."""
    given_each = [given(name, LONG, torch.float32, seed=seed) for seed in (0, 1)]
    expected = [solve(p, "stepwise", torch.float32) for p in given_each]
    streams = [torch.cuda.Stream() if own else torch.cuda.current_stream() for _ in given_each]
    busy = torch.randn(4096, 4096, device=DEVICE)

    def call(k: int) -> list[dict[str, torch.Tensor]]:
        found = []
        with torch.cuda.stream(streams[k]):
            for _ in range(5):
                busy @ busy
                found.append(solve(given_each[k], "stepwise", torch.float32))
        return found

    for repeat in range(2):
        torch.cuda.synchronize()
        captured = waiting()
        with ThreadPoolExecutor(threads) as pool:
            both = list(pool.map(call, range(2)))
        torch.cuda.synchronize()
        for found, right in zip(both, expected, strict=True):
            agree(found, [right] * len(found), TOLERANCE["two ways", torch.float32])
        assert repeat == 0 or threads > 1 or captured == waiting(), "the second round captured anew"


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@SCHEDULED
def test_another_device_than_the_current_one(backend):
    """Where the tensors are is where it runs."""
    p = running("lstm", backend, MEET, torch.float32)
    moved = ({n: v.to("cuda:1") for n, v in tensors.items()} for tensors in (p.given, p.upstream))
    check([replace(p, given=next(moved), upstream=next(moved))], backend, torch.float32)


REPEATS = 1000


@pytest.mark.parametrize("name", ["minimal", "gru", "lstm", "gru_reset_before"])
def test_the_same_bits_a_thousand_times(name):
    """Forward and backward of programs that meet every step: one read before its write would show."""
    p = running(name, "persistent", (24, 48, 32, 512), torch.bfloat16)
    leaves = [p.given["x"], *(p.given[s] for s in p.cell.states), *p.weights.values()]
    for leaf in leaves:
        leaf.requires_grad_()
    call = unroller(p, "persistent")

    def once() -> list[torch.Tensor]:
        y, final = call(p.given["x"], [p.given[s] for s in p.cell.states], p.weights)
        ends = [y, *final]
        return [*(end.detach() for end in ends), *torch.autograd.grad(ends, leaves, list(p.upstream.values()))]

    first = once()
    assert all(value.isfinite().all() for value in first)
    different = torch.zeros((), dtype=torch.int64, device=DEVICE)
    for _ in range(REPEATS - 1):
        different += sum((a != b).any() for a, b in zip(first, once(), strict=True))
    assert different.item() == 0


BUSY = """
import warnings
import torch
from kernels import RNN

warnings.simplefilter("error", RuntimeWarning)  # said where a layer falls back to the eager reference
names = ("lstm", "gru")
layers = [RNN(name, 64, 512, backend="persistent", device="cuda", dtype=torch.bfloat16) for name in names]
x = torch.randn(64, 128, 64, device="cuda").bfloat16()
a = torch.randn(4096, 4096, device="cuda").bfloat16()

def gradients(rnn):
    return torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))

alone = [gradients(rnn) for rnn in layers]  # compiled before anything waits
torch.cuda.synchronize()
streams = [torch.cuda.Stream() for _ in range(3)]
for _ in range(50):
    with torch.cuda.stream(streams[0]):
        for _ in range(8):
            a @ a
    beside = []
    for stream, rnn in zip(streams[1:], layers):
        with torch.cuda.stream(stream):
            beside.append(gradients(rnn))
torch.cuda.synchronize()
assert all(torch.equal(p, q) for one, other in zip(alone, beside) for p, q in zip(one, other))
print("done")
"""


def test_no_hang_beside_other_work():
    """Two persistent layers, which don't fit the device together, and large products on three streams at once: the programs that wait for
    each other are all there, or none is. The last round gives the same bits as each layer alone."""
    alike = os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # or its products needn't give the same bits on several streams
    done = subprocess.run([sys.executable, "-c", BUSY], cwd=ROOT, capture_output=True, text=True, timeout=180, env=alike)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr


def test_the_harness(tmp_path):
    """A few shapes of a suite from end to end: nothing fails, cuDNN's algorithm is named, and what is there isn't measured again."""
    command = [sys.executable, "-m", "bench", "all", "--suite", "deepbench", "--quick", "--out", str(tmp_path / "run"), "--resume"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    found = read_records(tmp_path / "run").cases
    assert found and not [r for r in found if r.status in FAILURES]
    assert all(r.algorithm for r in found if r.case.backend == "vendor" and r.status == "ok")
    lines = (tmp_path / "run" / "records.jsonl").read_bytes()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert again.returncode == 0 and (tmp_path / "run" / "records.jsonl").read_bytes() == lines, again.stderr
