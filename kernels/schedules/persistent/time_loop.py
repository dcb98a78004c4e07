"""The resident kernels: a whole sequence in one launch, forward and backward, for any plan.

A program owns BB sequences and BN units. It loads its part of the recurrent matrices once, in front of the loop (`matrices`): the
compiler keeps them in shared memory and registers. In each step it multiplies them with whole rows of the last step, which all
programs of its batch tile made; so between two steps they meet at a barrier (`barrier`), and once more in front of every stage
whose products are of something that this step computes. With one program to a batch tile there is nobody to wait for.

What the plan says comes as tuples. The inputs of a step are its states, terms and vectors, in that order, and every pointwise
function takes them all: F the step, ARGUMENTS[LEADS[stage]] what computes the arguments of that stage (-1 where they are states).
Group g of products has COUNT[g] matrices in `weights[g]` (COUNT·H, H), is of source SOURCE[g] (a state, or from S on a computed
argument) and runs in STAGE[g]. Product p is number PLACE[p] of GROUP[p] and adds to input TERM[p].
"""

import triton
import triton.language as tl

from kernels.schedules.persistent.grid_barrier import LINE, arrive, wait
from kernels.schedules.persistent.matrices import load, matrices, passed, products


@triton.jit
def places(tile, part, BB: tl.constexpr, BN: tl.constexpr, UNITS: tl.constexpr):
    # The rows (BB) of a batch tile, the first of this program's units, and both as the sides of a tile.
    rows = tile.to(tl.int64) * BB + tl.arange(0, BB)
    units = part * BN + tl.arange(0, BN)
    if UNITS:
        return rows, part * BN, rows[None, :], units[:, None]
    else:
        return rows, part * BN, rows[:, None], units[None, :]


@triton.jit
def fetch(loads, FROM: tl.constexpr, row, at, unit, inside):
    # What is at the pointers `loads`, as it lies there: nothing waits for it until `read` uses it. FROM[j] = (row stride, 1 if it is
    # at a time).
    fetched = ()
    for j in tl.static_range(len(FROM)):
        if FROM[j][1] == 1:
            fetched = fetched + (load(loads[j], at, unit, FROM[j][0], inside),)
        else:
            fetched = fetched + (load(loads[j], row, unit, FROM[j][0], inside),)
    return fetched


@triton.jit
def read(fetched, INTO: tl.constexpr, n: tl.constexpr, start):
    # start + whatever was fetched for input n.
    value = start
    for j in tl.static_range(len(INTO)):
        if INTO[j] == n:
            value += fetched[j].to(tl.float32)
    return value


@triton.jit
def plus(values, N: tl.constexpr, index: tl.constexpr, more):
    # The tuple with `more` added to one of its values.
    result = ()
    for n in tl.static_range(N):
        if n == index:
            result = result + (values[n] + more,)
        else:
            result = result + (values[n],)
    return result


@triton.jit
def meet(counter, target, programs: tl.constexpr):
    # What this program has stored is there for the others, and theirs for it.
    if programs > 1:
        arrive(counter)
        wait(counter, target)
    else:
        tl.debug_barrier()


@triton.jit(do_not_specialize=["T", "B"])
def forward(
    F: tl.constexpr, ARGUMENTS, LEADS: tl.constexpr, N: tl.constexpr, S: tl.constexpr, MEETINGS: tl.constexpr, TALL: tl.constexpr,
    loads, INTO: tl.constexpr, FROM: tl.constexpr, stores, OF: tl.constexpr, TO: tl.constexpr,
    weights, COUNT: tl.constexpr, SOURCE: tl.constexpr, SHARED: tl.constexpr, STAGE: tl.constexpr,
    GROUP: tl.constexpr, PLACE: tl.constexpr, TERM: tl.constexpr, MADE: tl.constexpr,
    initial, history, arguments, counters, T, B, H: tl.constexpr,
    BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, UNITS: tl.constexpr, SPLIT: tl.constexpr, FLIGHT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    # loads[j] adds to input INTO[j]; of the inputs, OF[j] is stored in stores[j], rows TO[j] apart. Argument c is output MADE[c][1] of
    # stage MADE[c][0]. The states with SHARED are what products multiply: they are stored first, since other programs wait for them.
    programs: tl.constexpr = (H + BN - 1) // BN
    tile = tl.program_id(0) // programs
    rows, first, row, unit = places(tile, tl.program_id(0) % programs, BB, BN, UNITS)
    wide = B.to(tl.int64)
    here = (row < B) & (unit < H)
    counter = counters + tile * LINE

    held = ()
    for g in tl.static_range(len(COUNT)):
        held = held + (matrices(weights[g], COUNT[g], TALL, first, H, BN, BK, UNITS, SPLIT, True),)
    states = ()
    for s in tl.static_range(S):
        states = states + (load(initial[s], row, unit, H, here).to(tl.float32),)

    for t in range(T):
        at = row + t * wide
        met = t * MEETINGS * programs
        fetched = fetch(loads, FROM, row, at, unit, here)
        if programs > 1 and t > 0:
            wait(counter, met)
        values = ()
        for n in tl.static_range(N):
            if n < S:
                values = values + (states[n],)
            else:
                values = values + (read(fetched, INTO, n, tl.zeros(here.shape, tl.float32)),)
        for stage in tl.static_range(len(LEADS)):
            if LEADS[stage] >= 0:
                made = ARGUMENTS[LEADS[stage]](*values)
                for c in tl.static_range(len(MADE)):
                    if MADE[c][0] == stage:
                        tl.store(arguments[c] + at * H + unit, made[MADE[c][1]], mask=here)
                met += programs
                meet(counter, met, programs)
            for g in tl.static_range(len(COUNT)):
                if STAGE[g] == stage:
                    if SOURCE[g] < S:
                        source = initial[SOURCE[g]]
                        if t > 0:
                            source = history[SOURCE[g]] + (t - 1) * wide * H
                    else:
                        source = arguments[SOURCE[g] - S] + t * wide * H
                    sums = products(source, rows, B, held[g], COUNT[g], TALL, H, BB, BN, BK, UNITS, SPLIT, FLIGHT, PRECISION)
                    for p in tl.static_range(len(GROUP)):
                        if GROUP[p] == g:
                            values = plus(values, N, TERM[p], sums[PLACE[p]])
        states = F(*values)
        for s in tl.static_range(S):
            if SHARED[s]:
                tl.store(history[s] + at * H + unit, states[s], mask=here)
        if programs > 1:
            arrive(counter)
        else:
            tl.debug_barrier()
        for s in tl.static_range(S):
            if not SHARED[s]:
                tl.store(history[s] + at * H + unit, states[s], mask=here)
        for j in tl.static_range(len(OF)):
            tl.store(stores[j] + at * TO[j] + unit, values[OF[j]], mask=here)


@triton.jit(do_not_specialize=["T", "B"])
def backward(
    F: tl.constexpr, ARGUMENTS, LEADS: tl.constexpr, N: tl.constexpr, S: tl.constexpr, V: tl.constexpr, MEETINGS: tl.constexpr,
    loads, INTO: tl.constexpr, FROM: tl.constexpr, stores, OF: tl.constexpr, TO: tl.constexpr, WHEN: tl.constexpr,
    SHARED: tl.constexpr, weights, COUNT: tl.constexpr, SOURCE: tl.constexpr, GROUP: tl.constexpr, PLACE: tl.constexpr,
    d_terms, STRIDE: tl.constexpr, MADE: tl.constexpr, initial, history, dy, d_final, d_initial, d_vectors, counters, T, B, H: tl.constexpr,
    BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, UNITS: tl.constexpr, SPLIT: tl.constexpr, FLIGHT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    # F and ARGUMENTS are the adjoints: they take the N inputs and the gradients of their function's results, and return the N inputs'
    # gradients. d_terms[p], rows STRIDE[p] apart, is the gradient of product p; stores[j] is that of input OF[j], final once the stages
    # from WHEN[j] on are done; those with SHARED, which products multiply, are stored first. The last V inputs are vectors. d_initial
    # lacks what the products of the first step pass on: one product more, which needn't be in here.
    programs: tl.constexpr = (H + BN - 1) // BN
    tile = tl.program_id(0) // programs
    rows, first, row, unit = places(tile, tl.program_id(0) % programs, BB, BN, UNITS)
    wide = B.to(tl.int64)
    here = (row < B) & (unit < H)
    counter = counters + tile * LINE

    held = ()
    for g in tl.static_range(len(COUNT)):
        held = held + (matrices(weights[g], COUNT[g], 1, first, H, BN, BK, UNITS, SPLIT, False),)
    carried = ()
    summed = ()
    for s in tl.static_range(S):
        carried = carried + (load(d_final[s], row, unit, H, here).to(tl.float32),)
    for _ in tl.static_range(V):
        summed = summed + (tl.zeros(here.shape, tl.float32),)

    for i in range(T):
        t = T - 1 - i
        at = row + t * wide
        met = i * MEETINGS * programs
        fetched = fetch(loads, FROM, row, at, unit, here)
        before = ()
        for s in tl.static_range(S):
            last = initial[s]
            if t > 0:
                last = history[s] + (t - 1) * wide * H
            before = before + (load(last, row, unit, H, here),)
        if dy is not None:
            d_output = load(dy, at, unit, H, here)
        if programs > 1 and i > 0:
            wait(counter, met)
        upstream = carried
        known = tl.where(i > 0, B, 0)  # nothing comes after the last step
        for g in tl.static_range(len(COUNT)):
            if SOURCE[g] < S:
                more = passed(
                    d_terms, STRIDE, GROUP, PLACE, g, rows, (t + 1) * wide, known, held[g], COUNT[g], H, BB, BN, BK, UNITS, SPLIT,
                    FLIGHT, PRECISION,
                )  # fmt: skip
                upstream = plus(upstream, S, SOURCE[g], more)
        inputs = ()
        for n in tl.static_range(N):
            if n < S:
                inputs = inputs + (before[n].to(tl.float32),)
            else:
                inputs = inputs + (read(fetched, INTO, n, tl.zeros(here.shape, tl.float32)),)
        if dy is not None:
            upstream = plus(upstream, S, 0, d_output.to(tl.float32))
        gradients = F(*inputs, *upstream)
        for stage in tl.static_range(len(LEADS) - 1, -1, -1):
            if LEADS[stage] >= 0:
                for j in tl.static_range(len(OF)):
                    if WHEN[j] == stage:
                        tl.store(stores[j] + at * TO[j] + unit, gradients[OF[j]], mask=here)
                met += programs
                meet(counter, met, programs)
                d_made = ()
                for c in tl.static_range(len(MADE)):
                    if MADE[c][0] == stage:
                        for g in tl.static_range(len(COUNT)):
                            if SOURCE[g] == S + c:
                                more = passed(
                                    d_terms, STRIDE, GROUP, PLACE, g, rows, t * wide, B, held[g], COUNT[g], H, BB, BN, BK, UNITS, SPLIT,
                                    FLIGHT, PRECISION,
                                )  # fmt: skip
                                d_made = d_made + (more,)
                through = ARGUMENTS[LEADS[stage]](*inputs, *d_made)
                for n in tl.static_range(N):
                    gradients = plus(gradients, N, n, through[n])
        for j in tl.static_range(len(OF)):
            if WHEN[j] < 0 and SHARED[j]:
                tl.store(stores[j] + at * TO[j] + unit, gradients[OF[j]], mask=here)
        if programs > 1:
            arrive(counter)
        else:
            tl.debug_barrier()
        for j in tl.static_range(len(OF)):
            if WHEN[j] < 0 and not SHARED[j]:
                tl.store(stores[j] + at * TO[j] + unit, gradients[OF[j]], mask=here)
        carried = ()
        for s in tl.static_range(S):
            carried = carried + (tl.zeros(here.shape, tl.float32) + gradients[s],)  # where the adjoint is a number
        for v in tl.static_range(V):
            summed = plus(summed, V, v, gradients[N - V + v])

    for s in tl.static_range(S):
        tl.store(d_initial[s] + row * H + unit, carried[s], mask=here)
    for v in tl.static_range(V):
        total = tl.sum(tl.where(here, summed[v], 0.0), axis=1 if UNITS else 0)
        units = first + tl.arange(0, BN)
        tl.store(d_vectors[v] + tile * H + units, total, mask=units < H)
