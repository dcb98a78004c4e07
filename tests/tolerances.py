"""The one table of tolerances: what is compared, in which dtype, and the largest max|Δ| / max|reference| allowed.

They are the same on every machine. An error above one is a finding about the code until it is shown to be one about the table.
"""

import torch

TOLERANCE = {
    # A schedule's outputs and every gradient against the equations in float64, on the same numbers.
    ("schedule", torch.float64): 1e-10,
    ("schedule", torch.float32): 1e-5,
    # 16 bit: a recurrent product is rounded once per step (half a unit is 2^-11 and 2^-8), a gradient passes a few of those.
    ("schedule", torch.float16): 5e-3,
    ("schedule", torch.bfloat16): 4e-2,
    # One schedule called in two ways: the same sums, which BLAS may order by how its operands lie in memory.
    ("two ways", torch.float32): 1e-6,
    # The step of an exported layer against the layer: both round, each in its own order, and the next step reads the result.
    ("exported C", torch.float64): 1e-10,
    ("exported C", torch.float32): 1e-6,
    # A cell against torch.nn with the same weights: both round, each in its own order.
    ("torch.nn outputs", torch.float64): 1e-10,
    ("torch.nn outputs", torch.float32): 1e-6,
    ("torch.nn gradients", torch.float64): 1e-10,
    ("torch.nn gradients", torch.float32): 1e-5,
    # torch's operator with our weights against itself in torch.nn: the same sums, but for the biases, which are added up in two ways.
    ("torch's operator", torch.float64): 1e-12,
    # A cell's equations against a literal transcription of its paper: the same operations, in another order.
    ("paper", torch.float64): 1e-12,
    # How far from a kink a value may lie and be taken for one of the other side, against the sizes of what is added up there.
    ("kink", torch.float64): 1e-12,
    ("kink", torch.float32): 1e-5,
    # In 16 bit a state is off by as much as a schedule may be, and with it what is compared with zero.
    ("kink", torch.float16): 5e-3,
    ("kink", torch.bfloat16): 4e-2,
}

SYMBOLIC = 1e-30
"""A derived adjoint against SymPy's own derivative, both evaluated with `DIGITS` decimal digits."""

DIGITS = 60

CHEAP = 5
"""A derivative in reverse takes at most this many times the operations of its function (Baur and Strassen 1983)."""
