"""The kernels of an iteration: the affine scan of the residuals in chunks of time, and the check of convergence.

Step i of a system follows from step i - 1. In the forward direction it is time step i, and its row of the trajectory is i + 1; in a
reversed one it is time step T - 1 - i, with the row of that number. `converged[k]` is the number of steps that had converged before
iteration k: T once all have, and then no kernel changes anything. `seen` is the k that a kernel decides by.

`chunk_ends` is that of `kernels.schedules.scan.scan_kernels`, with chunks in the order of the steps.
"""

import triton
import triton.language as tl

from kernels.schedules.scan.scan_kernels import apply_chunk, chunk_range, constant_tiles, mask_if, select, store_summary


@triton.jit
def locate_step(i, T, REVERSED: tl.constexpr):
    # Returns the time step of step i, and its row of the trajectory.
    if REVERSED:
        t = T - 1 - i
        row = t
    else:
        t = i
        row = t + 1
    return t, row


@triton.jit
def load_residuals(values, rows, S: tl.constexpr, i, T, n, elements, inside, REVERSED: tl.constexpr):
    t, row = locate_step(i, T, REVERSED)
    found = ()
    for s in tl.static_range(S):
        value = tl.load(values[s] + t * elements + n, mask=inside, other=0.0)
        found = found + (value - tl.load(rows[s] + row * elements + n, mask=inside, other=0.0),)
    return found


@triton.jit
def load_slopes(slopes, i, T, n, elements, inside, REVERSED: tl.constexpr):
    t, _ = locate_step(i, T, REVERSED)
    found = ()
    for k in tl.static_range(len(slopes)):
        found = found + (tl.load(slopes[k] + t * elements + n, mask=inside, other=0.0),)
    return found


@triton.jit
def multiply(slopes, values, added, S: tl.constexpr):
    # Returns added + slopes · values, with the slopes by rows.
    result = ()
    for s in tl.static_range(S):
        total = added[s]
        for r in tl.static_range(S):
            total += slopes[s * S + r] * values[r]
        result = result + (total,)
    return result


@triton.jit(do_not_specialize=["seen", "T", "elements", "length"])
def chunk_summary(
    values, slopes, rows, chunk_ends, converged, seen, T, elements, length, STATES: tl.constexpr, REVERSED: tl.constexpr,
    BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # STATES: the indices of all states.
    S: tl.constexpr = len(STATES)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    elements = elements.to(tl.int64)
    start, stop = chunk_range(T, length)
    inside = n < elements
    zeros = constant_tiles(S, -1, BLOCK)
    ends = zeros
    columns = ()
    for j in tl.static_range(S):
        columns = columns + (constant_tiles(S, j, BLOCK),)
    if tl.load(converged + seen) != T:
        for first in range(start, stop, STEPS):
            residuals = ()
            factors = ()
            for u in tl.static_range(STEPS):
                inside_t = mask_if(n, elements, first + u < stop)
                residuals = residuals + (load_residuals(values, rows, S, first + u, T, n, elements, inside_t, REVERSED),)
                factors = factors + (load_slopes(slopes, first + u, T, n, elements, inside_t, REVERSED),)
            for u in tl.static_range(STEPS):
                inside_t = mask_if(n, elements, first + u < stop)
                ends = select(inside_t, multiply(factors[u], ends, residuals[u], S), ends)
                new_columns = ()
                for j in tl.static_range(S):
                    new_columns = new_columns + (select(inside_t, multiply(factors[u], columns[j], zeros, S), columns[j]),)
                columns = new_columns
        store_summary(chunk_ends, ends, columns, STATES, n, elements, inside)


@triton.jit(do_not_specialize=["seen", "T", "elements", "length"])
def update(
    values, slopes, rows, chunk_ends, converged, seen, T, elements, length, STATES: tl.constexpr, REVERSED: tl.constexpr,
    BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # Adds the scan of the residuals to the trajectory. What overflows becomes 0.
    S: tl.constexpr = len(STATES)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    elements = elements.to(tl.int64)
    start, stop = chunk_range(T, length)
    inside = n < elements
    changes = constant_tiles(S, -1, BLOCK)
    if tl.load(converged + seen) != T:
        if chunk_ends is not None:
            for c in range(tl.program_id(1)):
                changes = apply_chunk(changes, STATES, chunk_ends, c, n, elements, inside)
        for first in range(start, stop, STEPS):
            residuals = ()
            factors = ()
            for u in tl.static_range(STEPS):
                inside_t = mask_if(n, elements, first + u < stop)
                residuals = residuals + (load_residuals(values, rows, S, first + u, T, n, elements, inside_t, REVERSED),)
                factors = factors + (load_slopes(slopes, first + u, T, n, elements, inside_t, REVERSED),)
            for u in tl.static_range(STEPS):
                inside_t = mask_if(n, elements, first + u < stop)
                changes = select(inside_t, multiply(factors[u], changes, residuals[u], S), changes)
                _, row = locate_step(first + u, T, REVERSED)
                for s in tl.static_range(S):
                    place = rows[s] + row * elements + n
                    new = tl.load(place, mask=inside_t, other=0.0) + changes[s]
                    tl.store(place, tl.where(tl.abs(new) < float("inf"), new, 0.0), mask=inside_t)


@triton.jit
def finite(v):
    # Returns |v| where it is finite, else 0.
    return tl.where(tl.abs(v) < float("inf"), tl.abs(v), 0.0)


@triton.jit(do_not_specialize=["seen", "k", "T", "B", "tolerance"])
def check(
    values, rows, converged, seen, k, T, B, tolerance, H: tl.constexpr, STATES: tl.constexpr, REVERSED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    # Program (i, b) lowers converged[k + 1] to i if a residual of sequence b in step i is above the tolerance, or no number.
    i, b = tl.program_id(0), tl.program_id(1)
    if tl.load(converged + seen) != T:
        t, row = locate_step(i, T, REVERSED)
        source = 2 * t + 1 - row
        for s in tl.static_range(len(STATES)):
            largest = tl.zeros([BLOCK], tl.float32)
            scale = tl.zeros([BLOCK], tl.float32)
            for first in range(0, H, BLOCK):
                unit = first + tl.arange(0, BLOCK)
                inside = unit < H
                value = tl.load(values[s] + (t.to(tl.int64) * B + b) * H + unit, mask=inside, other=0.0)
                now = tl.load(rows[s] + (row.to(tl.int64) * B + b) * H + unit, mask=inside, other=0.0)
                before = tl.load(rows[s] + (source.to(tl.int64) * B + b) * H + unit, mask=inside, other=0.0)
                off = tl.abs(value - now)
                largest = tl.maximum(largest, tl.where(off < float("inf"), off, float("inf")))
                scale = tl.maximum(scale, tl.maximum(finite(value), finite(before)))
            if tl.max(largest, 0) > tolerance * tl.max(scale, 0):
                tl.atomic_min(converged + k + 1, i)
