"""Starts processes that a terminal's interrupt doesn't reach before they can ignore it, and that end with their parent."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess


def start_uninterrupted(process: BaseProcess) -> None:
    """Starts a process with SIGINT blocked, which it inherits, also by way of a server that forks it."""
    resource_tracker.ensure_running()  # if the start of a process started it, it would unblock SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def ignore_interrupts() -> None:
    """Ignores SIGINT in the process that was started: a terminal sends it to both, and the parent says when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def end_with_parent() -> None:
    """Starts a thread that ends this process when its parent has ended; otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=exit_after, args=(parent,), daemon=True).start()


def exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
