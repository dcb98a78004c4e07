"""The recurrent matrices on chip, as tiles, and the products of a step with them.

A program owns BB sequences and BN units. A product has an inner side (what is summed over, H wide, in stretches of BK) and two
outer ones. With UNITS the units are its rows (M) and the sequences its columns (N), and the matrices of one argument stand on
top of each other as one tall tile: a small batch then still fills a tensor core's 64 rows. Otherwise the sequences are M.

With SPLIT, the inner side is cut into that many slices, multiplied side by side, each by warps of its own, and added up: for
tiles so small that all warps would compute the same.
"""

import triton
import triton.language as tl


@triton.jit
def load(pointer, row, column, stride: tl.constexpr, inside):
    return tl.load(pointer + row * stride + column, mask=inside, other=0.0)


@triton.jit
def stretch(k, BK: tl.constexpr, SPLIT: tl.constexpr):
    # Places (BK) of the inner side, or (SPLIT, BK).
    if SPLIT > 1:
        return (k * SPLIT + tl.arange(0, SPLIT)[:, None]) * BK + tl.arange(0, BK)[None, :]
    else:
        return k * BK + tl.arange(0, BK)


@triton.jit
def sides(inner, outer, FLIP: tl.constexpr):
    # Both sides of a tile (…, inner, outer), or (…, outer, inner) with FLIP.
    if FLIP:
        return tl.expand_dims(inner, -2), outer[:, None]
    else:
        return tl.expand_dims(inner, -1), outer[None, :]


@triton.jit
def zeros(rows: tl.constexpr, columns: tl.constexpr, SPLIT: tl.constexpr):
    if SPLIT > 1:
        return tl.zeros([SPLIT, rows, columns], tl.float32)
    else:
        return tl.zeros([rows, columns], tl.float32)


@triton.jit
def matrices(weight, COUNT: tl.constexpr, TALL: tl.constexpr, first, H: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
             UNITS: tl.constexpr, SPLIT: tl.constexpr, FORWARD: tl.constexpr):  # fmt: skip
    # This program's part of COUNT matrices (H, H), by stretches: in each, with UNITS in the forward pass one tile of TALL matrices
    # (a power of two: what is past COUNT is zero), otherwise a tile for every matrix.
    held = ()
    wide: tl.constexpr = TALL * BN if UNITS and FORWARD else BN
    for k in tl.static_range((H + BK * SPLIT - 1) // (BK * SPLIT)):
        inner, outer = sides(stretch(k, BK, SPLIT), tl.arange(0, wide), UNITS)
        unit = first + outer % BN
        for p in tl.static_range(1 if UNITS and FORWARD else COUNT):
            matrix = p + outer // BN
            inside = (inner < H) & (unit < H) & (matrix < COUNT)
            if FORWARD:
                place = (matrix * H + unit) * H + inner
            else:
                place = (matrix * H + inner) * H + unit
            held = held + (tl.load(weight + place, mask=inside, other=0.0),)
    return held


@triton.jit
def multiply(tile, operand, total, UNITS: tl.constexpr, PRECISION: tl.constexpr):
    if UNITS:
        return tl.dot(tile, operand, total, input_precision=PRECISION)
    else:
        return tl.dot(operand, tile, total, input_precision=PRECISION)


@triton.jit
def products(
    pointer, rows, B, held, COUNT: tl.constexpr, TALL: tl.constexpr, H: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr,
    BK: tl.constexpr, UNITS: tl.constexpr, SPLIT: tl.constexpr, FLIGHT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # Each of COUNT matrices times the rows (B, H) at `pointer`. FLIGHT stretches of these are asked for before one is used: the
    # compiler moves no load across the block barriers of a product, and each would wait for L2 by itself.
    sums = ()
    for _ in tl.static_range(1 if UNITS else COUNT):
        sums = sums + (zeros(TALL * BN if UNITS else BB, BB if UNITS else BN, SPLIT),)
    stretches: tl.constexpr = (H + BK * SPLIT - 1) // (BK * SPLIT)
    operands = ()
    for k in tl.static_range(stretches + FLIGHT - 1):
        if k < stretches:
            inner, row = sides(stretch(k, BK, SPLIT), rows, not UNITS)
            operands = operands + (load(pointer, row, inner, H, (row < B) & (inner < H)),)
        if k >= FLIGHT - 1:
            added = ()
            for p in tl.static_range(1 if UNITS else COUNT):
                tile = held[(k - FLIGHT + 1) * (1 if UNITS else COUNT) + p]
                added = added + (multiply(tile, operands[k - FLIGHT + 1], sums[p], UNITS, PRECISION),)
            sums = added
    if UNITS:
        return apart(gathered(sums[0], SPLIT), TALL, BN, BB)
    else:
        done = ()
        for p in tl.static_range(COUNT):
            done = done + (gathered(sums[p], SPLIT),)
        return done


@triton.jit
def passed(
    pointers, STRIDE: tl.constexpr, GROUP: tl.constexpr, PLACE: tl.constexpr, g: tl.constexpr, rows, start, B, held, COUNT: tl.constexpr,
    H: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, UNITS: tl.constexpr, SPLIT: tl.constexpr,
    FLIGHT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # What the products of group g pass back to their argument: the sum of its matrices' transposes, each times the rows (B, H) at
    # its pointer, STRIDE apart, from row `start` on. FLIGHT stretches are asked for before one is used, as in `products`, here across
    # the matrices.
    added = zeros(BN if UNITS else BB, BB if UNITS else BN, SPLIT)
    stretches: tl.constexpr = (H + BK * SPLIT - 1) // (BK * SPLIT)
    operands = ()
    for k in tl.static_range(COUNT * stretches + FLIGHT - 1):
        if k < COUNT * stretches:
            inner, row = sides(stretch(k % stretches, BK, SPLIT), rows, not UNITS)
            for p in tl.static_range(len(GROUP)):
                if GROUP[p] == g and PLACE[p] == k // stretches:
                    operands = operands + (load(pointers[p], row + start, inner, STRIDE[p], (row < B) & (inner < H)),)
        if k >= FLIGHT - 1:
            tile = held[(k - FLIGHT + 1) % stretches * COUNT + (k - FLIGHT + 1) // stretches]
            added = multiply(tile, operands[k - FLIGHT + 1], added, UNITS, PRECISION)
    return gathered(added, SPLIT)


@triton.jit
def gathered(value, SPLIT: tl.constexpr):
    # The sum of SPLIT slices (SPLIT, M, N), by halves. `tl.sum` would leave it where the tensor cores have it: in every warp.
    if SPLIT > 1:
        M: tl.constexpr = value.shape[1]
        N: tl.constexpr = value.shape[2]
        total = tl.permute(value, [1, 2, 0])
        for k in tl.static_range(SPLIT.bit_length() - 1):
            even, odd = tl.split(tl.reshape(total, [M, N, SPLIT >> (k + 1), 2]))
            total = even + odd
        return tl.reshape(total, [M, N])
    else:
        return value


@triton.jit
def apart(value, TALL: tl.constexpr, BN: tl.constexpr, BB: tl.constexpr):
    # A tall tile (TALL·BN, BB) as TALL tiles (BN, BB).
    if TALL == 1:
        return (value,)
    else:
        last = tl.permute(tl.reshape(value, [TALL, BN, BB]), [1, 2, 0])
        if TALL == 2:
            return tl.split(last)
        else:
            even, odd = tl.split(tl.reshape(last, [BN, BB, 2, 2]))
            first, third = tl.split(even)
            second, fourth = tl.split(odd)
            return (first, second, third, fourth)
