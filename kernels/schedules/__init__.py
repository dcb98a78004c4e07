"""Schedules: ways to run a plan's time loop. Each is a module with four names:

    COMPUTES_PROJECTIONS: whether its loop computes the input projections itself, or takes them precomputed. If it does, it may compute
        their gradients too (`Gradients.products`), and it has RECOMPUTE_COLUMNS: a projection of at most so many columns is recomputed
        in the backward pass instead of saved
    unsupported_reason(plan, dtype, device, B, H) → the reason why it can't run, behind the backend's name; None if it can
    forward(inputs: PassInputs) → ForwardResult
    backward(inputs: PassInputs, result: ForwardResult, dy, d_final) → Gradients

`kernels.schedules.interface` defines these types.
"""
