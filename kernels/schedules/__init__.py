"""Ways to run a plan's loop over time. Each module is a schedule with the same four names:

    FEEDS: whether its loop computes the feeds (the products in front of it) itself, or wants their rows. One that does may
        compute their gradients too (`Gradients.products`), and has AGAIN: feeds of at most so many columns are not kept for it
    unsupported(plan, dtype, device, B, H) → None, or the reason why it can't run there
    forward(call) → the states over time          backward(call, …) → the gradients of what the loop read

What they are given and return is in `kernels.schedules.interface`.
"""
