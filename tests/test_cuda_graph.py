"""Replayed steps: what would be captured as a CUDA graph, run as it is on any device."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, RLock

import pytest
import torch

import cells
from kernels.derive.plan import plan
from kernels.layer import checkpointing
from kernels.layer.autograd import Recurrence
from kernels.layer.select import SCHEDULES
from kernels.schedules.stepwise import cuda_graph
from tests.reference import agree, check, given_cell, outputs, problem, rows, solve
from tests.sampling import in_full, sample
from tests.tolerances import TOLERANCE


@pytest.fixture
def chunks(monkeypatch) -> list[object]:
    """Replay in chunks of 3 steps on any device: what would be captured runs as it is. Returns what was captured."""
    captured: list[object] = []

    def capture(work: Callable[[], None]) -> Callable[[], None]:
        captured.append(work)
        work()
        return work

    monkeypatch.setattr(cuda_graph, "CHUNK", 3)
    monkeypatch.setattr(cuda_graph, "capture", capture)
    monkeypatch.setattr(cuda_graph, "count_graph_steps", lambda steps: steps.T // 3 * 3)
    monkeypatch.setattr(cuda_graph, "_idle", OrderedDict())
    return captured


@sample("name, T", ["minimal", "lstm", "gru_reset_before", "peephole", "crossed", "nested", "squashed", "fed", "reused"], [3, 7])
def test_replay(name, T, chunks):
    """Chunks and the steps that fill none, with and without gradients."""
    p = given_cell(name, T, 2, 5, 12)
    (trained,) = check([p], "stepwise", torch.float32)
    with torch.no_grad():
        inferred = outputs(p, "stepwise")
    agree([inferred], [{name: trained[name] for name in inferred}], TOLERANCE["two ways", torch.float32])
    assert len(chunks) == 3  # forward, backward, and forward without gradients


def test_replay_again(chunks):
    """A captured chunk serves other weights, inputs and lengths, and is captured anew for another batch or without dy."""
    cell = cells.load("lstm")
    for seed, T in enumerate((2, 3, 7, 6)):
        check([problem(cell, T, 2, 5, 12, seed=seed)], "stepwise", torch.float32)
    assert len(chunks) == 2
    check([problem(cell, 4, 1, 5, 12)], "stepwise", torch.float32)
    assert len(chunks) == 4
    check([problem(cell, 4, 2, 5, 12)], "stepwise", torch.float32, through=["final h"])
    assert len(chunks) == 5


def test_replay_forgets(chunks, monkeypatch):
    """No more chunks are kept than KEPT, those used last."""
    monkeypatch.setattr(cuda_graph, "MAX_IDLE", 2)
    for B in (1, 2, 1):
        with torch.no_grad():
            outputs(problem(cells.load("vanilla"), 3, B, 5, 7), "stepwise")
    assert len(chunks) == 2
    check([problem(cells.load("vanilla"), 3, 3, 5, 7)], "stepwise", torch.float32)
    assert len(chunks) == 4 and sum(map(len, cuda_graph._idle.values())) == 2


@pytest.mark.parametrize("name", ["lstm", in_full("gru_reset_before")])
def test_replay_within_a_replay(name, chunks, monkeypatch):
    """A call of the same size in the midst of another one, forward and backward, finds a chunk of its own, and leaves it for the next."""
    p, other = (problem(cells.load(name), 7, 2, 5, 12, seed=seed) for seed in (0, 1))
    capture, within = cuda_graph.capture, []

    def interrupted(work: Callable[[], None]) -> Callable[[], None]:
        again = capture(work)

        def turn() -> None:
            if not within:
                within.append(True)
                with torch.enable_grad():
                    check([other], "stepwise", torch.float32)
                within.clear()
            again()

        return turn

    monkeypatch.setattr(cuda_graph, "capture", interrupted)
    check([p], "stepwise", torch.float32)
    assert len(chunks) == 4  # forward and backward of each
    check([p], "stepwise", torch.float32)
    assert len(chunks) == 4


def test_replay_in_two_threads(chunks, monkeypatch):
    """Both have copied in what is theirs before either replays: each replays its own."""
    problems = [problem(cells.load("lstm"), 3, 2, 5, 12, seed=seed) for seed in (0, 1)]
    capture, both, interpreter = cuda_graph.capture, Barrier(2), RLock()

    def together(work: Callable[[], None]) -> Callable[[], None]:
        with interpreter:
            again = capture(work)

        def turn() -> None:
            both.wait(timeout=60)
            with interpreter:  # Triton's runs one kernel at a time
                again()

        return turn

    monkeypatch.setattr(cuda_graph, "capture", together)
    expected = [solve(p, "eager", torch.float32) for p in problems]
    for _ in range(2):
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda p: solve(p, "stepwise", torch.float32), problems))
        for one, right in zip(found, expected, strict=True):
            agree([one], [right], TOLERANCE["schedule", torch.float32])
    assert len(chunks) == 4  # of two threads, forward and backward


def test_replay_on_two_streams(chunks, monkeypatch):
    """What one stream has enqueued may still run when the next call comes, so another stream captures anew; later calls on both do not."""
    p = problem(cells.load("vanilla"), 3, 2, 5, 7)
    for stream, captured in ((7, 1), (8, 2), (7, 2), (8, 2)):
        monkeypatch.setattr(cuda_graph, "current_stream_handle", lambda device, stream=stream: stream)
        with torch.no_grad():
            outputs(p, "stepwise")
        assert len(chunks) == captured


def test_replay_in_inference_mode(chunks):
    """What was captured there serves where gradients are only off."""
    p = problem(cells.load("vanilla"), 3, 2, 5, 7)
    with torch.inference_mode():
        inferred = outputs(p, "stepwise")
    with torch.no_grad():
        agree([outputs(p, "stepwise")], [inferred], TOLERANCE["two ways", torch.float32])
    assert len(chunks) == 1


@pytest.mark.parametrize("name", [in_full("lstm"), "minimal", in_full("gru_reset_before")])
def test_replay_with_low_memory(name, chunks, monkeypatch):
    """Whole histories without terms are captured apart from a run that keeps both, and from one that keeps neither."""
    monkeypatch.setattr(checkpointing, "CHUNK", 6)
    p = problem(cells.load(name), 13, 2, 5, 12)
    for backend in ("stepwise-low", "stepwise", "stepwise-low"):
        check([p], backend, torch.float32)
        with torch.no_grad():
            outputs(p, backend)
    assert len(chunks) == 4  # both forward passes, their one backward pass, and forward without gradients


def test_replay_of_given_rows(chunks):
    """A chunk captured for a run that may write its rows serves one that may not, and the other way round."""
    p = problem(cells.load("gru"), 3, 2, 5, 12)
    for _ in range(2):
        check([p], "stepwise", torch.float32)
        tensors = [None if t is None else t.detach().requires_grad_() for t in rows(p)]
        before = [None if t is None else t.detach().clone() for t in tensors]
        y, _ = Recurrence.apply(plan(p.cell), SCHEDULES["stepwise"], True, len(p.given["x"]), *tensors, p.given["h"])
        torch.autograd.grad(y, [t for t in tensors if t is not None], p.upstream["y"])
        agree([{"y": y}], [{"y": outputs(p, "stepwise")["y"]}], TOLERANCE["two ways", torch.float32])
        assert all(t is None or torch.equal(t, b) for t, b in zip(tensors, before, strict=True))
