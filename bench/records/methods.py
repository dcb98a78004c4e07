"""Describes how each kind of measurement is made. A run writes these texts into its first line, and its report repeats them from there.

Records of schemas 1 to 4 have none: they were measured as EARLIER says.
"""

METHODS = {
    "cases": """\
- Before a backend is timed at a size, its outputs, final states and all gradients at that size are compared with the equations in
  float64, with the branches that the backend took at kinks. The error of a tensor is max|Δ| / max|reference|. A backend whose error is too
  large gets the status "incorrect" and no time. In 16 bit and with TF32 the scale of every gradient of 64 entries and more is checked
  too; the table has the smallest error of a scale that this check can detect beside rounding.
- "verified": Triton's interpreter ran the kernel on the CPU at a small size, and it passed this check. The status says nothing about
  speed.
- A case is built anew several times, on a CPU in a new process, and each build is timed. After a warm-up, the backends of one T, or of one
  size in a suite, are interleaved: each gets one call per round, in a new random order each round, with the garbage collector off. On a CPU
  a call below 10 ms is first repeated untimed for 5 ms, at most ten times, and an untimed call comes before each below 1 ms (below 10 ms
  beside peers in processes of their own). A call is timed until its work on the device ends. A GPU is kept busy for about 2 ms before each
  call, so that the host runs ahead of it as in a training loop. Inputs, initial states, weights and upstream gradients are random tensors
  in memory.
- Inference is the forward pass without gradients. Training is the forward and the backward pass, with the gradients of the input and of
  all trainable parameters.
- Some cases are measured twice under two names (A/A).
- The constants (see Environment) are the fastest of several measurements at the start of the run and, without --quick, at its end.
- Memory is measured in separate passes, in MiB (2^20 bytes). Saved: what autograd keeps between forward and backward, each storage
  counted once, without weights and inputs; on a CPU under Linux, what of it lies in memory. Peak: the highest allocation during a step
  minus the allocation before it.""",
    "waves": """\
- Waves: a cell update is one point of the grid, of one sequence, in one time step. A call has T·B·H of them. Its time includes the input
  projection. torch.nn has no layer for waves, so they are compared with a loop over torch's conv2d, as wavetorch runs them.""",
    "gradients": """\
- Gradient norms: ‖∂L/∂s‖ along standard normal inputs, where s holds all states of a cell and s₀ the initial ones. Error against float64:
  the distance between the gradient of the states and the one that the same numbers give in float64, divided by the norm of the latter.""",
    "jacobians": """\
- Jacobians: the singular values σ along a sequence of standard normal inputs, of ∂s_T/∂s_{T-k} (s holds all states of the cell), of
  ∂h_T/∂x_{T-k}, and of ∂h_T/∂z_{T-k} for a cell that uses x only through one value z, such as MinimalRNN's z = Φ(x).""",
    "theory": """\
- Mean-field theory: χ is the factor by which the mean square of a perturbation of all states grows in one step. Predicted: by quadrature,
  for matrices of variance σ²/N that are drawn anew for every step. Measured: in the equations of the cell at width N with such weights.
  Tied weights stay the same in every step; the theory makes no claim about them.""",
    "maps": """\
- Chaotic maps: the largest Lyapunov exponent of the two maps of Laurent & von Brecht (2017), in nats per step, for each seed the mean
  over starting points and steps. Copies: that many points start within ±ε of one point. Extent: the diagonal of the box around them after
  so many steps; chaos spreads them over the whole attractor.""",
    "decays": """\
- Without input: trajectories start at standard normal states and run for T steps without input. The table has ‖h‖/√H and the distance of
  two trajectories over √H after T steps, and the largest Lyapunov exponent from step T/2 on; where states exceed float64, that of the
  steps before. CFN goes to 0 for all weights, MinimalRNN to
  tanh(b_z).""",
    "parallel": """\
- Time in parallel: Newton's method over all time steps at once, from states of zero, along standard normal inputs or, for weights
  trained on a task (adding and digits for 400 steps, recommend for 200), along its validation sequences, one after another. An
  iteration takes exact account of the derivatives that stay within a unit, or of all of them. It counts until the states, or the
  gradients of the terms, deviate from those of a sequential pass in the same dtype by at most the tolerance, over the largest of them.
  λ: the largest Lyapunov exponent along the first sequence. Coupling: the share of the mean square of a step's derivatives that is
  between different units.""",
    "training": """\
- For one seed, every cell gets the same data in the same order, the same optimiser (Adam; a sparse embedding uses its sparse form), the
  same limit on the gradient's norm ("clip", 1 unless --clip sets another or none), and the same search: if a task has several learning
  rates, each is tried with a separate seed, and the best one on the validation data is used for all seeds.
- The trainings of one seed are interleaved between evaluations, in random order, so that changes of the machine affect all of them alike.
- Before a layer is trained, its outputs and gradients are compared with its equations in float64, on the data of the task. The table has
  the largest error. A layer whose error is too large is not trained.
- The curve is of validation data. The final value is of test data, by the model of the best evaluation. Seconds are the time of training
  including data but without evaluations; a step during which the process was stopped counts as the median of the steps since the last
  evaluation. "No improvement": several evaluations brought nothing better. "Diverged": the loss or a gradient was not finite.
- Input-output Jacobian: the singular values σ of ∂h_T/∂x_{T-k} along a sequence of validation data, for up to three seeds, before the first
  step, about the middle and at the end of its training, by the model of the best evaluation.
- What drives a unit's update: the first-order variance of its next state, divided among its own states, those of all other units, and the
  input, as if these varied independently; the mean over units, sequences and steps of validation data.
- Robustness to noise: the noise is normal, and its standard deviation is the given multiple of that of the inputs or of the outputs. On
  states it is added at every step. Up to three seeds are analysed.""",
    "scale": """\
- Data-parallel training: steps with DistributedDataParallel, timed on the slowest rank. Strong scaling: all ranks share the batch of a
  single rank. Weak scaling: each rank has as many sequences as a single rank. Deviation: the largest relative error of losses and
  gradients against one process with the whole batch. The ranks of one machine share its memory and, if there are more ranks than cores,
  its cores.""",
}
"""Descriptions of how each kind of records is measured, as markdown. The kinds are those of `Records`, and "waves" are cases."""

EARLIER = METHODS | {
    "cases": """\
- Before a backend is timed at a size, its outputs, final states and all gradients at that size are compared with the equations in
  float64. The error of a tensor is max|Δ| / max|reference|. A backend whose error is too large gets the status "incorrect" and no time.
- "verified": Triton's interpreter ran the kernel on the CPU at a small size, and it passed this check. The status says nothing about
  speed.
- After a warm-up, the backends of one T, or of one size in a suite, are interleaved: each gets one call per round, in a new random order
  each round, with the garbage collector off. A call is timed until its work on the device ends. A GPU is kept busy for about 2 ms before
  each call, so that the host runs ahead of it as in a training loop. Inputs, initial states, weights and upstream gradients are random
  tensors in memory.
- Inference is the forward pass without gradients. Training is the forward and the backward pass, with the gradients of the input and of
  all trainable parameters.
- Some cases are measured twice under two names (A/A).
- The constants (see Environment) are the fastest of several measurements at the start of the run.
- Memory is measured in separate passes, in MiB (2^20 bytes). Saved: what autograd keeps between forward and backward, each storage
  counted once, without weights and inputs. Peak: the highest allocation during a step minus the allocation before it."""
}
"""The same for schemas 1 to 4."""
