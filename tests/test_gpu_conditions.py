"""On a GPU: what it tells beside its time. A flush that flushes, calls as one graph, kernels counted, weights in one block."""

import warnings
from collections.abc import Iterator

import pytest
import torch

from bench.measure import conditions, energy
from bench.measure.backends import Unsupported, Workload, build_workload
from bench.measure.cache_flush import Flush
from bench.measure.clock import time_once
from bench.measure.gate import compute_error, select_batch_tensor
from bench.measure.launches import NoGraph, capture_graph, count_launches
from bench.measure.numerics import describe_numerics
from bench.measure.problem import make_problem
from bench.records import Case
from bench.records.tolerance import find_tolerance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
DEVICE = torch.device("cuda")
T, B, D, H = 70, 16, 32, 128
"""Two chunks that `stepwise` replays, and some steps more."""

BACKENDS = pytest.mark.parametrize("backend", ["eager", "stepwise", "stepwise-low", "persistent", "persistent-low", "vendor"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])


@pytest.fixture(autouse=True)
def ieee() -> Iterator[None]:
    """float32 products in float32, as the tolerances take them."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def workload(backend: str, cell: str = "lstm", dtype: str = "float32") -> Workload:
    try:
        return build_workload(backend, make_problem(cell, T, B, D, H, dtype, "cuda", 0))
    except Unsupported as reason:
        pytest.skip(str(reason))


def same(found: torch.Tensor, wanted: torch.Tensor, dtype: str = "float32") -> bool:
    """As the harness takes a call to be right."""
    return compute_error(found, wanted.double()) <= find_tolerance(dtype, "ieee")


def test_the_flush_flushes():
    """A chain of loads, each of which waits for the last, through 4 MiB: from L2 first, then from memory, which is twice as far away
    or more. Half of that is asked for."""
    pytest.importorskip("triton")
    from bench.measure import latency

    successors = latency.make_ring(latency.LINES).to(DEVICE)
    end, flush = torch.zeros(1, dtype=torch.int32, device=DEVICE), Flush(DEVICE)
    assert flush.buffer.nbytes >= 2 * torch.cuda.get_device_properties(DEVICE).L2_cache_size

    def chase() -> None:
        latency.follow_ring(successors, end, latency.LINES)

    def flushed() -> float:
        flush()
        return time_once(chase, DEVICE)[0]

    chase()
    warm = min(time_once(chase, DEVICE)[0] for _ in range(5))
    cold = min(flushed() for _ in range(5))
    assert cold > 1.5 * warm, f"{cold:.2e} s after a flush, {warm:.2e} s without"


@BACKENDS
@DTYPES
def test_a_whole_call_is_one_graph(backend, dtype):
    """Training and inference: what is replayed is right, and follows its inputs."""
    made = workload(backend, dtype=dtype)
    for call in (made.train, made.infer):
        again = capture_graph(call, DEVICE)
        assert same(select_batch_tensor(again()), select_batch_tensor(call()), dtype)
        made.roll_batch(1)
        turned = select_batch_tensor(again()).clone()
        assert same(turned, select_batch_tensor(call()), dtype)
        made.roll_batch(-1)
        assert not same(turned, select_batch_tensor(call()), dtype), "the turned batch gives what the other one gave"


@pytest.mark.parametrize("cell", ["minimal", "cfn", "gru_reset_before"])
def test_graphs_of_other_cells(cell):
    """Programs that meet (cooperative launches), and two stages."""
    for backend in ("stepwise", "persistent"):
        made = workload(backend, cell, "bfloat16")
        again = capture_graph(made.train, DEVICE)
        for found, wanted in zip(again(), made.train(), strict=True):
            assert same(found, wanted, "bfloat16")


def test_after_a_failed_capture_everything_still_works():
    """A call that waits for the GPU can't be captured. After it: the current stream, random numbers, products, memory given back,
    and the next capture."""
    a = torch.randn(64, 64, device=DEVICE)
    stream = torch.cuda.current_stream()
    for _ in range(2):
        with pytest.raises(NoGraph):
            capture_graph(lambda: (a @ torch.empty_like(a).normal_()).sum().item(), DEVICE)
    assert torch.cuda.current_stream() == stream
    assert torch.randn(8, device=DEVICE).isfinite().all() and same(a @ a, a.double() @ a.double())
    held = torch.empty(2**28, dtype=torch.uint8, device=DEVICE)
    before = torch.cuda.memory_reserved()
    del held
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < before
    assert same(capture_graph(lambda: a @ a, DEVICE)(), a @ a)


def test_kernels_are_counted():
    a = torch.randn(64, 64, device=DEVICE)
    assert count_launches(lambda: [a.add_(0) for _ in range(7)], DEVICE) == 7
    chunk = capture_graph(lambda: [a.add_(0) for _ in range(5)], DEVICE)
    assert count_launches(chunk, DEVICE) == 5, "those of a replayed graph count one by one"


def test_stepwise_launches_with_the_steps_and_persistent_does_not():
    counted = {b: count_launches(workload(b, "vanilla").infer, DEVICE) for b in ("stepwise", "persistent", "eager")}
    assert counted["stepwise"] >= 2 * T and counted["persistent"] < 20 and counted["eager"] >= 2 * T, counted


@DTYPES
@pytest.mark.parametrize("cell", ["lstm", "gru", "vanilla"])
def test_cudnn_gets_its_weights_in_one_block(cell, dtype):
    """Or torch would copy them in every call, and say so in a warning."""
    made = workload("vendor", cell, dtype)
    case = Case(cell=cell, backend="vendor", mode="training", T=T, B=B, D=D, H=H, dtype=dtype, precision="ieee")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.train()
    assert describe_numerics(case, made).flat_weights is True


def test_conditions_and_energy():
    """Of the GPU that is here, where nvidia-ml-py is."""
    pytest.importorskip("pynvml")
    a = torch.randn(4096, 4096, device=DEVICE)
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    found = conditions.read_conditions(DEVICE)
    assert found is not None
    assert 1e8 < found.clock < 5e9 and 1e8 < found.memory_clock < 2e10 and 10 < found.temperature < 110
    assert isinstance(conditions.list_other_processes(DEVICE), list)
    joules = energy.measure_energy(lambda: a @ a, DEVICE, 0.5)
    if joules is None:
        pytest.skip("the GPU counts no energy, or counts it for more than is ours")
    watts = joules / min(time_once(lambda: a @ a, DEVICE)[0] for _ in range(5))
    assert 20 < watts < 2000
