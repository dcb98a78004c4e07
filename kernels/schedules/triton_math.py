"""More functions of the cells in Triton, and the sums over the units of a row. They are apart from `triton_functions`, whose text the
verdicts on the persistent kernel's machine code belong to.
"""

import triton
import triton.language as tl


@triton.jit
def floor(v):
    return tl.floor(v)


@triton.jit
def sin(v):
    return tl.sin(v)


@triton.jit
def cos(v):
    return tl.cos(v)


@triton.jit
def erf(v):
    return tl.erf(v)


@triton.jit
def power(a, b):
    return tl.where(b == 0.0, 1.0, tl.exp(b * tl.log(a)))


@triton.jit
def unit_sum(v, HEADS: tl.constexpr, unit_index, COUNT: tl.constexpr):
    if HEADS == 1:
        found = tl.sum(tl.where(unit_index < COUNT, v, 0.0), axis=0)
    else:
        head = unit_index // (COUNT // HEADS)
        found = tl.where(unit_index < COUNT, 0.0, 1.0)  # past the units a value must only be harmless
        for k in range(HEADS):
            found = tl.where(head == k, tl.sum(tl.where(head == k, v, 0.0), axis=0), found)
    return found


@triton.jit
def unit_mean(v, HEADS: tl.constexpr, unit_index, COUNT: tl.constexpr):
    return unit_sum(v, HEADS, unit_index, COUNT) / (COUNT // HEADS)


@triton.jit
def unit_max(v, HEADS: tl.constexpr, unit_index, COUNT: tl.constexpr):
    if HEADS == 1:
        found = tl.max(tl.where(unit_index < COUNT, v, float("-inf")), axis=0)
    else:
        head = unit_index // (COUNT // HEADS)
        found = tl.where(unit_index < COUNT, 0.0, 1.0)
        for k in range(HEADS):
            found = tl.where(head == k, tl.max(tl.where(head == k, v, float("-inf")), axis=0), found)
    return found
