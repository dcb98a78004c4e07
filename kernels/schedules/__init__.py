"""Schedules: ways to run a plan's time loop.

A schedule is a module that defines four names, and a fifth, RECOMPUTE_COLUMNS, if COMPUTES_PROJECTIONS is True. RUNS_PACKED is optional.

    COMPUTES_PROJECTIONS: whether its loop computes the input projections itself, or takes them precomputed. If it does, it may compute
        their gradients too (`Gradients.products`)
    RECOMPUTE_COLUMNS: the maximum number of columns of a projection that is recomputed in the backward pass instead of saved
    RUNS_PACKED: True if its loop runs packed rows (`PassInputs.packed`); otherwise they run as a padded batch, by a rewritten cell
    unsupported_reason(plan, dtype, device, B, H) → None if it can run the plan, else a verb phrase that completes "the backend 'x' …"
    forward(inputs: PassInputs) → ForwardResult
    backward(inputs: PassInputs, result: ForwardResult, dy, d_final) → Gradients

`kernels.schedules.interface` defines these types.
"""
