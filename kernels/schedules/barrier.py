"""A barrier among the programs of one batch tile, once per time step, through a counter in global memory.

Protocol. A counter per batch tile, zero when the kernel starts, only ever counts up: after step t every one of its n programs
has added 1, so it stands at n·(t + 1), and whoever sees it there may read what all of them stored in step t. Nobody can be a
whole step ahead, since each step is waited for, and no slot is written twice: a state of step t goes to a place of its own.

Memory order. `arrive`: all threads of a program store, then meet (`debug_barrier`, bar.sync, which orders their stores before
what follows, for the program), then one thread adds with release at gpu scope: its own and, since causality carries through
the barrier, the others' stores are visible to whoever acquires that value. `wait`: one thread polls with acquire at gpu scope
(an atomic add of 0, whose result is used, so it can't be dropped), then all meet, and only then does anyone load. Loads after
it can't be satisfied by stale L1 lines: the addresses were never read before.

It never hangs if all programs are resident at once: the grid is at most as large as that, and launched cooperatively, so a
grid that doesn't fit is an error and not a deadlock.
"""

import triton
import triton.language as tl

LINE = tl.constexpr(32)  # counters are as many int32 apart: a 128-byte line each


@triton.jit
def arrive(counter):
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release", scope="gpu")


@triton.jit
def wait(counter, target):
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < target:
        pass
    tl.debug_barrier()
