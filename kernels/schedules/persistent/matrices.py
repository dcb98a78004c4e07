"""Keeps the recurrent matrices on chip as tiles, and multiplies a step's operands with them.

A program owns BB sequences and BN units. The inner (K) side of a product is H wide and is read in blocks of BK. The outer sides (M and
N) are sequences and units: with UNITS_AS_ROWS the units are M and the sequences N, and the matrices of one group are stacked into one
tile, so that a small batch still fills the 64 rows of a tensor core instruction. Otherwise the sequences are M.

With SPLIT > 1 the inner side is cut into that many slices (split-K): each is multiplied by its own warps, and the slices are summed.
This is for tiles so small that all warps would otherwise compute the same product.
"""

import triton
import triton.language as tl


@triton.jit
def load(pointer, row, column, stride: tl.constexpr, inside):
    return tl.load(pointer + row * stride + column, mask=inside, other=0.0)


@triton.jit
def k_block(k, BK: tl.constexpr, SPLIT: tl.constexpr):
    # Returns the inner indices of block k: (BK), or (SPLIT, BK).
    if SPLIT > 1:
        return (k * SPLIT + tl.arange(0, SPLIT)[:, None]) * BK + tl.arange(0, BK)[None, :]
    else:
        return k * BK + tl.arange(0, BK)


@triton.jit
def axes(inner, outer, OUTER_FIRST: tl.constexpr):
    # Returns both axes of a tile (…, inner, outer), or of a tile (…, outer, inner) with OUTER_FIRST.
    if OUTER_FIRST:
        return tl.expand_dims(inner, -2), outer[:, None]
    else:
        return tl.expand_dims(inner, -1), outer[None, :]


@triton.jit
def zero_sums(rows: tl.constexpr, columns: tl.constexpr, SPLIT: tl.constexpr):
    if SPLIT > 1:
        return tl.zeros([SPLIT, rows, columns], tl.float32)
    else:
        return tl.zeros([rows, columns], tl.float32)


@triton.jit
def load_matrices(weight, COUNT: tl.constexpr, STACK: tl.constexpr, first, H: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
             UNITS_AS_ROWS: tl.constexpr, SPLIT: tl.constexpr, FORWARD: tl.constexpr):  # fmt: skip
    # Loads this program's part of COUNT matrices (H, H), block by block of the inner side. Each block is one tile of STACK matrices in
    # the forward pass with UNITS_AS_ROWS (STACK is a power of two; matrices past COUNT are zero), else one tile for every matrix.
    weight_tiles = ()
    width: tl.constexpr = STACK * BN if UNITS_AS_ROWS and FORWARD else BN
    for k in tl.static_range((H + BK * SPLIT - 1) // (BK * SPLIT)):
        inner, outer = axes(k_block(k, BK, SPLIT), tl.arange(0, width), UNITS_AS_ROWS)
        unit = first + outer % BN
        for p in tl.static_range(1 if UNITS_AS_ROWS and FORWARD else COUNT):
            matrix = p + outer // BN
            inside = (inner < H) & (unit < H) & (matrix < COUNT)
            if FORWARD:
                offset = (matrix * H + unit) * H + inner
            else:
                offset = (matrix * H + inner) * H + unit
            weight_tiles = weight_tiles + (tl.load(weight + offset, mask=inside, other=0.0),)
    return weight_tiles


@triton.jit
def multiply(tile, operand, total, UNITS_AS_ROWS: tl.constexpr, PRECISION: tl.constexpr):
    if UNITS_AS_ROWS:
        return tl.dot(tile, operand, total, input_precision=PRECISION)
    else:
        return tl.dot(operand, tile, total, input_precision=PRECISION)


@triton.jit
def multiply_rows(
    pointer, rows, B, weight_tiles, COUNT: tl.constexpr, STACK: tl.constexpr, H: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr,
    BK: tl.constexpr, UNITS_AS_ROWS: tl.constexpr, SPLIT: tl.constexpr, PREFETCH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # Multiplies each of COUNT matrices with the rows (B, H) at `pointer`. PREFETCH blocks of the rows are loaded before the first is
    # used: the compiler moves no load across the block barriers of a product, so each load would wait for L2 by itself.
    sums = ()
    for _ in tl.static_range(1 if UNITS_AS_ROWS else COUNT):
        sums = sums + (zero_sums(STACK * BN if UNITS_AS_ROWS else BB, BB if UNITS_AS_ROWS else BN, SPLIT),)
    k_blocks: tl.constexpr = (H + BK * SPLIT - 1) // (BK * SPLIT)
    operands = ()
    for k in tl.static_range(k_blocks + PREFETCH - 1):
        if k < k_blocks:
            inner, row = axes(k_block(k, BK, SPLIT), rows, not UNITS_AS_ROWS)
            operands = operands + (load(pointer, row, inner, H, (row < B) & (inner < H)),)
        if k >= PREFETCH - 1:
            new_sums = ()
            for p in tl.static_range(1 if UNITS_AS_ROWS else COUNT):
                tile = weight_tiles[(k - PREFETCH + 1) * (1 if UNITS_AS_ROWS else COUNT) + p]
                new_sums = new_sums + (multiply(tile, operands[k - PREFETCH + 1], sums[p], UNITS_AS_ROWS, PRECISION),)
            sums = new_sums
    if UNITS_AS_ROWS:
        return unstack(sum_slices(sums[0], SPLIT), STACK, BN, BB)
    else:
        results = ()
        for p in tl.static_range(COUNT):
            results = results + (sum_slices(sums[p], SPLIT),)
        return results


@triton.jit
def vjp_products(
    pointers, STRIDE: tl.constexpr, PRODUCT_GROUP: tl.constexpr, PRODUCT_COLUMN: tl.constexpr, g: tl.constexpr, rows, start, B,
    weight_tiles, COUNT: tl.constexpr, H: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    UNITS_AS_ROWS: tl.constexpr, SPLIT: tl.constexpr, PREFETCH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # Returns the gradient of the operand of group g: the sum over its matrices of the transpose times the rows (B, H) of the product's
    # gradient, from row `start` on, STRIDE apart. PREFETCH blocks are loaded ahead as in `multiply_rows`, here across the matrices.
    new_sums = zero_sums(BN if UNITS_AS_ROWS else BB, BB if UNITS_AS_ROWS else BN, SPLIT)
    k_blocks: tl.constexpr = (H + BK * SPLIT - 1) // (BK * SPLIT)
    operands = ()
    for k in tl.static_range(COUNT * k_blocks + PREFETCH - 1):
        if k < COUNT * k_blocks:
            inner, row = axes(k_block(k % k_blocks, BK, SPLIT), rows, not UNITS_AS_ROWS)
            for p in tl.static_range(len(PRODUCT_GROUP)):
                if PRODUCT_GROUP[p] == g and PRODUCT_COLUMN[p] == k // k_blocks:
                    operands = operands + (load(pointers[p], row + start, inner, STRIDE[p], (row < B) & (inner < H)),)
        if k >= PREFETCH - 1:
            tile = weight_tiles[(k - PREFETCH + 1) % k_blocks * COUNT + (k - PREFETCH + 1) // k_blocks]
            new_sums = multiply(tile, operands[k - PREFETCH + 1], new_sums, UNITS_AS_ROWS, PRECISION)
    return sum_slices(new_sums, SPLIT)


@triton.jit
def sum_slices(value, SPLIT: tl.constexpr):
    # Sums SPLIT slices (SPLIT, M, N) pairwise. `tl.sum` would leave the sum in the layout of the tensor cores: in every warp.
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
def unstack(value, STACK: tl.constexpr, BN: tl.constexpr, BB: tl.constexpr):
    # Splits a stacked tile (STACK·BN, BB) into STACK tiles (BN, BB).
    if STACK == 1:
        return (value,)
    else:
        last = tl.permute(tl.reshape(value, [STACK, BN, BB]), [1, 2, 0])
        if STACK == 2:
            return tl.split(last)
        else:
            even, odd = tl.split(tl.reshape(last, [BN, BB, 2, 2]))
            first, third = tl.split(even)
            second, fourth = tl.split(odd)
            return (first, second, third, fourth)
