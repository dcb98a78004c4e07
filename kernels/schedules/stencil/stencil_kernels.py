"""The stencil kernels: a whole sequence in one launch, forward and backward, for any plan whose units look at their neighbours.

A program owns a sequence and BLOCK units of its grid. What a unit reads of others is stored, as the history that training keeps anyway,
and they meet between two steps. Where a program has the whole grid that is a block barrier, and nobody waits for another block; else
the TILES programs of a sequence meet as those of a batch tile do (`barrier`), at a counter of their own.

The inputs of a step are its states, terms, vectors and what stencils find, in that order; F takes them all. Stencil k sums state
NEAR[k] of the units OFFSETS[k] away, with weights taps[k] (taps, H), which are zero where that is beyond the grid.
"""

import triton
import triton.language as tl

from kernels.schedules.persistent.grid_barrier import LINE
from kernels.schedules.persistent.matrices import load
from kernels.schedules.persistent.time_loop import fetch, meet, plus, read


@triton.jit
def place(first, B, counters, TILES: tl.constexpr, BLOCK: tl.constexpr):
    # This program's sequence, of those that a launch begins with at `first`; the rows of a time step; its units; its counter.
    sequence = tl.program_id(0) // TILES
    unit = tl.program_id(0) % TILES * BLOCK + tl.arange(0, BLOCK)
    return (first + sequence).to(tl.int64), B.to(tl.int64), unit, counters + sequence * LINE


@triton.jit
def around(source, taps, OFFSETS: tl.constexpr, n: tl.constexpr, SIGN: tl.constexpr, unit, H: tl.constexpr):
    # The sum that stencil n is over the neighbours of each unit, of a row that begins at `source`.
    total = tl.zeros(unit.shape, tl.float32)
    for k in tl.static_range(len(OFFSETS[n])):
        there = unit + SIGN * OFFSETS[n][k]
        inside = (unit < H) & (there >= 0) & (there < H)
        total += load(taps, k, unit, H, unit < H) * load(source, 0, there, H, inside)
    return total


@triton.jit
def taken(
    states, S: tl.constexpr, N: tl.constexpr, loads, INTO: tl.constexpr, FROM: tl.constexpr,
    taps, OFFSETS: tl.constexpr, NEAR: tl.constexpr, initial, history, t, row, wide, unit, H: tl.constexpr,
):  # fmt: skip
    # All inputs of step t, of which the states are known.
    values = states
    here = unit < H
    fetched = fetch(loads, FROM, row, row + t * wide, unit, here)
    for n in tl.static_range(S, N - len(NEAR)):
        values = values + (read(fetched, INTO, n, tl.zeros(unit.shape, tl.float32)),)
    for k in tl.static_range(len(NEAR)):
        source = initial[NEAR[k]] + row * H
        if t > 0:
            source = history[NEAR[k]] + (row + (t - 1) * wide) * H
        values = values + (around(source, taps[k], OFFSETS, k, 1, unit, H),)
    return values


@triton.jit(do_not_specialize=["first", "T", "B"])
def forward(
    F: tl.constexpr, N: tl.constexpr, S: tl.constexpr, loads, INTO: tl.constexpr, FROM: tl.constexpr,
    taps, OFFSETS: tl.constexpr, NEAR: tl.constexpr, initial, history, STORED: tl.constexpr,
    counters, first, T, B, H: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # Of the states only those with STORED are written: another one's history may be theirs, a step later.
    row, wide, unit, counter = place(first, B, counters, TILES, BLOCK)
    here = unit < H
    states = ()
    for s in tl.static_range(S):
        states = states + (load(initial[s], row, unit, H, here),)
    for t in range(T):
        states = F(*taken(states, S, N, loads, INTO, FROM, taps, OFFSETS, NEAR, initial, history, t, row, wide, unit, H))
        for s in tl.static_range(S):
            if STORED[s]:
                tl.store(history[s] + (row + t * wide) * H + unit, states[s], mask=here)
        meet(counter, (t + 1) * TILES, TILES)


@triton.jit(do_not_specialize=["first", "T", "B"])
def backward(
    F: tl.constexpr, N: tl.constexpr, S: tl.constexpr, V: tl.constexpr, loads, INTO: tl.constexpr, FROM: tl.constexpr,
    stores, OF: tl.constexpr, TO: tl.constexpr, taps, turned, OFFSETS: tl.constexpr, NEAR: tl.constexpr, found,
    initial, history, dy, d_final, d_initial, d_vectors,
    counters, first, T, B, H: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # F is the adjoint: it takes the N inputs and the gradients of the next states, and returns the gradients of the inputs; that of
    # input OF[j] goes to stores[j], rows TO[j] apart. What a unit owes to its neighbours goes through found[k] (2, B, H), every other
    # step through the same half: so one meeting in each step is enough, before which everybody has read the other half. turned[k] are
    # the weights of the transposed stencil.
    row, wide, unit, counter = place(first, B, counters, TILES, BLOCK)
    here = unit < H
    carried = ()
    summed = ()
    for s in tl.static_range(S):
        carried = carried + (load(d_final[s], row, unit, H, here),)
    for _ in tl.static_range(V):
        summed = summed + (tl.zeros(unit.shape, tl.float32),)
    for i in range(T):
        t = T - 1 - i
        at = row + t * wide
        states = ()
        for s in tl.static_range(S):
            last = initial[s] + row * H
            if t > 0:
                last = history[s] + (at - wide) * H
            states = states + (load(last, 0, unit, H, here),)
        upstream = carried
        if dy is not None:
            upstream = plus(upstream, S, 0, load(dy, at, unit, H, here))
        inputs = taken(states, S, N, loads, INTO, FROM, taps, OFFSETS, NEAR, initial, history, t, row, wide, unit, H)
        gradients = F(*inputs, *upstream)
        for j in tl.static_range(len(OF)):
            tl.store(stores[j] + at * TO[j] + unit, gradients[OF[j]], mask=here)
        half = ((i % 2) * wide + row) * H
        for k in tl.static_range(len(NEAR)):
            tl.store(found[k] + half + unit, gradients[N - len(NEAR) + k], mask=here)
        meet(counter, (i + 1) * TILES, TILES)
        carried = ()
        for s in tl.static_range(S):
            carried = carried + (tl.zeros(unit.shape, tl.float32) + gradients[s],)  # where the adjoint is a number
        for k in tl.static_range(len(NEAR)):
            carried = plus(carried, S, NEAR[k], around(found[k] + half, turned[k], OFFSETS, k, -1, unit, H))
        for v in tl.static_range(V):
            summed = plus(summed, V, v, gradients[N - len(NEAR) - V + v])
    for s in tl.static_range(S):
        tl.store(d_initial[s] + row * H + unit, carried[s], mask=here)
    for v in tl.static_range(V):
        tl.store(d_vectors[v] + row * H + unit, summed[v], mask=here)
