"""Runs backends of other libraries in processes of their own, so that their thread pools, settings and memory are apart from all others.

A pool may spin for milliseconds after a call, in this process and in theirs, and would slow whatever is timed next. So before a peer's turn
this process waits until its own threads sleep, and a peer answers only when its threads sleep. A call is timed in the peer's process.
"""

import importlib.util
import multiprocessing
import pickle
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from bench.measure import compile_peer, jax_peer, onnx_peers
from bench.measure.clock import Contestant, Timer, time_once
from bench.measure.failure import describe_error
from bench.measure.problem import Answer, Problem, make_problem
from bench.measure.process_start import end_with_parent, ignore_interrupts, start_uninterrupted
from bench.measure.workload import Result, Unsupported, Workload
from bench.records import Mode
from bench.records.backend_table import find_backend

PEER_BUILDERS: dict[str, Callable[[Problem], Workload]] = {
    "onnxruntime": onnx_peers.build_onnxruntime, "openvino": onnx_peers.build_openvino, "jax": jax_peer.build_jax,
    "torch_compile": compile_peer.build_compiled_loop,
}  # fmt: skip
"""The function that builds the workload of each of these backends in its process. Each imports its library when it is called."""

MOMENT = 0.001
"""The seconds over which `wait_for_idle_threads` looks at this process."""
PATIENCE = 250
"""The number of moments that it waits at most: some pools spin as long as there is work for others."""


def wait_for_idle_threads() -> None:
    """Sleeps until no thread of this process runs, for a quarter of a second at most."""
    for _ in range(PATIENCE):
        before = time.process_time()
        time.sleep(MOMENT)
        if time.process_time() - before < MOMENT / 5:
            return


class PeerProcess:
    """A process that builds and runs the workloads of one backend. It ends with this one."""

    def __init__(self, backend: str):
        multiprocessing.current_process().daemon = False  # which may not start a process; this one is killed by name anyway
        context = multiprocessing.get_context("forkserver")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve_peer, args=(backend, theirs, torch.get_num_threads()), daemon=True)
        start_uninterrupted(self.process)
        theirs.close()
        self.count, self.dropped = 0, list[int]()

    def ask(self, number: int, name: str, *arguments: Any) -> Any:
        """Calls a method of a workload there and returns its result, or raises its exception.

        Args:
            number: The number of the workload.
            name: The method; "build" makes the workload, from the arguments of `make_problem`.
            arguments: The arguments.

        Raises:
            RuntimeError: The process has ended.
        """
        dropped, self.dropped = self.dropped, []
        try:
            self.pipe.send_bytes(pickle.dumps((dropped, number, name, arguments)))
            good, found = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self.process.join()
            find_process.cache_clear()
            raise RuntimeError(f"the process of the peer ended with exit code {self.process.exitcode}") from None
        if not good:
            raise found
        return found

    def drop(self, number: int) -> None:
        """Lets the process forget a workload, with the next request."""
        self.dropped.append(number)


@cache
def find_process(backend: str) -> PeerProcess:
    """Returns the process of a backend, and starts it the first time."""
    return PeerProcess(backend)


class RemoteWorkload(Workload):
    """A workload in the process of its backend, as `Workload` is one in this process.

    Args:
        backend: The backend.
        problem: The problem. The process makes the same from its names.
    """

    def __init__(self, backend: str, problem: Problem):
        if (package := find_backend(backend).package) and importlib.util.find_spec(package) is None:
            raise Unsupported(f"{package} is not installed: pip install {package}, or make cpu-peers for all such peers")
        if problem.device.type != "cpu":
            raise Unsupported("runs on a CPU")
        super().__init__(problem, refuse_forward, [problem.x.clone()], [], lambda gradients: {})
        self.peer = find_process(backend)
        self.number = self.peer.count = self.peer.count + 1
        size = problem.T, problem.B, problem.D, problem.H, str(problem.dtype).removeprefix("torch."), problem.device.type, problem.seed
        self.peer.ask(self.number, "build", problem.name, *size)
        weakref.finalize(self, self.peer.drop, self.number)

    def infer(self) -> Tensor:
        return self.peer.ask(self.number, "infer")

    def train(self) -> tuple[Tensor, ...]:
        return self.peer.ask(self.number, "train")

    def answer(self) -> Answer:
        return self.peer.ask(self.number, "answer")

    def roll_batch(self, rows: int) -> None:
        super().roll_batch(rows)
        self.peer.ask(self.number, "roll_batch", rows)

    def make_contestant(self, mode: Mode) -> Contestant:
        return RemoteContestant(self, mode)


def refuse_forward(*_: object) -> Result:
    raise NotImplementedError("the outputs of a peer are those of `infer` and `answer`")


class RemoteContestant(Contestant):
    """A call that its own process times."""

    elsewhere = True

    def __init__(self, work: RemoteWorkload, mode: Mode):
        super().__init__(work.infer if mode == "inference" else work.train)
        self.work, self.mode = work, mode

    def take_turn(self, device: torch.device, timer: Timer, calls: int, warm: bool) -> list[tuple[float, float]]:
        wait_for_idle_threads()
        return self.work.peer.ask(self.work.number, "take_turn", self.mode, calls, warm)


def serve_peer(backend: str, pipe: Connection, threads: int) -> None:
    """Runs in the process of a peer: answers what `PeerProcess.ask` sends until the pipe closes."""
    ignore_interrupts()
    end_with_parent()
    torch.set_num_threads(threads)
    works: dict[int, Workload] = {}
    contestants: dict[tuple[int, Mode], Contestant] = {}

    def answer(number: int, name: str, arguments: Sequence[Any]) -> Any:
        if name == "build":
            works[number] = PEER_BUILDERS[backend](make_problem(*arguments))
            return None
        if name != "take_turn":
            return getattr(works[number], name)(*arguments)
        mode, calls, warm = arguments
        key = number, mode
        if key not in contestants:
            contestants[key] = works[number].make_contestant(mode)
        return contestants[key].take_turn(works[number].problem.device, time_once, calls, warm)

    while True:
        try:
            dropped, *request = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        for gone in dropped:
            works.pop(gone, None)
            for mode in ("training", "inference", "backward"):
                contestants.pop((gone, mode), None)
        try:
            reply = True, answer(*request)
        except Unsupported as reason:
            reply = False, reason
        except Exception as error:
            reply = False, RuntimeError(describe_error(error))
        wait_for_idle_threads()
        pipe.send_bytes(pickle.dumps(reply))
