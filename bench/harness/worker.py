"""A process that measures: spawned, kept warm, and replaced when it dies. All that it can take down with it is the case at hand."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from bench.harness.jobs import check_key
from bench.harness.settings import Settings
from bench.harness.work_unit import WorkUnit
from bench.records import Case, Environment, Record

PATIENCE = 0.5
"""Seconds between two looks at a process that says nothing. The one who waits sleeps meanwhile: a processor may be timing."""

START = 240.0
"""Seconds that a process may take for what is no case's: to start, on a machine that may be busy, or to read the machine."""

LAST = 5.0
"""Seconds that a process which is stopped has to hand out what it measured."""


@dataclass(frozen=True)
class Progress:
    """The work that runs now, and how many pieces are finished since the last message."""

    words: str
    finished: int

    @property
    def timing(self) -> bool:
        """Return whether calls are timed from now on: the other processes stay idle then."""
        return self.words.startswith("timing ")


@dataclass(frozen=True)
class UnitDone:
    """A unit is done; `spent` are seconds by activity."""

    spent: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerFailed:
    """The process can't go on, and says why: a GPU takes no more work from it, or there is a fault in this program."""

    why: str
    fault: bool = False


Message = Progress | UnitDone | WorkerFailed | Record | Environment


class WorkerDied(Exception):
    """A process ended, or had to be ended, before its unit: because of which cases, none where none was begun; `late` where one took too
    long."""

    def __init__(self, cases: Sequence[Case], why: str, late: bool = False):
        super().__init__(why)
        self.cases, self.late = cases, late


class Worker:
    """Does units of a run with these settings, one after another, in a process that is started at once and again when it has died. A case
    may take `limit` seconds to be built and checked, or to be called once."""

    def __init__(self, settings: Settings, limit: float):
        self.settings, self.limit = settings, limit
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.mark = context.RawArray("d", [-1.0, time.monotonic(), 0.0])
        self.process = context.Process(target=worker_main, args=(self.settings, theirs, self.mark), daemon=True)
        resource_tracker.ensure_running()  # started along with a process, it would lift the block
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which the process inherits, until it can ignore it
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        theirs.close()

    def run_unit(self, unit: WorkUnit) -> Iterator[Message | None]:
        """Yield the messages of the process until the unit is done, and None now and then while there are none. The process waits for each
        to be handled.

        Raises Died, and RuntimeError where this program is at fault.
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
            if not self.pipe.poll(PATIENCE):
                guilty = self.blamed_cases(unit)
                limit = self.limit if guilty else max(self.limit, START)
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
        """Stop the process; what it still says of the race it was in."""
        self.process.terminate()
        end = time.monotonic() + LAST
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll(max(0.0, end - time.monotonic())):
                yield self.pipe.recv()
                self.pipe.send(None)
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def blamed_cases(self, unit: WorkUnit) -> list[Case]:
        """The case at hand and, while it is checked, those that share its check."""
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
    """Do the work that comes through the pipe, in the new process. What libraries print goes to stderr."""
    os.dup2(sys.stderr.fileno(), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both; the parent says when to stop
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, raise_interrupt)
    threading.Thread(target=exit_with_parent, daemon=True).start()

    def say(message: Message) -> None:
        pipe.send(message)
        pipe.recv()

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        worker_loop(settings, pipe, say, mark)


def worker_loop(settings: Settings, pipe: Connection, say: Callable[[Message], None], mark: Any) -> None:
    import numpy as np

    from bench.harness.runner import DeviceLost, Runner

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
        except DeviceLost as error:
            pipe.send(WorkerFailed(str(error)))
        except (EOFError, BrokenPipeError):
            raise
        except Exception:
            pipe.send(WorkerFailed(traceback.format_exc(), fault=True))
        else:
            pipe.send(UnitDone(runner.watch.take_seconds()))


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def exit_with_parent() -> None:
    """Exit when the parent process has ended: nobody wants the work then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
