"""Schedules: ways to run a plan's time loop. Each is a module with four names:

    COMPUTES_FEEDS: whether its loop computes the feeds (the input projections) itself, or takes them precomputed. If it does, it may
        compute their gradients too (`Gradients.products`), and it has RECOMPUTE_COLUMNS: feeds with at most so many columns are
        recomputed in the backward pass instead of saved
    unsupported_reason(plan, dtype, device, B, H) → None, or the reason why it can't run
    forward(inputs: PassInputs) → ForwardResult
    backward(inputs: PassInputs, result: ForwardResult, dy, d_final) → Gradients

`kernels.schedules.interface` defines these types.
"""
