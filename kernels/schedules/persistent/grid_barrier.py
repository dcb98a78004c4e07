"""A barrier among the programs (thread blocks) of one batch tile, at least one a time step, through a counter in global memory.

Protocol. Each batch tile has a counter that is zero when the kernel starts and only counts up: at the k-th barrier each of the n
programs adds 1 and waits until the counter is at least n·k. A program that has passed may read whatever the others stored before that
barrier, and no program is ever a whole barrier ahead. No slot is written twice in a launch: step t writes to slots of its own, so a fast
program never overwrites what a slow one still reads. (The stencil kernels alternate between two slots for what only one step reads: a
program that writes a slot again has passed a barrier with all its readers since.) A counter is not reused: the next launch has new ones.

Memory order. `arrive`: all threads of a program store, then wait for each other (`debug_barrier`, bar.sync, which orders their stores
before what follows, within the program), then one thread adds with release at gpu scope. Release is cumulative: its own stores and,
through the block barrier, the other threads' stores are visible to whoever acquires that value. `wait`: one thread polls with acquire
at gpu scope, then all threads wait for each other, and only then does any of them load: those loads come after the acquire. The poll is
inline PTX, which Triton may neither drop nor move (`is_pure=False`) and which costs a load and a branch a try; Triton's own atomic
hands its result to all threads through shared memory, two block barriers a try. Causality order in PTX's memory model runs from the
release over the acquire of that one thread and the block barrier to the loads of the others, as it does where all threads are given the
result. That holds for ordinary loads, through L1: an acquire at gpu scope drops what L1 held, and the barrier keeps every load behind
it. (A line may hold the end of one step's slot and the start of the next one's, so L1 may well have held it.) `tests/test_time_loop.py`
finds both block barriers, the release and the acquire in the PTX, in this order: before triton put barriers around a release of its
own, the one in front of it had to be written, and it still is.

It never hangs if all programs are on the device at once: the grid is at most as large as that, and launched cooperatively, so a grid that
doesn't fit is an error and not a deadlock.

Others were weighed and not tried for want of a device: a counter that resets itself by its sign flips (what cooperative groups do)
saves the zeroing, which is one small memset a launch; flags that travel with the data save the second trip to L2, and would
double what is stored.
"""

import triton
import triton.language as tl
from triton.runtime.jit import JITFunction

COUNTER_STRIDE = tl.constexpr(32)  # int32 between two counters: each has a 128-byte line of its own


@triton.jit
def arrive(counter):
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release", scope="gpu")


COMPILED = tl.constexpr(isinstance(arrive, JITFunction))  # False in Triton's interpreter, which runs no PTX

POLL = tl.constexpr("""{
    .reg .pred p;
    .reg .b32 x;
    mov.u32 x, %tid.x;
    setp.ne.u32 p, x, 0;
    @p bra met;
poll:
    ld.acquire.gpu.global.b32 x, [$1];
    setp.lt.s32 p, x, $2;
    @p bra poll;
met:
    mov.u32 $0, 0;
}""")


@triton.jit
def wait(counter, target):
    if COMPILED:
        tl.inline_asm_elementwise(POLL, "=r,l,r", [counter, target], dtype=tl.int32, is_pure=False, pack=1)
    else:
        while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < target:
            pass
    tl.debug_barrier()
