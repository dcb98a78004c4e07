"""What the tables of a report mean, in words."""

from bench.analysis.summary import HOST_SHARE
from bench.analysis.verdict import NOISE, WIDEST
from bench.render.case_grid import FASTEST, HOST, TIED
from bench.render.formatting import VERDICTS

TIMES = (
    "Median milliseconds of a call, ± half the width of its 95% interval, and in brackets how many times as fast as the vendor (torch.nn). "
    f"Where torch.nn has no such cell, it is held against the vendor's gru of equal H. {FASTEST} is the fastest of its row, {TIED} one "
    f"that isn't shown to be slower; {VERDICTS}."
)
GIVEN = "What doesn't depend on a state was computed before and is given; else as above."
LIGHT = "The time of a case over its floor, which nothing can beat on this machine, and what sets it (see Method)."
METHOD = """\
- Before a backend is timed at a shape, its outputs, final states and every gradient at that shape are compared with the equations
  run in float64. The error of a tensor is max|Δ| / max|reference|. A backend that is wrong has the status "incorrect" and no time.
- "verified" means: run and found right in this way, at a small size, by Triton's interpreter on the processor. It says nothing of
  speed.
- After a warm-up, the backends of one {together} take turns, one call each, in a new random order each round, with the garbage collector
  off. A call is timed to the end of its work on the device. A GPU is kept busy for some 2 ms before it, so that the host is ahead of
  it as in a training loop: time of the host counts where a call takes more. Where what the host takes beyond its head start is more
  than {host} of a time, that time is host-bound ({mark}): the processor set it, and one CUDA graph of the call would shorten it.
  Inputs, initial states, weights and upstream gradients are random and materialised.
- Inference is the forward pass without gradients; training is forward and backward, with the gradients of the input and of every
  learned value. Without the input product, all that doesn't depend on a state is computed beforehand and given; of a cell
  without a product in its loop, the input products are, and the rest is inside the time.
- A time is the median of its samples, outliers among them. A speed is the median, over the rounds that both were timed in, of the
  ratio of two times. Intervals are 95% percentile bootstrap intervals of the median. With fewer than five samples there is none.
- Some cases are measured twice under two names (A/A). By what the medians of such a pair differ at most is the noise floor of the
  run; the margin is that, and at least {noise}. A speed is *ambiguous* (?) where a clock was held back or there are fewer than five
  rounds; *faster* or *slower* where its median is outside the margin and its interval excludes 1; a *tie* (≈) where the median is
  inside the margin and the interval within {widest} of 1; and else ambiguous. Rows whose work or numerics differ are
  never put in one ratio.
- The share of sgemm is the flop/s of the case over those of torch's own float32 product of large matrices, measured in the run.
  Training counts as three times the forward flops.
- × of light is the time of a case over its floor: the longest of three times that nothing can beat on this machine. They may
  overlap, and so aren't added up. Products: their flops at the rate of the dtype. Memory: what a case is given read once, what it
  is asked for written once, in training all states kept and read, and the input read again, at the rate of a copy; as many bytes
  as all caches hold are free in each pass. Chain, on a GPU: a barrier or a load from L2, whichever is longer, between any two
  stages, among the fewest multiprocessors whose shared memory and registers hold the recurrent matrices; none where one does.
  What a step computes element by element is not counted. The constants (Environment) are the fastest of several measurements
  when the run began. A time below its floor (!) says that the model is wrong there, or that the machine was faster later.
- Memory is counted in MiB (2^20 bytes) in passes of its own: saved is what autograd keeps between forward and backward, by unique
  storage and without weights and inputs; peak is the highest allocation during a step over what was allocated before it.
- Every number here is derived from the raw samples in records.jsonl; `python -m bench report` renders it again."""


def method(together: str) -> str:
    """How a run was measured; `together` says what takes turns: a "T", or a "size"."""
    known = {"together": together, "noise": f"{NOISE:.0%}", "widest": f"{WIDEST:.0%}", "host": f"{HOST_SHARE:.0%}", "mark": HOST}
    return METHOD.format(**known)
