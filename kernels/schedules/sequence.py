"""The resident kernels: a whole sequence in one launch, forward and backward, for any plan of one stage.

A program owns BB sequences and BN units. It loads its slices of the recurrent matrices once, in front of the loop, as tiles of
BK: the compiler keeps them in shared memory and registers. In each step it multiplies them with the whole rows of the last
step, which all programs of its batch tile made; between two steps they meet at a barrier. With one program to a batch tile
there is nobody to wait for.
"""

import triton
import triton.language as tl

from kernels.schedules.barrier import LINE, arrive, wait


@triton.jit
def load(pointer, row, column, stride: tl.constexpr, inside):
    return tl.load(pointer + row * stride + column, mask=inside, other=0.0)


@triton.jit
def forward(
    F: tl.constexpr, N: tl.constexpr, S: tl.constexpr,
    loads, INTO: tl.constexpr, FROM: tl.constexpr, stores, OF: tl.constexpr, TO: tl.constexpr,
    weights, TERM: tl.constexpr, STATE: tl.constexpr, initial, history, counters,
    T, B, H: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # loads[j] adds to input INTO[j]; FROM[j] = (row stride, 1 if it is at a time). Inputs 0 … S - 1 are the states.
    # weights[p] (H, H) times state STATE[p] adds to input TERM[p].
    programs: tl.constexpr = (H + BN - 1) // BN
    chunks: tl.constexpr = (H + BK - 1) // BK
    rows = (tl.program_id(0) // programs).to(tl.int64) * BB + tl.arange(0, BB)
    units = tl.program_id(0) % programs * BN + tl.arange(0, BN)
    row, unit = rows[:, None], units[None, :]
    wide = B.to(tl.int64)
    here = (row < B) & (unit < H)
    counter = counters + tl.program_id(0) // programs * LINE

    held = ()
    for p in tl.static_range(len(TERM)):
        for k in tl.static_range(chunks):
            across = k * BK + tl.arange(0, BK)
            held = held + (load(weights[p], unit, across[:, None], H, (unit < H) & (across[:, None] < H)),)
    states = ()
    for s in tl.static_range(S):
        states = states + (load(initial[s], row, unit, H, here).to(tl.float32),)

    for t in range(T):
        at = row + t * wide
        values = ()
        for i in tl.static_range(N):
            value = tl.zeros([BB, BN], tl.float32)
            if i < S:
                value = states[i]
            for j in tl.static_range(len(INTO)):
                if INTO[j] == i:
                    if FROM[j][1] == 1:
                        value += load(loads[j], at, unit, FROM[j][0], here).to(tl.float32)
                    else:
                        value += load(loads[j], row, unit, FROM[j][0], here).to(tl.float32)
            values = values + (value,)
        if programs > 1:
            if t > 0:
                wait(counter, t * programs)
        sums = ()
        for p in tl.static_range(len(TERM)):
            sums = sums + (tl.zeros([BB, BN], tl.float32),)
        for s in tl.static_range(S):
            last = initial[s]
            if t > 0:
                last = history[s] + (t - 1) * wide * H
            for k in tl.static_range(chunks):
                across = k * BK + tl.arange(0, BK)[None, :]
                operand = load(last, row, across, H, (row < B) & (across < H))
                added = ()
                for p in tl.static_range(len(TERM)):
                    if STATE[p] == s:
                        added = added + (tl.dot(operand, held[p * chunks + k], sums[p], input_precision=PRECISION),)
                    else:
                        added = added + (sums[p],)
                sums = added
        inputs = ()
        for i in tl.static_range(N):
            value = values[i]
            for p in tl.static_range(len(TERM)):
                if TERM[p] == i:
                    value += sums[p]
            inputs = inputs + (value,)
        states = F(*inputs)
        for s in tl.static_range(S):
            tl.store(history[s] + at * H + unit, states[s], mask=here)
        for j in tl.static_range(len(OF)):
            tl.store(stores[j] + at * TO[j] + unit, inputs[OF[j]], mask=here)
        if programs > 1:
            arrive(counter)
        else:
            tl.debug_barrier()
