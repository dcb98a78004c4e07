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

from bench.harness.jobs import Job, check
from bench.harness.settings import Settings
from bench.records import Case, Environment, Record

PATIENCE = 0.5
"""Seconds between two looks at a process that says nothing. The one who waits sleeps meanwhile: a processor may be timing."""

START = 240.0
"""Seconds that a process may take for what is no case's: to start, on a machine that may be busy, or to read the machine."""

LAST = 5.0
"""Seconds that a process which is stopped has to hand out what it measured."""


@dataclass(frozen=True)
class Said:
    """What runs now, and how many pieces of work are finished since it was last said."""

    words: str
    finished: int

    @property
    def timing(self) -> bool:
        """Whether calls are timed from now on: then nobody else moves."""
        return self.words.startswith("timing ")


@dataclass(frozen=True)
class Done:
    """A job is done; `spent` are seconds by activity."""

    spent: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Gone:
    """The process can't go on, and says why: a GPU takes no more work from it, or there is a fault in this program."""

    why: str
    fault: bool = False


Message = Said | Done | Gone | Record | Environment


class Died(Exception):
    """A process ended, or had to be ended, before its job: because of which cases, none where none was begun; `late` where one took too
    long."""

    def __init__(self, cases: Sequence[Case], why: str, late: bool = False):
        super().__init__(why)
        self.cases, self.late = cases, late


class Worker:
    """Does jobs of a run with these settings, one after another, in a process that is started at once and again when it has died. A case
    may take `limit` seconds to be built and checked, or to be called once."""

    def __init__(self, settings: Settings, limit: float):
        self.settings, self.limit = settings, limit
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.mark = context.RawArray("d", [-1.0, time.monotonic(), 0.0])
        self.process = context.Process(target=serve, args=(self.settings, theirs, self.mark), daemon=True)
        resource_tracker.ensure_running()  # started along with a process, it would lift the block
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which the process inherits, until it can ignore it
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        theirs.close()

    def do(self, job: Job) -> Iterator[Message | None]:
        """What the process says until the job is done; None now and then where it says nothing. It waits until a message was dealt with.

        Raises Died, and RuntimeError where this program is at fault.
        """
        if not self.process.is_alive():
            self.start()
        try:
            self.pipe.send(job)
            yield from self.messages(job)
        except (EOFError, OSError):
            self.process.join()
            raise Died(self.guilty(job), self.ending()) from None

    def messages(self, job: Job) -> Iterator[Message | None]:
        while True:
            if not self.pipe.poll(PATIENCE):
                guilty = self.guilty(job)
                limit = self.limit if guilty else max(self.limit, START)
                if time.monotonic() - self.mark[1] > limit:
                    self.kill()
                    raise Died(guilty, f"took longer than {limit:.0f} s", late=True)
                yield None
                continue
            message = self.pipe.recv()
            if isinstance(message, Gone):
                self.kill()
                if message.fault:
                    raise RuntimeError(message.why)
                raise Died(self.guilty(job), message.why)
            yield message
            if isinstance(message, Done):
                return
            self.pipe.send(None)

    def last_words(self) -> Iterator[Message]:
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

    def guilty(self, job: Job) -> list[Case]:
        """The case at hand and, while it is checked, those that share its check."""
        number, sharing = int(self.mark[0]), bool(self.mark[2])
        if not 0 <= number < len(job.cases):
            return []
        case = job.cases[number]
        return [other for other in job.cases if other == case or (sharing and check(other) == check(case))]

    def ending(self) -> str:
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"the process that ran it ended with exit code {code}"
        return f"the process that ran it was killed by {signal.Signals(-code).name}"


def serve(settings: Settings, pipe: Connection, mark: Any) -> None:
    """In the new process: do the jobs that come through the pipe. What libraries print is no data, and ends on stderr."""
    os.dup2(sys.stderr.fileno(), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both; the parent says when to stop
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, interrupted)
    threading.Thread(target=follow, daemon=True).start()

    def say(message: Message) -> None:
        pipe.send(message)
        pipe.recv()

    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        attend(settings, pipe, say, mark)


def attend(settings: Settings, pipe: Connection, say: Callable[[Message], None], mark: Any) -> None:
    import numpy as np

    from bench.harness.runner import Lost, Runner

    runner: Runner | None = None
    while True:
        job = pipe.recv()
        mark[:] = [-1.0, time.monotonic(), 0.0]

        def at(case: Case, checking: bool, job: Job = job) -> None:
            mark[:] = [float(job.cases.index(case)), time.monotonic(), float(checking)]

        try:
            runner = runner or Runner(settings, say, lambda words, finished: say(Said(words, finished)))
            with np.errstate(all="ignore" if job.kind == "check" else None):  # interpreted, lanes outside of a tensor compute too
                runner.run(job, at)
        except Lost as error:
            pipe.send(Gone(str(error)))
        except (EOFError, BrokenPipeError):
            raise
        except Exception:
            pipe.send(Gone(traceback.format_exc(), fault=True))
        else:
            pipe.send(Done(runner.watch.taken()))


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def follow() -> None:
    """Whoever asked for the work is gone: then no one wants it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
