"""Launches and captures, with stand-ins for what only a GPU has: what is counted, what is captured, and what a failure leaves."""

from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.autograd.profiler import profile

from bench.measure import launches
from bench.measure.launches import NoGraph, capture_graph
from kernels.schedules.stepwise import cuda_graph as replay

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def event(name: str, device: str = "CUDA", annotation: bool = False) -> SimpleNamespace:
    kind = SimpleNamespace(name=device)
    return SimpleNamespace(name=lambda: name, device_type=lambda: kind, is_user_annotation=lambda: annotation)


EVENTS = [
    event("cudaLaunchKernel", "CPU"), event("step_1a2b"), event("cudaLaunchKernel", "CPU"), event("step_1a2b"),
    event("void cutlass::Kernel2<gemm>"), event("Memcpy DtoD (Device -> Device)"), event("Memset (Device)"),
    event("a region of the host's", annotation=True), event("aten::mm", "CPU"),
]  # fmt: skip


@pytest.fixture
def profiled(monkeypatch) -> Callable[[list[SimpleNamespace]], list[str]]:
    """A profiler that saw these events. Returns what happened, in order."""

    def make(events: list[SimpleNamespace]) -> list[str]:
        happened: list[str] = []

        @contextmanager
        def profile(use_cpu, use_device, use_kineto):
            happened.append("profiler on")
            yield SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events))
            happened.append("profiler off")

        monkeypatch.setattr(launches, "profile", profile)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: happened.append("all done"))
        return happened

    return make


def test_kernels_are_counted_and_nothing_else(profiled):
    happened = profiled(EVENTS)
    assert launches.count_launches(lambda: happened.append("call"), GPU) == 3
    assert happened == ["call", "all done", "profiler on", "call", "all done", "profiler off"]


def test_a_profiler_that_is_not_let_in_counts_nothing(profiled):
    """Without the right to read the GPU's counters it sees the host's side alone: that is no count of 0."""
    profiled([e for e in EVENTS if e.device_type().name == "CPU"])
    assert launches.count_launches(lambda: None, GPU) is None


def test_the_profilers_own_events_are_read():
    """Of a CPU, none of which is a kernel of a GPU's."""
    with profile() as trace:
        torch.ones(3) @ torch.ones(3)
    events = trace.kineto_results.events()
    assert events and not any(map(launches.is_kernel, events))


def test_a_cpu_launches_nothing():
    assert launches.count_launches(lambda: None, CPU) is None


class Device:
    """A GPU for captures: what is called while one goes on is recorded and not run. `stream` is the current one."""

    def __init__(self) -> None:
        self.stream, self.capturing, self.recording, self.ended, self.reset = "main", False, False, [], 0

    @contextmanager
    def on(self, stream):
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before

    @contextmanager
    def capture(self, graph, pool, stream, capture_error_mode):
        """As torch.cuda.graph: what raises within leaves the stream as it is, and the allocator in its pool."""
        assert stream is self.stream and capture_error_mode == "thread_local"
        self.capturing, self.recording, self.stream = True, True, "left behind"
        try:
            yield
        except Exception as error:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nCompile with …") from error
        finally:
            self.capturing = False
        self.recording, self.stream = False, stream

    def end(self, index, pool):
        if not self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording = False
        self.ended.append(pool)


@pytest.fixture
def device(monkeypatch) -> Device:
    made = Device()
    side = SimpleNamespace(wait_stream=lambda other: None)
    main = SimpleNamespace(wait_stream=lambda other: None)

    class Graph:
        def replay(self):
            made.replays = getattr(made, "replays", 0) + 1

        def reset(self):
            made.reset += 1

    stand_ins = {
        "CUDAGraph": Graph, "Stream": lambda: side, "graph_pool_handle": lambda: (0, 7), "current_stream": lambda: main,
        "stream": made.on, "graph": made.capture, "device": lambda device: made.on("main"), "current_device": lambda: 0,
    }  # fmt: skip
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", made.end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda index, pool: made.ended.append("released"), raising=False)
    return made


def test_it_warms_up_captures_once_and_replays_without_calling(device):
    calls = []
    again = capture_graph(lambda: calls.append((device.stream == "main", device.capturing)) or ["y"], GPU)
    assert calls == [(False, False)] * launches.WARM + [(False, True)]
    assert again() == again() == ["y"] and device.replays == 2
    assert len(calls) == launches.WARM + 1 and device.stream == "main" and device.ended == []


def test_a_failed_capture_says_why_and_leaves_no_trace(device):
    """The stream is the one before, and the allocator is out of the pool; the next capture is as good as the first."""

    def call() -> None:
        if device.capturing:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    with pytest.raises(NoGraph, match=r"^RuntimeError: CUDA error: operation failed due to a previous error during capture$"):
        capture_graph(call, GPU)
    assert (device.stream, device.recording, device.ended, device.reset) == ("main", False, [(0, 7), "released"], 1)
    capture_graph(lambda: None, GPU)()
    assert device.replays == 1


def test_a_call_that_fails_before_its_capture_leaves_nothing_to_end(device):
    def call() -> None:
        raise ValueError("no such size")

    with pytest.raises(NoGraph, match="ValueError: no such size"):
        capture_graph(call, GPU)
    assert (device.stream, device.ended) == ("main", [])


def test_a_cpu_has_no_graphs():
    with pytest.raises(NoGraph, match="only a GPU"):
        capture_graph(lambda: None, CPU)


@pytest.mark.parametrize(("capturing", "chunks"), [(False, 64), (True, 0)])
def test_no_graph_is_launched_within_a_capture(monkeypatch, capturing, chunks):
    """CUDA refuses it: then every step is launched, and captured, by itself."""
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing)
    steps = SimpleNamespace(T=70, carried=[SimpleNamespace(is_cuda=True)])
    assert replay.count_graph_steps(steps) == chunks
