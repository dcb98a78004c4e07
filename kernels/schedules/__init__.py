"""Ways to run a plan's loop over time. Each module is a schedule with the same three functions:

    unsupported(plan, dtype, device) → None, or the reason why it can't run there
    forward(call) → the states over time          backward(call, …) → the gradients of what the loop read

What they are given and return is in `kernels.loop`.
"""
