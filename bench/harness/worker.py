"""Measures in a spawned process that is reused and, when it dies, replaced. A death costs no more than the current case."""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from bench.harness.jobs import check_key
from bench.harness.settings import Settings
from bench.harness.work_unit import Checked, WorkUnit
from bench.measure.process_start import end_with_parent, ignore_interrupts, start_uninterrupted
from bench.records import Case, Environment, Record

POLL_SECONDS = 0.5
"""The seconds between two checks of a silent process. The parent sleeps meanwhile, since the process may be timing."""

START_SECONDS = 240.0
"""The seconds that a process may take without a current case: to start on a busy machine, or to read the machine."""

PRELOADED = ["bench.harness.runner", "torch.fx.experimental.symbolic_shapes"]
"""The modules that are imported once for all processes, torch among them; no thread runs, and no GPU is touched. The second one is what
torch imports in the first call of a gradient."""

STOP_SECONDS = 5.0
"""The seconds that a stopped process has to send its finished records."""


@dataclass(frozen=True)
class Progress:
    """A message: what runs now, and the number of pieces finished since the last message."""

    words: str
    finished: int

    @property
    def timing(self) -> bool:
        """Returns whether calls are timed from now on; then other processes stay idle."""
        return self.words.startswith("timing ")


@dataclass(frozen=True)
class UnitDone:
    """A message: the unit is done. `spent` has seconds by activity."""

    spent: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerFailed:
    """A message: the process can't continue.

    Attributes:
        why: The reason.
        fault: The cause is a bug in this program, not a lost GPU.
    """

    why: str
    fault: bool = False


Message = Progress | UnitDone | WorkerFailed | Checked | Record | Environment


class WorkerDied(Exception):
    """The worker process ended, or was killed, before its unit was done.

    Attributes:
        cases: The cases that caused it; empty if none had begun.
        late: The process exceeded the time limit.
    """

    def __init__(self, cases: Sequence[Case], why: str, late: bool = False):
        super().__init__(why)
        self.cases, self.late = cases, late


class Worker:
    """Runs work units one after another in a process. The process starts at once, and again after it has died.

    Args:
        settings: The settings of the run.
        limit: The seconds that a case's check, or one call of it, may take.
    """

    def __init__(self, settings: Settings, limit: float):
        self.settings, self.limit = settings, limit
        self.start()

    def start(self) -> None:
        """Starts the process."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        pipe, theirs = context.Pipe()
        mark = context.RawArray("d", [-1.0, time.monotonic(), 0.0])
        process = context.Process(target=worker_main, args=(self.settings, theirs, mark), daemon=True)
        start_uninterrupted(process)
        theirs.close()
        self.pipe, self.mark, self.process = pipe, mark, process  # an interrupt before this leaves the former process, which has ended

    def renew(self) -> None:
        """Replaces the process before the next build: code and data then lie elsewhere. On a GPU it stays, since a new one would load
        all kernels again."""
        if self.settings.device == "cpu":
            self.kill()
            self.start()

    def run_unit(self, unit: WorkUnit) -> Iterator[Message | None]:
        """Yields the messages of the process until the unit is done, and None from time to time while there are none. The process waits
        until each message is handled.

        Args:
            unit: The work unit.

        Raises:
            WorkerDied: The process ended or was killed.
            RuntimeError: The process reported a bug in this program.
        """
        if not self.process.is_alive():
            self.start()
        try:
            self.pipe.send(unit)
            yield from self.receive(unit)
        except (EOFError, OSError):
            self.process.join()
            raise WorkerDied(self.blamed_cases(unit), self.exit_reason()) from None

    def receive(self, unit: WorkUnit) -> Iterator[Message | None]:
        while True:
            if not self.pipe.poll(POLL_SECONDS):
                guilty = self.blamed_cases(unit)
                limit = self.limit if guilty else max(self.limit, START_SECONDS)
                if time.monotonic() - self.mark[1] > limit:
                    self.kill()
                    raise WorkerDied(guilty, f"took longer than {limit:.0f} s", late=True)
                yield None
                continue
            message = self.pipe.recv()
            if isinstance(message, WorkerFailed):
                self.kill()
                if message.fault:
                    raise RuntimeError(message.why)
                raise WorkerDied(self.blamed_cases(unit), message.why)
            yield message
            if isinstance(message, UnitDone):
                return
            self.pipe.send(None)

    def drain(self) -> Iterator[Message]:
        """Stops the process and yields the messages that it still sends, such as the samples of the current timing group."""
        self.process.terminate()
        end = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll(max(0.0, end - time.monotonic())):
                yield self.pipe.recv()
                self.pipe.send(None)
        self.kill()

    def kill(self) -> None:
        """Kills the process and waits for its end."""
        self.process.kill()
        self.process.join()

    def blamed_cases(self, unit: WorkUnit) -> list[Case]:
        """Returns the current case; during its check, also the cases that share the check."""
        number, sharing = int(self.mark[0]), bool(self.mark[2])
        if not 0 <= number < len(unit.cases):
            return []
        case = unit.cases[number]
        return [other for other in unit.cases if other == case or (sharing and check_key(other) == check_key(case))]

    def exit_reason(self) -> str:
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"the process that ran it ended with exit code {code}"
        return f"the process that ran it was killed by {signal.Signals(-code).name}"


def worker_main(settings: Settings, pipe: Connection, mark: Any) -> None:
    """Runs in the new process: does the work units that arrive through the pipe. Output of libraries to stdout goes to stderr.

    Args:
        settings: The settings of the run.
        pipe: The connection to the parent: work units in, messages out.
        mark: Shared memory: the index of the current case (-1 for none), when it began on the clock of `time.monotonic`, and whether it
            is checked (1 or 0).
    """
    os.dup2(sys.stderr.fileno(), 1)
    gc.freeze()  # else each collection would look at, and copy, all objects of the imported modules
    ignore_interrupts()
    signal.signal(signal.SIGTERM, raise_interrupt)
    end_with_parent()

    def say(message: Message) -> None:
        pipe.send(message)
        pipe.recv()

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        worker_loop(settings, pipe, say, mark)


def worker_loop(settings: Settings, pipe: Connection, say: Callable[[Message], None], mark: Any) -> None:
    """Does work units until the pipe closes."""
    import numpy as np

    from bench.harness.runner import Runner, WorkerUnusable

    runner: Runner | None = None
    while True:
        unit = pipe.recv()
        mark[:] = [-1.0, time.monotonic(), 0.0]

        def at(case: Case, checking: bool, unit: WorkUnit = unit) -> None:
            mark[:] = [float(unit.cases.index(case)), time.monotonic(), float(checking)]

        try:
            runner = runner or Runner(settings, say, lambda words, finished: say(Progress(words, finished)))
            with np.errstate(all="ignore" if unit.kind == "check" else None):  # interpreted, lanes outside of a tensor compute too
                runner.run_unit(unit, at)
        except WorkerUnusable as error:
            pipe.send(WorkerFailed(str(error)))
        except (EOFError, BrokenPipeError):
            raise
        except Exception:
            pipe.send(WorkerFailed(traceback.format_exc(), fault=True))
        else:
            pipe.send(UnitDone(runner.watch.take_seconds()))


def raise_interrupt(*_: object) -> None:
    """Raises KeyboardInterrupt at the first signal only: what is finished is still being checked and sent when the parent sends its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
