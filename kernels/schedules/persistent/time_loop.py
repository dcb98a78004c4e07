"""The persistent kernels: one launch runs a whole sequence, forward or backward, for any plan.

A program owns BB sequences and BN units. It loads its part of the recurrent matrices once, before the time loop (`matrices`), and the
compiler keeps them in shared memory and registers. In each step it multiplies them with whole rows of the previous step, which all
programs of its batch tile wrote. So the programs of a batch tile wait for each other at a barrier (`grid_barrier`) once a step, and
once more before every stage whose products have an operand that this step computes. A batch tile of one program needs no barrier.

The plan comes as tuples. The inputs of a step are its states, terms and vectors, in that order; every pointwise function takes all of
them.

    F                   the step; in the backward pass its adjoint
    STAGE_FUNCTION[k]   the index in ARGUMENT_FUNCTIONS of the function that computes the operands of stage k, -1 if they are states
    GROUP_SIZE[g]       matrices of product group g, in `weights[g]` (GROUP_SIZE·H, H)
    GROUP_SOURCE[g]     operand of group g: a state, or from S on a computed argument
    GROUP_STAGE[g]      stage of group g
    PRODUCT_GROUP[p], PRODUCT_COLUMN[p]   group of product p, and its index among the group's matrices
    PRODUCT_INPUT[p]    the input of the step that product p is added to
    COMPUTED[c]         (stage, output of the stage's function) of computed argument c
    LOAD_INPUT[j], LOAD_STRIDE[j]         loads[j] is added to that input; (row stride, 1 if it has a time axis)
    STORE_INPUT[j], STORE_STRIDE[j]       that input, or its gradient, is stored in stores[j], rows so far apart
"""

import triton
import triton.language as tl

from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE, arrive, wait
from kernels.schedules.persistent.matrices import load, load_matrices, multiply_rows, vjp_products


@triton.jit
def locate_tile(tile, part, BB: tl.constexpr, BN: tl.constexpr, UNITS_AS_ROWS: tl.constexpr):
    # Returns the rows (BB) of a batch tile, the first of this program's units, and rows and units as the axes of a tile.
    rows = tile.to(tl.int64) * BB + tl.arange(0, BB)
    units = part * BN + tl.arange(0, BN)
    if UNITS_AS_ROWS:
        return rows, part * BN, rows[None, :], units[:, None]
    else:
        return rows, part * BN, rows[:, None], units[None, :]


@triton.jit
def fetch(loads, LOAD_STRIDE: tl.constexpr, row, row_t, unit, inside):
    # Loads from the pointers `loads` without conversion: nothing waits for the values until `add_loads` uses them.
    fetched = ()
    for j in tl.static_range(len(LOAD_STRIDE)):
        if LOAD_STRIDE[j][1] == 1:
            fetched = fetched + (load(loads[j], row_t, unit, LOAD_STRIDE[j][0], inside),)
        else:
            fetched = fetched + (load(loads[j], row, unit, LOAD_STRIDE[j][0], inside),)
    return fetched


@triton.jit
def add_loads(fetched, LOAD_INPUT: tl.constexpr, n: tl.constexpr, start):
    # Returns start plus all that was fetched for input n.
    value = start
    for j in tl.static_range(len(LOAD_INPUT)):
        if LOAD_INPUT[j] == n:
            value += fetched[j].to(tl.float32)
    return value


@triton.jit
def add_to(values, N: tl.constexpr, index: tl.constexpr, product):
    # Returns the tuple with `product` added to one of its values.
    result = ()
    for n in tl.static_range(N):
        if n == index:
            result = result + (values[n] + product,)
        else:
            result = result + (values[n],)
    return result


@triton.jit
def sync_programs(counter, target, programs: tl.constexpr):
    # Makes the stores of every program of the batch tile visible to all of them.
    if programs > 1:
        arrive(counter)
        wait(counter, target)
    else:
        tl.debug_barrier()


@triton.jit(do_not_specialize=["T", "B"])
def forward(
    F: tl.constexpr, ARGUMENT_FUNCTIONS, STAGE_FUNCTION: tl.constexpr, N: tl.constexpr, S: tl.constexpr, BARRIERS: tl.constexpr,
    STACK: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr, stores, STORE_INPUT: tl.constexpr,
    STORE_STRIDE: tl.constexpr, weights, GROUP_SIZE: tl.constexpr, GROUP_SOURCE: tl.constexpr, STORE_FIRST: tl.constexpr,
    GROUP_STAGE: tl.constexpr,
    PRODUCT_GROUP: tl.constexpr, PRODUCT_COLUMN: tl.constexpr, PRODUCT_INPUT: tl.constexpr, COMPUTED: tl.constexpr,
    initial, history, arguments, counters, T, B, H: tl.constexpr,
    BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, UNITS_AS_ROWS: tl.constexpr, SPLIT: tl.constexpr, PREFETCH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    # States with STORE_FIRST are operands of products: they are stored before the barrier, since other programs wait for them.
    programs: tl.constexpr = (H + BN - 1) // BN
    tile = tl.program_id(0) // programs
    rows, first, row, unit = locate_tile(tile, tl.program_id(0) % programs, BB, BN, UNITS_AS_ROWS)
    batch = B.to(tl.int64)
    inside = (row < B) & (unit < H)
    counter = counters + tile * COUNTER_STRIDE

    weight_tiles = ()
    for g in tl.static_range(len(GROUP_SIZE)):
        weight_tiles = weight_tiles + (load_matrices(weights[g], GROUP_SIZE[g], STACK, first, H, BN, BK, UNITS_AS_ROWS, SPLIT, True),)
    states = ()
    for s in tl.static_range(S):
        states = states + (load(initial[s], row, unit, H, inside).to(tl.float32),)

    for t in range(T):
        row_t = row + t * batch
        barrier_target = t * BARRIERS * programs
        fetched = fetch(loads, LOAD_STRIDE, row, row_t, unit, inside)
        if programs > 1 and t > 0:
            wait(counter, barrier_target)
        values = ()
        for n in tl.static_range(N):
            if n < S:
                values = values + (states[n],)
            else:
                values = values + (add_loads(fetched, LOAD_INPUT, n, tl.zeros(inside.shape, tl.float32)),)
        for stage in tl.static_range(len(STAGE_FUNCTION)):
            if STAGE_FUNCTION[stage] >= 0:
                outputs = ARGUMENT_FUNCTIONS[STAGE_FUNCTION[stage]](*values)
                for c in tl.static_range(len(COMPUTED)):
                    if COMPUTED[c][0] == stage:
                        tl.store(arguments[c] + row_t * H + unit, outputs[COMPUTED[c][1]], mask=inside)
                barrier_target += programs
                sync_programs(counter, barrier_target, programs)
            for g in tl.static_range(len(GROUP_SIZE)):
                if GROUP_STAGE[g] == stage:
                    if GROUP_SOURCE[g] < S:
                        source = initial[GROUP_SOURCE[g]]
                        if t > 0:
                            source = history[GROUP_SOURCE[g]] + (t - 1) * batch * H
                    else:
                        source = arguments[GROUP_SOURCE[g] - S] + t * batch * H
                    sums = multiply_rows(
                        source, rows, B, weight_tiles[g], GROUP_SIZE[g], STACK, H, BB, BN, BK, UNITS_AS_ROWS, SPLIT, PREFETCH, PRECISION
                    )
                    for p in tl.static_range(len(PRODUCT_GROUP)):
                        if PRODUCT_GROUP[p] == g:
                            values = add_to(values, N, PRODUCT_INPUT[p], sums[PRODUCT_COLUMN[p]])
        states = F(*values)
        for s in tl.static_range(S):
            if STORE_FIRST[s]:
                tl.store(history[s] + row_t * H + unit, states[s], mask=inside)
        if programs > 1:
            arrive(counter)
        else:
            tl.debug_barrier()
        for s in tl.static_range(S):
            if not STORE_FIRST[s]:
                tl.store(history[s] + row_t * H + unit, states[s], mask=inside)
        for j in tl.static_range(len(STORE_INPUT)):
            tl.store(stores[j] + row_t * STORE_STRIDE[j] + unit, values[STORE_INPUT[j]], mask=inside)


@triton.jit(do_not_specialize=["T", "B"])
def backward(
    F: tl.constexpr, ARGUMENT_FUNCTIONS, STAGE_FUNCTION: tl.constexpr, N: tl.constexpr, S: tl.constexpr, V: tl.constexpr,
    BARRIERS: tl.constexpr, loads, LOAD_INPUT: tl.constexpr, LOAD_STRIDE: tl.constexpr, stores, STORE_INPUT: tl.constexpr,
    STORE_STRIDE: tl.constexpr, STORE_STAGE: tl.constexpr, STORE_FIRST: tl.constexpr, weights, GROUP_SIZE: tl.constexpr,
    GROUP_SOURCE: tl.constexpr, PRODUCT_GROUP: tl.constexpr, PRODUCT_COLUMN: tl.constexpr, d_terms, TERM_STRIDE: tl.constexpr,
    COMPUTED: tl.constexpr, initial, history, dy, d_final, d_initial, d_vectors, counters, T, B, H: tl.constexpr,
    BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, UNITS_AS_ROWS: tl.constexpr, SPLIT: tl.constexpr, PREFETCH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    # F and ARGUMENT_FUNCTIONS are adjoints: they take the N inputs and the gradients of their function's results, and return the
    # gradients of the N inputs. d_terms[p], rows TERM_STRIDE[p] apart, is the gradient of product p. The gradient in stores[j] is final
    # before stage STORE_STAGE[j] runs in reverse (-1: after all stages); those with STORE_FIRST are operands of products and are stored
    # before the barrier. The last V inputs are vectors. d_initial lacks the products of the first step, which the host adds.
    programs: tl.constexpr = (H + BN - 1) // BN
    tile = tl.program_id(0) // programs
    rows, first, row, unit = locate_tile(tile, tl.program_id(0) % programs, BB, BN, UNITS_AS_ROWS)
    batch = B.to(tl.int64)
    inside = (row < B) & (unit < H)
    counter = counters + tile * COUNTER_STRIDE

    weight_tiles = ()
    for g in tl.static_range(len(GROUP_SIZE)):
        weight_tiles = weight_tiles + (load_matrices(weights[g], GROUP_SIZE[g], 1, first, H, BN, BK, UNITS_AS_ROWS, SPLIT, False),)
    d_states = ()
    d_vector_sums = ()
    for s in tl.static_range(S):
        d_states = d_states + (load(d_final[s], row, unit, H, inside).to(tl.float32),)
    for _ in tl.static_range(V):
        d_vector_sums = d_vector_sums + (tl.zeros(inside.shape, tl.float32),)

    for i in range(T):
        t = T - 1 - i
        row_t = row + t * batch
        barrier_target = i * BARRIERS * programs
        fetched = fetch(loads, LOAD_STRIDE, row, row_t, unit, inside)
        before = ()
        for s in tl.static_range(S):
            previous = initial[s]
            if t > 0:
                previous = history[s] + (t - 1) * batch * H
            before = before + (load(previous, row, unit, H, inside),)
        if dy is not None:
            d_output = load(dy, row_t, unit, H, inside)
        if programs > 1 and i > 0:
            wait(counter, barrier_target)
        upstream = d_states
        valid_rows = tl.where(i > 0, B, 0)  # the last step has no step after it
        for g in tl.static_range(len(GROUP_SIZE)):
            if GROUP_SOURCE[g] < S:
                product = vjp_products(
                    d_terms, TERM_STRIDE, PRODUCT_GROUP, PRODUCT_COLUMN, g, rows, (t + 1) * batch, valid_rows, weight_tiles[g],
                    GROUP_SIZE[g], H, BB, BN, BK, UNITS_AS_ROWS, SPLIT, PREFETCH, PRECISION,
                )  # fmt: skip
                upstream = add_to(upstream, S, GROUP_SOURCE[g], product)
        inputs = ()
        for n in tl.static_range(N):
            if n < S:
                inputs = inputs + (before[n].to(tl.float32),)
            else:
                inputs = inputs + (add_loads(fetched, LOAD_INPUT, n, tl.zeros(inside.shape, tl.float32)),)
        if dy is not None:
            upstream = add_to(upstream, S, 0, d_output.to(tl.float32))
        gradients = F(*inputs, *upstream)
        for stage in tl.static_range(len(STAGE_FUNCTION) - 1, -1, -1):
            if STAGE_FUNCTION[stage] >= 0:
                for j in tl.static_range(len(STORE_INPUT)):
                    if STORE_STAGE[j] == stage:
                        tl.store(stores[j] + row_t * STORE_STRIDE[j] + unit, gradients[STORE_INPUT[j]], mask=inside)
                barrier_target += programs
                sync_programs(counter, barrier_target, programs)
                d_computed = ()
                for c in tl.static_range(len(COMPUTED)):
                    if COMPUTED[c][0] == stage:
                        for g in tl.static_range(len(GROUP_SIZE)):
                            if GROUP_SOURCE[g] == S + c:
                                product = vjp_products(
                                    d_terms, TERM_STRIDE, PRODUCT_GROUP, PRODUCT_COLUMN, g, rows, t * batch, B, weight_tiles[g],
                                    GROUP_SIZE[g], H, BB, BN, BK, UNITS_AS_ROWS, SPLIT, PREFETCH, PRECISION,
                                )  # fmt: skip
                                d_computed = d_computed + (product,)
                d_inputs = ARGUMENT_FUNCTIONS[STAGE_FUNCTION[stage]](*inputs, *d_computed)
                for n in tl.static_range(N):
                    gradients = add_to(gradients, N, n, d_inputs[n])
        for j in tl.static_range(len(STORE_INPUT)):
            if STORE_STAGE[j] < 0 and STORE_FIRST[j]:
                tl.store(stores[j] + row_t * STORE_STRIDE[j] + unit, gradients[STORE_INPUT[j]], mask=inside)
        if programs > 1:
            arrive(counter)
        else:
            tl.debug_barrier()
        for j in tl.static_range(len(STORE_INPUT)):
            if STORE_STAGE[j] < 0 and not STORE_FIRST[j]:
                tl.store(stores[j] + row_t * STORE_STRIDE[j] + unit, gradients[STORE_INPUT[j]], mask=inside)
        d_states = ()
        for s in tl.static_range(S):
            d_states = d_states + (tl.zeros(inside.shape, tl.float32) + gradients[s],)  # where the adjoint is a number
        for v in tl.static_range(V):
            d_vector_sums = add_to(d_vector_sums, V, v, gradients[N - V + v])

    for s in tl.static_range(S):
        tl.store(d_initial[s] + row * H + unit, d_states[s], mask=inside)
    for v in tl.static_range(V):
        total = tl.sum(tl.where(inside, d_vector_sums[v], 0.0), axis=1 if UNITS_AS_ROWS else 0)
        units = first + tl.arange(0, BN)
        tl.store(d_vectors[v] + tile * H + units, total, mask=units < H)
