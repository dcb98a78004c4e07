"""The scan kernels: each program walks its elements of (B, H) through time, forward or backward, for any plan without a product in
the loop. What a step reads is loaded STEPS steps at once, so that memory answers all of them while one waits.

Where the step is affine in its states, time is cut into chunks of `length` steps that are walked side by side. First `reach`, or
backward `reach_back`, walks each chunk alone: it finds what comes out at its end from nothing, and its map, what comes out of each
unit vector. Then a program puts together those of all chunks that come before its own, and walks from there.

Inputs of a step are its states, terms and vectors, in that order: S, then loads[j] with rows STRIDE[j] apart, then `vectors`. CORE are
the states that a step reads: its map is between these. `chunk_ends` holds for each chunk len(CORE) ends, then their map by rows, each
over all elements.
"""

import triton
import triton.language as tl


@triton.jit
def place(B, H: tl.constexpr, BLOCK: tl.constexpr):
    # This program's elements, their rows and units, and how many there are in all.
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return n, n // H, n % H, B.to(tl.int64) * H


@triton.jit
def within(n, elements, condition):
    # The elements that exist, if a condition holds for all of them.
    return n < tl.where(condition, elements, 0)


@triton.jit
def stretch(T, length):
    # This program's chunk of time.
    start = tl.program_id(1) * length
    return start, tl.minimum(T, start + length)


@triton.jit
def read(loads, STRIDE: tl.constexpr, at, unit, inside):
    values = ()
    for j in tl.static_range(len(STRIDE)):
        values = values + (tl.load(loads[j] + at * STRIDE[j] + unit, mask=inside, other=0.0).to(tl.float32),)
    return values


@triton.jit
def known(vectors, unit, inside):
    values = ()
    for v in tl.static_range(len(vectors)):
        values = values + (tl.load(vectors[v] + unit, mask=inside, other=0.0).to(tl.float32),)
    return values


@triton.jit
def constants(COUNT: tl.constexpr, ONE: tl.constexpr, BLOCK: tl.constexpr):
    # COUNT tiles of zeros, but for a number ONE of ones.
    values = ()
    for s in tl.static_range(COUNT):
        values = values + (tl.full([BLOCK], 1.0 if s == ONE else 0.0, tl.float32),)
    return values


@triton.jit
def chosen(condition, new, old):
    # Of two tuples, as long as `old`; numbers among the new become tiles.
    values = ()
    for s in tl.static_range(len(old)):
        values = values + (tl.where(condition, new[s], old[s]),)
    return values


@triton.jit
def replaced(values, index: tl.constexpr, value):
    result = ()
    for s in tl.static_range(len(values)):
        if s == index:
            result = result + (value,)
        else:
            result = result + (values[s],)
    return result


@triton.jit
def passed(values, CORE: tl.constexpr, chunk_ends, k, n, elements, inside):
    # What comes out of chunk k where `values` go in.
    count: tl.constexpr = len(CORE)
    base = chunk_ends + k * ((count + count * count) * elements) + n
    result = values
    for i in tl.static_range(count):
        end = tl.load(base + i * elements, mask=inside, other=0.0)
        for j in tl.static_range(count):
            end += tl.load(base + (count + i * count + j) * elements, mask=inside, other=0.0) * values[CORE[j]]
        result = replaced(result, CORE[i], end)
    return result


@triton.jit
def keep(chunk_ends, ends, columns, CORE: tl.constexpr, n, elements, inside):
    # columns[j] is what comes out of unit vector j.
    count: tl.constexpr = len(CORE)
    base = chunk_ends + tl.program_id(1) * ((count + count * count) * elements) + n
    for i in tl.static_range(count):
        tl.store(base + i * elements, ends[CORE[i]], mask=inside)
        for j in tl.static_range(count):
            tl.store(base + (count + i * count + j) * elements, columns[j][CORE[i]], mask=inside)


@triton.jit(do_not_specialize=["T", "B", "length"])
def reach(
    F: tl.constexpr, ADJOINT: tl.constexpr, CORE: tl.constexpr, S: tl.constexpr, loads, STRIDE: tl.constexpr, vectors, chunk_ends,
    T, B, length, H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    n, row, unit, elements = place(B, H, BLOCK)
    start, stop = stretch(T, length)
    inside, wide = n < elements, B.to(tl.int64)
    fixed = known(vectors, unit, inside)
    nothing = constants(S, -1, BLOCK)
    ends = nothing
    columns = ()
    for j in tl.static_range(len(CORE)):
        columns = columns + (constants(S, CORE[j], BLOCK),)
    for first in range(start, stop, STEPS):
        given = ()
        for u in tl.static_range(STEPS):
            given = given + (read(loads, STRIDE, row + (first + u) * wide, unit, within(n, elements, first + u < stop)),)
        for u in tl.static_range(STEPS):
            here = within(n, elements, first + u < stop)
            ends = chosen(here, F(*(ends + given[u] + fixed)), ends)
            moved = columns
            for i in tl.static_range(len(CORE)):
                slopes = ADJOINT(*(nothing + given[u] + fixed + constants(S, CORE[i], BLOCK)))
                for j in tl.static_range(len(CORE)):
                    total = constants(1, -1, BLOCK)[0]
                    for k in tl.static_range(len(CORE)):
                        total += slopes[CORE[k]] * columns[j][CORE[k]]
                    moved = replaced(moved, j, replaced(moved[j], CORE[i], total))
            kept = ()
            for j in tl.static_range(len(CORE)):
                kept = kept + (chosen(here, moved[j], columns[j]),)
            columns = kept
    keep(chunk_ends, ends, columns, CORE, n, elements, inside)


@triton.jit(do_not_specialize=["T", "B", "length"])
def forward(
    F: tl.constexpr, CORE: tl.constexpr, S: tl.constexpr, loads, STRIDE: tl.constexpr, vectors, chunk_ends, initial, history,
    WHOLE: tl.constexpr, T, B, length, H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # history[s] has every step where WHOLE[s], else the last.
    n, row, unit, elements = place(B, H, BLOCK)
    start, stop = stretch(T, length)
    inside, wide = n < elements, B.to(tl.int64)
    fixed = known(vectors, unit, inside)
    states = known(initial, n, inside)
    if chunk_ends is not None:
        for k in range(tl.program_id(1)):
            states = passed(states, CORE, chunk_ends, k, n, elements, inside)
    for first in range(start, stop, STEPS):
        given = ()
        for u in tl.static_range(STEPS):
            given = given + (read(loads, STRIDE, row + (first + u) * wide, unit, within(n, elements, first + u < stop)),)
        for u in tl.static_range(STEPS):
            t = first + u
            here = within(n, elements, t < stop)
            states = chosen(here, F(*(states + given[u] + fixed)), states)
            for s in tl.static_range(S):
                if WHOLE[s]:
                    tl.store(history[s] + t * elements + n, states[s], mask=here)
                else:
                    tl.store(history[s] + n, states[s], mask=within(n, elements, t == T - 1))


@triton.jit(do_not_specialize=["T", "B", "length"])
def reach_back(
    ADJOINT: tl.constexpr, CORE: tl.constexpr, S: tl.constexpr, loads, STRIDE: tl.constexpr, vectors, chunk_ends, dy, d_final,
    T, B, length, H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # What comes out of the last chunk, from which no other comes before, is from d_final.
    n, row, unit, elements = place(B, H, BLOCK)
    start, stop = stretch(T, length)
    inside, wide = n < elements, B.to(tl.int64)
    fixed = known(vectors, unit, inside)
    nothing = constants(S, -1, BLOCK)
    ends = known(d_final, n, within(n, elements, stop == T))
    columns = ()
    for j in tl.static_range(len(CORE)):
        columns = columns + (constants(S, CORE[j], BLOCK),)
    for done in range(0, stop - start, STEPS):
        given = ()
        upstream = ()
        for u in tl.static_range(STEPS):
            t = stop - 1 - done - u
            here = within(n, elements, t >= start)
            given = given + (read(loads, STRIDE, row + t * wide, unit, here),)
            upstream = upstream + (from_above(dy, t * elements + n, here, BLOCK),)
        for u in tl.static_range(STEPS):
            here = within(n, elements, stop - 1 - done - u >= start)
            ends = chosen(here, ADJOINT(*(nothing + given[u] + fixed + replaced(ends, 0, ends[0] + upstream[u]))), ends)
            kept = ()
            for j in tl.static_range(len(CORE)):
                kept = kept + (chosen(here, ADJOINT(*(nothing + given[u] + fixed + columns[j])), columns[j]),)
            columns = kept
    keep(chunk_ends, ends, columns, CORE, n, elements, inside)


@triton.jit
def from_above(dy, at, inside, BLOCK: tl.constexpr):
    if dy is not None:
        return tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
    else:
        return tl.zeros([BLOCK], tl.float32)


@triton.jit(do_not_specialize=["T", "B", "length"])
def backward(
    ADJOINT: tl.constexpr, CORE: tl.constexpr, S: tl.constexpr, loads, STRIDE: tl.constexpr, vectors, chunk_ends, initial, history,
    dy, d_final, stores, OF: tl.constexpr, TO: tl.constexpr, d_initial, d_vectors, T, B, length, H: tl.constexpr,
    BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # stores[j], rows TO[j] apart, is the gradient of input OF[j]; d_vectors[v] (chunks, B, H) is summed up over a chunk.
    n, row, unit, elements = place(B, H, BLOCK)
    start, stop = stretch(T, length)
    inside, wide = n < elements, B.to(tl.int64)
    fixed = known(vectors, unit, inside)
    first = known(initial, n, inside)
    carried = known(d_final, n, within(n, elements, stop == T))
    if chunk_ends is not None:
        for k in range(tl.num_programs(1) - 1 - tl.program_id(1)):
            carried = passed(carried, CORE, chunk_ends, tl.num_programs(1) - 1 - k, n, elements, inside)
    summed = constants(len(vectors), -1, BLOCK)
    for done in range(0, stop - start, STEPS):
        inputs = ()
        upstream = ()
        for u in tl.static_range(STEPS):
            t = stop - 1 - done - u
            here = within(n, elements, t >= start)
            states = ()
            for s in tl.static_range(S):
                later = within(n, elements, t > tl.maximum(start - 1, 0))
                last = tl.load(history[s] + (t - 1) * elements + n, mask=later, other=0.0).to(tl.float32)
                states = states + (tl.where(later, last, first[s]),)
            inputs = inputs + (states + read(loads, STRIDE, row + t * wide, unit, here),)
            upstream = upstream + (from_above(dy, t * elements + n, here, BLOCK),)
        for u in tl.static_range(STEPS):
            t = stop - 1 - done - u
            here = within(n, elements, t >= start)
            gradients = ADJOINT(*(inputs[u] + fixed + replaced(carried, 0, carried[0] + upstream[u])))
            for j in tl.static_range(len(OF)):
                tl.store(stores[j] + (row + t * wide) * TO[j] + unit, gradients[OF[j]], mask=here)
            carried = chosen(here, gradients, carried)
            more = ()
            for v in tl.static_range(len(vectors)):
                more = more + (summed[v] + tl.where(here, gradients[S + len(STRIDE) + v], 0.0),)
            summed = more
    if start == 0:
        for s in tl.static_range(S):
            tl.store(d_initial[s] + n, carried[s], mask=inside)
    for v in tl.static_range(len(vectors)):
        tl.store(d_vectors[v] + tl.program_id(1) * elements + n, summed[v], mask=inside)
