"""The scan kernels: each program runs the recurrence of its elements of (B, H), forward or backward, for any plan without a recurrent
product. The loads of STEPS steps are issued at once, to hide their latency.

If the step is affine in its states, time is split into chunks of `length` steps that run in parallel. A backward pass is affine for any
step. First `chunk_summary`, or `chunk_summary_backward`, computes the affine map of each chunk: its final states from zero states, and the
matrix whose columns are the images of the unit vectors. Then each program applies the maps of all chunks before its own to the initial
states, and runs its chunk (Blelloch, "Prefix sums and their applications", 1990, with a sequential scan over chunks).

The inputs of a step are its S states, the terms (loads[j], rows LOAD_STRIDE[j] apart) and the vectors, in that order. READ_STATES are
the states that a step reads, and the map is between these. `chunk_ends` (chunks, K + K², B·H), K = len(READ_STATES), holds for each
chunk the K final states, then the matrix by rows.
"""

import triton
import triton.language as tl


@triton.jit
def locate_elements(B, H: tl.constexpr, BLOCK: tl.constexpr):
    # Returns this program's elements, their rows and units, and the number of all elements.
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return n, n // H, n % H, B.to(tl.int64) * H


@triton.jit
def mask_if(n, elements, condition):
    # Returns the mask of valid elements, all False unless `condition`.
    return n < tl.where(condition, elements, 0)


@triton.jit
def chunk_range(T, length):
    # Returns the first step of this program's chunk, and the step after its last.
    start = tl.program_id(1) * length
    return start, tl.minimum(T, start + length)


@triton.jit
def load_terms(loads, LOAD_STRIDE: tl.constexpr, offset, unit, inside):
    values = ()
    for j in tl.static_range(len(LOAD_STRIDE)):
        values = values + (tl.load(loads[j] + offset * LOAD_STRIDE[j] + unit, mask=inside, other=0.0).to(tl.float32),)
    return values


@triton.jit
def load_vectors(vectors, unit, inside):
    values = ()
    for v in tl.static_range(len(vectors)):
        values = values + (tl.load(vectors[v] + unit, mask=inside, other=0.0).to(tl.float32),)
    return values


@triton.jit
def constant_tiles(COUNT: tl.constexpr, ONE: tl.constexpr, BLOCK: tl.constexpr):
    # Returns COUNT tiles of zeros, except tile ONE, which is of ones.
    values = ()
    for s in tl.static_range(COUNT):
        values = values + (tl.full([BLOCK], 1.0 if s == ONE else 0.0, tl.float32),)
    return values


@triton.jit
def select(condition, new, old):
    # Selects elementwise between two tuples, of the length of `old`; numbers in `new` become tiles.
    values = ()
    for s in tl.static_range(len(old)):
        values = values + (tl.where(condition, new[s], old[s]),)
    return values


@triton.jit
def replace_at(values, index: tl.constexpr, value):
    result = ()
    for s in tl.static_range(len(values)):
        if s == index:
            result = result + (value,)
        else:
            result = result + (values[s],)
    return result


@triton.jit
def apply_chunk(values, READ_STATES: tl.constexpr, chunk_ends, k, n, elements, inside):
    # Applies the map of chunk k to states.
    count: tl.constexpr = len(READ_STATES)
    base = chunk_ends + k * ((count + count * count) * elements) + n
    result = values
    for i in tl.static_range(count):
        end = tl.load(base + i * elements, mask=inside, other=0.0)
        for j in tl.static_range(count):
            end += tl.load(base + (count + i * count + j) * elements, mask=inside, other=0.0) * values[READ_STATES[j]]
        result = replace_at(result, READ_STATES[i], end)
    return result


@triton.jit
def store_summary(chunk_ends, ends, columns, READ_STATES: tl.constexpr, n, elements, inside):
    # Stores the map of this program's chunk; columns[j] is the image of unit vector j.
    count: tl.constexpr = len(READ_STATES)
    base = chunk_ends + tl.program_id(1) * ((count + count * count) * elements) + n
    for i in tl.static_range(count):
        tl.store(base + i * elements, ends[READ_STATES[i]], mask=inside)
        for j in tl.static_range(count):
            tl.store(base + (count + i * count + j) * elements, columns[j][READ_STATES[i]], mask=inside)


@triton.jit(do_not_specialize=["T", "B", "length"])
def chunk_summary(
    F: tl.constexpr, ADJOINT: tl.constexpr, READ_STATES: tl.constexpr, S: tl.constexpr, loads, LOAD_STRIDE: tl.constexpr, vectors,
    chunk_ends, T, B, length, H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    n, row, unit, elements = locate_elements(B, H, BLOCK)
    start, stop = chunk_range(T, length)
    inside, batch = n < elements, B.to(tl.int64)
    vector_values = load_vectors(vectors, unit, inside)
    zero_states = constant_tiles(S, -1, BLOCK)
    ends = zero_states
    columns = ()
    for j in tl.static_range(len(READ_STATES)):
        columns = columns + (constant_tiles(S, READ_STATES[j], BLOCK),)
    for first in range(start, stop, STEPS):
        terms = ()
        for u in tl.static_range(STEPS):
            terms = terms + (load_terms(loads, LOAD_STRIDE, row + (first + u) * batch, unit, mask_if(n, elements, first + u < stop)),)
        for u in tl.static_range(STEPS):
            inside_t = mask_if(n, elements, first + u < stop)
            ends = select(inside_t, F(*(ends + terms[u] + vector_values)), ends)
            new_columns_t = columns
            for i in tl.static_range(len(READ_STATES)):
                slopes = ADJOINT(*(zero_states + terms[u] + vector_values + constant_tiles(S, READ_STATES[i], BLOCK)))
                for j in tl.static_range(len(READ_STATES)):
                    total = constant_tiles(1, -1, BLOCK)[0]
                    for k in tl.static_range(len(READ_STATES)):
                        total += slopes[READ_STATES[k]] * columns[j][READ_STATES[k]]
                    new_columns_t = replace_at(new_columns_t, j, replace_at(new_columns_t[j], READ_STATES[i], total))
            new_columns = ()
            for j in tl.static_range(len(READ_STATES)):
                new_columns = new_columns + (select(inside_t, new_columns_t[j], columns[j]),)
            columns = new_columns
    store_summary(chunk_ends, ends, columns, READ_STATES, n, elements, inside)


@triton.jit(do_not_specialize=["T", "B", "length"])
def forward(
    F: tl.constexpr, READ_STATES: tl.constexpr, S: tl.constexpr, loads, LOAD_STRIDE: tl.constexpr, vectors, chunk_ends, initial, history,
    KEEP_ALL: tl.constexpr, T, B, length, H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # history[s] holds every step if KEEP_ALL[s], else the last.
    n, row, unit, elements = locate_elements(B, H, BLOCK)
    start, stop = chunk_range(T, length)
    inside, batch = n < elements, B.to(tl.int64)
    vector_values = load_vectors(vectors, unit, inside)
    states = load_vectors(initial, n, inside)
    if chunk_ends is not None:
        for k in range(tl.program_id(1)):
            states = apply_chunk(states, READ_STATES, chunk_ends, k, n, elements, inside)
    for first in range(start, stop, STEPS):
        terms = ()
        for u in tl.static_range(STEPS):
            terms = terms + (load_terms(loads, LOAD_STRIDE, row + (first + u) * batch, unit, mask_if(n, elements, first + u < stop)),)
        for u in tl.static_range(STEPS):
            t = first + u
            inside_t = mask_if(n, elements, t < stop)
            states = select(inside_t, F(*(states + terms[u] + vector_values)), states)
            for s in tl.static_range(S):
                if KEEP_ALL[s]:
                    tl.store(history[s] + t * elements + n, states[s], mask=inside_t)
                else:
                    tl.store(history[s] + n, states[s], mask=mask_if(n, elements, t == T - 1))


@triton.jit
def load_states_before(history, first, S: tl.constexpr, t, start, n, elements):
    # Returns the states before step t, of a chunk that begins at `start`; `first` are the initial ones.
    states = ()
    for s in tl.static_range(S):
        later = mask_if(n, elements, t > tl.maximum(start - 1, 0))
        last = tl.load(history[s] + (t - 1) * elements + n, mask=later, other=0.0).to(tl.float32)
        states = states + (tl.where(later, last, first[s]),)
    return states


@triton.jit(do_not_specialize=["T", "B", "length"])
def chunk_summary_backward(
    ADJOINT: tl.constexpr, READ_STATES: tl.constexpr, S: tl.constexpr, loads, LOAD_STRIDE: tl.constexpr, vectors, chunk_ends, initial,
    history, dy, d_final, T, B, length, H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # The last chunk starts from d_final instead of zero. `history` is None for a step that is affine: no derivative depends on a state.
    n, row, unit, elements = locate_elements(B, H, BLOCK)
    start, stop = chunk_range(T, length)
    inside, batch = n < elements, B.to(tl.int64)
    vector_values = load_vectors(vectors, unit, inside)
    first = constant_tiles(S, -1, BLOCK)
    if history is not None:
        first = load_vectors(initial, n, inside)
    ends = load_vectors(d_final, n, mask_if(n, elements, stop == T))
    columns = ()
    for j in tl.static_range(len(READ_STATES)):
        columns = columns + (constant_tiles(S, READ_STATES[j], BLOCK),)
    for done in range(0, stop - start, STEPS):
        inputs = ()
        upstream = ()
        for u in tl.static_range(STEPS):
            t = stop - 1 - done - u
            inside_t = mask_if(n, elements, t >= start)
            states = first
            if history is not None:
                states = load_states_before(history, first, S, t, start, n, elements)
            inputs = inputs + (states + load_terms(loads, LOAD_STRIDE, row + t * batch, unit, inside_t),)
            upstream = upstream + (load_dy(dy, t * elements + n, inside_t, BLOCK),)
        for u in tl.static_range(STEPS):
            inside_t = mask_if(n, elements, stop - 1 - done - u >= start)
            ends = select(inside_t, ADJOINT(*(inputs[u] + vector_values + replace_at(ends, 0, ends[0] + upstream[u]))), ends)
            new_columns = ()
            for j in tl.static_range(len(READ_STATES)):
                new_columns = new_columns + (select(inside_t, ADJOINT(*(inputs[u] + vector_values + columns[j])), columns[j]),)
            columns = new_columns
    store_summary(chunk_ends, ends, columns, READ_STATES, n, elements, inside)


@triton.jit
def load_dy(dy, offset, inside, BLOCK: tl.constexpr):
    if dy is not None:
        return tl.load(dy + offset, mask=inside, other=0.0).to(tl.float32)
    else:
        return tl.zeros([BLOCK], tl.float32)


@triton.jit(do_not_specialize=["T", "B", "length"])
def backward(
    ADJOINT: tl.constexpr, READ_STATES: tl.constexpr, S: tl.constexpr, loads, LOAD_STRIDE: tl.constexpr, vectors, chunk_ends, initial,
    history, dy, d_final, stores, STORE_INPUT: tl.constexpr, STORE_STRIDE: tl.constexpr, d_initial, d_vectors, T, B, length,
    H: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    # stores[j], rows STORE_STRIDE[j] apart, is the gradient of input STORE_INPUT[j]; d_vectors[v] (chunks, B, H) is summed over a chunk.
    n, row, unit, elements = locate_elements(B, H, BLOCK)
    start, stop = chunk_range(T, length)
    inside, batch = n < elements, B.to(tl.int64)
    vector_values = load_vectors(vectors, unit, inside)
    first = load_vectors(initial, n, inside)
    d_states = load_vectors(d_final, n, mask_if(n, elements, stop == T))
    if chunk_ends is not None:
        for k in range(tl.num_programs(1) - 1 - tl.program_id(1)):
            d_states = apply_chunk(d_states, READ_STATES, chunk_ends, tl.num_programs(1) - 1 - k, n, elements, inside)
    d_vector_sums = constant_tiles(len(vectors), -1, BLOCK)
    for done in range(0, stop - start, STEPS):
        inputs = ()
        upstream = ()
        for u in tl.static_range(STEPS):
            t = stop - 1 - done - u
            inside_t = mask_if(n, elements, t >= start)
            states = load_states_before(history, first, S, t, start, n, elements)
            inputs = inputs + (states + load_terms(loads, LOAD_STRIDE, row + t * batch, unit, inside_t),)
            upstream = upstream + (load_dy(dy, t * elements + n, inside_t, BLOCK),)
        for u in tl.static_range(STEPS):
            t = stop - 1 - done - u
            inside_t = mask_if(n, elements, t >= start)
            gradients = ADJOINT(*(inputs[u] + vector_values + replace_at(d_states, 0, d_states[0] + upstream[u])))
            for j in tl.static_range(len(STORE_INPUT)):
                tl.store(stores[j] + (row + t * batch) * STORE_STRIDE[j] + unit, gradients[STORE_INPUT[j]], mask=inside_t)
            d_states = select(inside_t, gradients, d_states)
            more = ()
            for v in tl.static_range(len(vectors)):
                more = more + (d_vector_sums[v] + tl.where(inside_t, gradients[S + len(LOAD_STRIDE) + v], 0.0),)
            d_vector_sums = more
    if start == 0:
        for s in tl.static_range(S):
            tl.store(d_initial[s] + n, d_states[s], mask=inside)
    for v in tl.static_range(len(vectors)):
        tl.store(d_vectors[v] + tl.program_id(1) * elements + n, d_vector_sums[v], mask=inside)
