"""The stencil kernels: a whole sequence in one launch, forward and backward, for any plan whose units read their neighbours.

A program owns BLOCK units of the grid of one sequence. Units exchange their states through the history in global memory, which training
keeps anyway, with a barrier after each step. If one program holds the whole grid that is a block barrier. Otherwise the TILES programs
of a sequence use a grid barrier (`grid_barrier`) with a counter per sequence.

The inputs of a step are its states, terms, vectors and stencil values, in that order; F takes them all. Stencil k sums state
STENCIL_STATE[k] of the units OFFSETS[k] away, with weights taps[k] (taps, H), which are zero beyond the grid.
"""

import triton
import triton.language as tl

from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE
from kernels.schedules.persistent.matrices import load
from kernels.schedules.persistent.time_loop import add_loads, add_to, fetch, sync_programs


@triton.jit
def locate_units(first, B, counters, TILES: tl.constexpr, BLOCK: tl.constexpr):
    # Returns this program's sequence (a launch begins at sequence `first`), the rows of a time step, its units and its counter.
    sequence = tl.program_id(0) // TILES
    unit = tl.program_id(0) % TILES * BLOCK + tl.arange(0, BLOCK)
    return (first + sequence).to(tl.int64), B.to(tl.int64), unit, counters + sequence * COUNTER_STRIDE


@triton.jit
def sum_neighbours(source, taps, OFFSETS: tl.constexpr, n: tl.constexpr, SIGN: tl.constexpr, unit, H: tl.constexpr):
    # Applies stencil n to the row at `source`; SIGN -1 reads the neighbours at the negative offsets, for the transpose.
    total = tl.zeros(unit.shape, tl.float32)
    for k in tl.static_range(len(OFFSETS[n])):
        neighbour = unit + SIGN * OFFSETS[n][k]
        inside = (unit < H) & (neighbour >= 0) & (neighbour < H)
        total += load(taps, k, unit, H, unit < H) * load(source, 0, neighbour, H, inside)
    return total


@triton.jit
def collect_inputs(
    states, S: tl.constexpr, N: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr,
    taps, OFFSETS: tl.constexpr, STENCIL_STATE: tl.constexpr, initial, history, t, row, batch, unit, H: tl.constexpr,
):  # fmt: skip
    # Returns all inputs of step t, given the states.
    values = states
    inside = unit < H
    fetched = fetch(loads, LOAD_STRIDE, row, row + t * batch, unit, inside)
    for n in tl.static_range(S, N - len(STENCIL_STATE)):
        values = values + (add_loads(fetched, LOAD_INPUT, n, tl.zeros(unit.shape, tl.float32)),)
    for k in tl.static_range(len(STENCIL_STATE)):
        source = initial[STENCIL_STATE[k]] + row * H
        if t > 0:
            source = history[STENCIL_STATE[k]] + (row + (t - 1) * batch) * H
        values = values + (sum_neighbours(source, taps[k], OFFSETS, k, 1, unit, H),)
    return values


@triton.jit(do_not_specialize=["first", "T", "B"])
def forward(
    F: tl.constexpr, N: tl.constexpr, S: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr,
    taps, OFFSETS: tl.constexpr, STENCIL_STATE: tl.constexpr, initial, history, STORED: tl.constexpr,
    counters, first, T, B, H: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # Only the states with STORED are written; the others share the memory of another state's history, a step later.
    row, batch, unit, counter = locate_units(first, B, counters, TILES, BLOCK)
    inside = unit < H
    states = ()
    for s in tl.static_range(S):
        states = states + (load(initial[s], row, unit, H, inside),)
    for t in range(T):
        states = F(
            *collect_inputs(
                states, S, N, loads, LOAD_INPUT, LOAD_STRIDE, taps, OFFSETS, STENCIL_STATE, initial, history, t, row, batch, unit, H
            )
        )
        for s in tl.static_range(S):
            if STORED[s]:
                tl.store(history[s] + (row + t * batch) * H + unit, states[s], mask=inside)
        sync_programs(counter, (t + 1) * TILES, TILES)


@triton.jit(do_not_specialize=["first", "T", "B"])
def backward(
    F: tl.constexpr, N: tl.constexpr, S: tl.constexpr, V: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr,
    stores, STORE_INPUT: tl.constexpr, STORE_STRIDE: tl.constexpr, taps, transposed_taps, OFFSETS: tl.constexpr,
    STENCIL_STATE: tl.constexpr, d_stencils,
    initial, history, dy, d_final, d_initial, d_vectors,
    counters, first, T, B, H: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # F is the adjoint: it takes the N inputs and the gradients of the next states, and returns the gradients of the inputs; that of
    # input STORE_INPUT[j] goes to stores[j], rows STORE_STRIDE[j] apart. The gradients of the values of stencil k are exchanged through
    # d_stencils[k] (2, B, H), a double buffer: so one barrier in each step is enough. transposed_taps[k] are the weights of the
    # transposed stencil.
    row, batch, unit, counter = locate_units(first, B, counters, TILES, BLOCK)
    inside = unit < H
    d_states = ()
    d_vector_sums = ()
    for s in tl.static_range(S):
        d_states = d_states + (load(d_final[s], row, unit, H, inside),)
    for _ in tl.static_range(V):
        d_vector_sums = d_vector_sums + (tl.zeros(unit.shape, tl.float32),)
    for i in range(T):
        t = T - 1 - i
        row_t = row + t * batch
        states = ()
        for s in tl.static_range(S):
            previous = initial[s] + row * H
            if t > 0:
                previous = history[s] + (row_t - batch) * H
            states = states + (load(previous, 0, unit, H, inside),)
        upstream = d_states
        if dy is not None:
            upstream = add_to(upstream, S, 0, load(dy, row_t, unit, H, inside))
        inputs = collect_inputs(
            states, S, N, loads, LOAD_INPUT, LOAD_STRIDE, taps, OFFSETS, STENCIL_STATE, initial, history, t, row, batch, unit, H
        )
        gradients = F(*inputs, *upstream)
        for j in tl.static_range(len(STORE_INPUT)):
            tl.store(stores[j] + row_t * STORE_STRIDE[j] + unit, gradients[STORE_INPUT[j]], mask=inside)
        half = ((i % 2) * batch + row) * H
        for k in tl.static_range(len(STENCIL_STATE)):
            tl.store(d_stencils[k] + half + unit, gradients[N - len(STENCIL_STATE) + k], mask=inside)
        sync_programs(counter, (i + 1) * TILES, TILES)
        d_states = ()
        for s in tl.static_range(S):
            d_states = d_states + (tl.zeros(unit.shape, tl.float32) + gradients[s],)  # where the adjoint is a number
        for k in tl.static_range(len(STENCIL_STATE)):
            d_states = add_to(
                d_states, S, STENCIL_STATE[k], sum_neighbours(d_stencils[k] + half, transposed_taps[k], OFFSETS, k, -1, unit, H)
            )
        for v in tl.static_range(V):
            d_vector_sums = add_to(d_vector_sums, V, v, gradients[N - len(STENCIL_STATE) - V + v])
    for s in tl.static_range(S):
        tl.store(d_initial[s] + row * H + unit, d_states[s], mask=inside)
    for v in tl.static_range(V):
        tl.store(d_vectors[v] + row * H + unit, d_vector_sums[v], mask=inside)
