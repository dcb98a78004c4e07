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
def slices(
    weights, P: tl.constexpr, unit, H: tl.constexpr, BK: tl.constexpr, ACROSS: tl.constexpr, UNIT: tl.constexpr
):  # fmt: skip
    # This program's part of every matrix (H, H), as tiles (BK, BN): ACROSS and UNIT are the strides of their two sides.
    held = ()
    for p in tl.static_range(P):
        for k in tl.static_range((H + BK - 1) // BK):
            across = (k * BK + tl.arange(0, BK))[:, None]
            held = held + (tl.load(weights[p] + across * ACROSS + unit * UNIT, mask=(unit < H) & (across < H), other=0.0),)
    return held


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

    held = slices(weights, len(TERM), unit, H, BK, 1, H)
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
        if programs > 1 and t > 0:
            wait(counter, t * programs)
        sums = ()
        for _ in tl.static_range(len(TERM)):
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


@triton.jit
def through(
    sums, d_terms, STRIDE: tl.constexpr, STATE: tl.constexpr, S: tl.constexpr, held, chunks: tl.constexpr, at, inside,
    H: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # What the products of one step pass on to the states before it: sums[s] + Σ_p d_terms[p] · weights[p].
    for p in tl.static_range(len(STATE)):
        for k in tl.static_range(chunks):
            across = k * BK + tl.arange(0, BK)[None, :]
            operand = load(d_terms[p], at, across, STRIDE[p], inside & (across < H))
            added = ()
            for s in tl.static_range(S):
                if STATE[p] == s:
                    added = added + (tl.dot(operand, held[p * chunks + k], sums[s], input_precision=PRECISION),)
                else:
                    added = added + (sums[s],)
            sums = added
    return sums


@triton.jit
def backward(
    F: tl.constexpr, N: tl.constexpr, S: tl.constexpr, V: tl.constexpr,
    loads, INTO: tl.constexpr, FROM: tl.constexpr, stores, OF: tl.constexpr, TO: tl.constexpr,
    weights, d_terms, STRIDE: tl.constexpr, STATE: tl.constexpr,
    initial, history, dy, d_final, d_initial, d_vectors, counters,
    T, B, H: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # F is the adjoint of a step: N inputs, the first S of them states and the last V vectors, then the gradients of the S
    # next states; it returns N gradients. d_terms[p], STRIDE[p] apart, is the gradient of weights[p] · state STATE[p].
    # d_initial lacks what the products of the first step pass on: one product more, which needn't be in here.
    programs: tl.constexpr = (H + BN - 1) // BN
    chunks: tl.constexpr = (H + BK - 1) // BK
    tile = tl.program_id(0) // programs
    rows = tile.to(tl.int64) * BB + tl.arange(0, BB)
    units = tl.program_id(0) % programs * BN + tl.arange(0, BN)
    row, unit = rows[:, None], units[None, :]
    wide = B.to(tl.int64)
    here = (row < B) & (unit < H)
    counter = counters + tile * LINE

    held = slices(weights, len(STATE), unit, H, BK, H, 1)
    carried = ()
    summed = ()
    for s in tl.static_range(S):
        carried = carried + (load(d_final[s], row, unit, H, here).to(tl.float32),)
    for _ in tl.static_range(V):
        summed = summed + (tl.zeros([BB, BN], tl.float32),)

    for i in range(T):
        t = T - 1 - i
        at = row + t * wide
        inputs = ()
        for n in tl.static_range(N):
            value = tl.zeros([BB, BN], tl.float32)
            if n < S:
                last = initial[n]
                if t > 0:
                    last = history[n] + (t - 1) * wide * H
                value = load(last, row, unit, H, here).to(tl.float32)
            for j in tl.static_range(len(INTO)):
                if INTO[j] == n:
                    if FROM[j][1] == 1:
                        value += load(loads[j], at, unit, FROM[j][0], here).to(tl.float32)
                    else:
                        value += load(loads[j], row, unit, FROM[j][0], here).to(tl.float32)
            inputs = inputs + (value,)
        upstream = carried
        if dy is not None:
            upstream = (carried[0] + load(dy, at, unit, H, here).to(tl.float32),)
            for s in tl.static_range(1, S):
                upstream = upstream + (carried[s],)
        if programs > 1 and i > 0:
            wait(counter, i * programs)
        upstream = through(upstream, d_terms, STRIDE, STATE, S, held, chunks, at + wide, (row < B) & (i > 0), H, BK, PRECISION)
        gradients = F(*inputs, *upstream)
        passed = ()
        for s in tl.static_range(S):
            passed = passed + (tl.zeros([BB, BN], tl.float32) + gradients[s],)  # where the adjoint is a number
        carried = passed
        summed_now = ()
        for v in tl.static_range(V):
            summed_now = summed_now + (summed[v] + gradients[N - V + v],)
        summed = summed_now
        for j in tl.static_range(len(OF)):
            tl.store(stores[j] + at * TO[j] + unit, gradients[OF[j]], mask=here)
        if programs > 1:
            arrive(counter)
        else:
            tl.debug_barrier()

    for s in tl.static_range(S):
        tl.store(d_initial[s] + row * H + unit, carried[s], mask=here)
    for v in tl.static_range(V):
        total = tl.sum(tl.where(here, summed[v], 0.0), axis=0)
        tl.store(d_vectors[v] + tile * H + units, total, mask=units < H)
