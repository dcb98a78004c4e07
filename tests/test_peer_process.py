"""Backends in processes of their own: as if they were here, timed there, and gone when nobody needs them."""

import os
import signal

import pytest
import torch

from bench.measure import peer_process
from bench.measure.backends import Unsupported, Workload, build_workload
from bench.measure.clock import Rule, interleave
from bench.measure.peer_process import PEER_BUILDERS, RemoteWorkload, find_process, wait_for_idle_threads
from bench.records.backend_table import TABLE
from tests.test_onnx_peers import given

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def remote() -> RemoteWorkload:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    work = build_workload("onnxruntime", given("lstm"))
    assert isinstance(work, RemoteWorkload)
    return work


def test_every_such_backend_has_a_row():
    assert {name for name, row in TABLE.items() if row.apart} == PEER_BUILDERS.keys()


def test_an_answer_comes_from_the_other_process(remote):
    assert remote.peer.process.pid != os.getpid()
    answer, y = remote.answer(), remote.infer()
    assert answer.outputs[0].equal(y) and (y - remote.problem.answer.outputs[0]).abs().max() < 1e-5
    remote.roll_batch(1)
    assert remote.infer().roll(-1, 1).allclose(y)
    remote.roll_batch(-1)


def test_turns_are_timed_there(remote):
    """Beside one of this process. The calls of a burst have rounds of their own."""
    local = build_workload("vendor", given("lstm"))
    assert type(local) is Workload
    contestants = {name: work.make_contestant("inference") for name, work in (("here", local), ("there", remote))}

    def fail(key: str, error: Exception) -> None:
        raise error

    taken = interleave(contestants, Rule(fewest=6, most=6, burst=3), 0, CPU, lambda key: None, fail)
    assert all(samples.rounds == [*range(3, 9)] and min(samples.seconds) > 0 for samples in taken.values())


def test_a_workload_that_is_gone_is_forgotten(remote):
    before = remote.peer.dropped.copy()
    build_workload("onnxruntime", given("gru"))
    assert len(remote.peer.dropped) == len(before) + 1
    remote.infer()
    assert not remote.peer.dropped


def test_errors_come_back():
    pytest.importorskip("onnxruntime")
    with pytest.raises(Unsupported, match="takes float32"):
        build_workload("onnxruntime", given("lstm", "float64"))


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setattr(peer_process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"jax is not installed: pip install jax, or make cpu-peers"):
        build_workload("jax", given("lstm"))


def test_a_process_that_dies_is_replaced(remote):
    os.kill(remote.peer.process.pid or 0, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended with exit code -9"):
        remote.infer()
    assert find_process("onnxruntime") is not remote.peer
    assert build_workload("onnxruntime", given("lstm")).infer().shape == (4, 3, 6)


def test_waits_for_threads_that_spin(monkeypatch):
    clock = iter([0.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(peer_process.time, "process_time", lambda: next(clock))
    wait_for_idle_threads()
    assert list(clock) == []
