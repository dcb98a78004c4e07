"""The functions of the cells in Triton, one element a lane, in float32 and under their own names: what `kernels.derive.adjoint` prints
calls them.

NaN stays NaN, and what is finite in exact arithmetic, of a finite argument, is finite here wherever float32 can hold it.
"""

import triton
import triton.language as tl


@triton.jit
def sigmoid(v):
    return 1.0 / (1.0 + tl.exp(-v))


@triton.jit
def tanh(v):
    s = v * v  # a series where the quotient would lose its digits
    small = v * (1.0 - s * (0.3333333333333333 - s * (0.13333333333333333 - s * 0.05396825396825397)))
    return tl.where(s < 0.01, small, 1.0 - 2.0 / (1.0 + tl.exp(2.0 * v)))


@triton.jit
def relu(v):
    return tl.where(v <= 0.0, 0.0, v)


@triton.jit
def positive(v):
    return tl.where(v <= 0.0, 0.0, 1.0)


@triton.jit
def exp(v):
    return tl.exp(v)


@triton.jit
def log(v):
    return tl.log(v)


@triton.jit
def sqrt(v):
    return tl.sqrt(v)


@triton.jit
def abs(v):
    return tl.abs(v)


@triton.jit
def softplus(v):
    e = tl.exp(-tl.abs(v))
    s = e / (2.0 + e)  # log(1 + e) = 2 artanh s, and s is at most a third
    q = s * s
    series = 0.1111111111111111 + q * (0.09090909090909091 + q * 0.07692307692307693)
    series = 1.0 + q * (0.3333333333333333 + q * (0.2 + q * (0.14285714285714285 + q * series)))
    return maximum(v, 0.0) + 2.0 * s * series


@triton.jit
def maximum(a, b):
    return tl.where(a > b, a, tl.where(b >= a, b, a + b))


@triton.jit
def minimum(a, b):
    return tl.where(a < b, a, tl.where(b <= a, b, a + b))


@triton.jit
def hard_sigmoid(v):
    return minimum(maximum(v + 3.0, 0.0), 6.0) / 6.0


@triton.jit
def hard_tanh(v):
    return minimum(maximum(v, -1.0), 1.0)


@triton.jit
def less(a, b):
    return tl.where(a < b, 1.0, 0.0)


@triton.jit
def at_most(a, b):
    return tl.where(a <= b, 1.0, 0.0)


@triton.jit
def where(c, a, b):
    return tl.where(c != 0.0, a, b)
