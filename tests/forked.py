"""Run the programs of a Triton grid at once on a CPU: each in a process of its own, on tensors in shared memory.

Triton's interpreter runs a grid's programs one after another, so one that waits for another would wait forever. Its atomics are
real ones; here every forked process interprets one program. An x86 machine keeps stores in order, so this shows a barrier that
waits too little or not at all, and not one whose memory order is wrong.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable

from triton.runtime import interpreter


def run(programs: int, launch: Callable[[tuple[int]], None], seconds: float = 60.0) -> None:
    """Call `launch(grid)` in `programs` processes, each being one program of the grid. Raises if one fails or they hang."""
    sys.stdout.flush()
    children = [_fork(number, programs, launch) for number in range(programs)]
    deadline = time.monotonic() + seconds
    waiting, codes = set(children), []
    while waiting and time.monotonic() < deadline:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in waiting:
            waiting.discard(pid)
            codes.append(os.waitstatus_to_exitcode(status))
        time.sleep(0.001)
    for pid in waiting:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    if waiting:
        raise TimeoutError(f"{len(waiting)} of {programs} programs still waited after {seconds} s")
    if any(codes):
        raise RuntimeError(f"programs ended with {codes}")


def _fork(number: int, programs: int, launch: Callable[[tuple[int]], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        builder = interpreter.interpreter_builder
        place, shape = builder.set_grid_idx, builder.set_grid_dim
        builder.set_grid_idx = lambda *_: place(number, 0, 0)
        builder.set_grid_dim = lambda *_: shape(programs, 1, 1)
        interpreter.GridExecutor._restore_args_dev = lambda *_: None  # it would copy shared tensors over themselves
        launch((1,))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
