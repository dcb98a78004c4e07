"""Ways to run a plan's loop over time. Each module is a schedule with the same four names:

    FEEDS: whether its loop computes the feeds (the products in front of it) itself, or wants their rows
    unsupported(plan, dtype, device, B, H) → None, or the reason why it can't run there
    forward(call) → the states over time          backward(call, …) → the gradients of what the loop read

What they are given and return is in `kernels.loop`.
"""
