"""`python -m bench` as a process of its own that is forked from one which has imported it: as a new one, without seconds of imports."""

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.cli import QUIET
from bench.measure.process_start import start_uninterrupted

ROOT = Path(__file__).parents[1]
IMPORTED = ["bench.commands.all", "bench.harness.runner", "bench.harness.supervisor", "bench.render.run_report"]


class Started:
    """A process that runs a command line, with what it prints in two files."""

    def __init__(self, *arguments: object, before: Callable[[], None] | None = None):
        os.environ.update(QUIET)  # read when torch is imported
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        folder = Path(tempfile.mkdtemp())
        self.printed = [folder / name for name in ("out", "err")]
        self.process = context.Process(target=run, args=([*map(str, arguments)], self.printed, dict(os.environ), before))
        start_uninterrupted(self.process)  # as a worker is, whose server may be this one

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid or 0, number)

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code; raises subprocess.TimeoutExpired."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("bench", timeout or 0)
        return self.process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Returns what it printed on stdout and stderr, once it has ended."""
        self.wait(timeout)
        out, err = (path.read_text() for path in self.printed)
        return out, err

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode


def finish(*arguments: object, before: Callable[[], None] | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs a command line to its end."""
    started = Started(*arguments, before=before)
    out, err = started.communicate()
    return subprocess.CompletedProcess(arguments, started.wait(), out, err)


def run(arguments: Sequence[str], printed: Sequence[Path], environ: dict[str, str], before: Callable[[], None] | None) -> None:
    """Runs in the new process, as `python -m bench` would from the root of the tree."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    # What this process starts is forked from the same server, whose pid only its parent may ask for.
    multiprocessing.forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
    for descriptor, path in enumerate(printed, 1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", buffering=1, closefd=False) for descriptor in (1, 2))
    os.chdir(ROOT)
    os.environ.update(environ)
    if before:
        before()
    from bench import cli

    sys.argv = ["bench", *arguments]
    cli.raise_on_signals()
    cli.main()
