"""The meaning of a report's tables: the terms that occur in it, each once, and how a run was measured."""

import re

from bench.analysis.summary import HOST_SHARE
from bench.analysis.verdict import NOISE, WIDEST
from bench.render.case_grid import FASTEST, HOST, TIED
from bench.render.formatting import BELOW

VERDICTS = "≈ marks a tie with 1×, ? an inconclusive speed"
TERMS = {
    f"[{FASTEST}{TIED}]": f"{FASTEST} is the fastest of its row, {TIED} one that is not significantly slower than the fastest.",
    r"[≈?]\d": f"{VERDICTS}.",
    HOST: f"{HOST} marks a host-bound time: the host issued the work more slowly than the GPU did it.",
    r"[×\d] gru\b": 'Where torch.nn has no such cell, its speedup is over torch.nn\'s gru of the same H ("gru" behind the ×).',
    r"gru_reset_before": (
        "gru resets after the product (as torch.nn and cuDNN), gru_reset_before before it (as the papers of MinimalRNN and CFN)."
    ),
    "× hardware lower bound": (
        "× hardware lower bound: the time of a case over a time that nothing can beat on this machine, and what sets it."
    ),
    rf"{BELOW}\d": f"{BELOW} marks a time below the lower bound: the model is wrong there, or the machine was faster than when measured.",
    "nats per step": "Nats per step: how fast the logarithm of a norm changes with lag; negative where it vanishes.",
    "Cold|cold, ms": "Per step: of one time step of the whole batch. Cold: before each call the caches were overwritten.",
    "outliers": (
        "Outliers lie beyond Tukey's fences (1.5 interquartile ranges out of the quartiles); they are counted, and stay in the median."
    ),
    "excluding the input projection": (
        "Excluding the input projection: all that doesn't depend on a state was computed before and is not in the time; of a cell without "
        "a product in its loop, the products with the input are, and the rest is in the time."
    ),
}
"""What a term means, by what it is found by in a text."""
METHOD = """\
- Before a backend is timed at a shape, its outputs, final states and every gradient at that shape are compared with the equations
  run in float64. The error of a tensor is max|Δ| / max|reference|. A backend that is wrong has the status "incorrect" and no time.
- "verified" means: run and found right in this way, at a small size, by Triton's interpreter on the processor. It says nothing of
  speed.
- After a warm-up, the backends of one {together} are interleaved, one call each, in a new random order each round, with the garbage
  collector off. A call is timed to the end of its work on the device. A GPU is kept busy for some 2 ms before it, so that the host is
  ahead of it as in a training loop: time of the host counts where a call takes more. Where what the host takes beyond its head start is
  more than {host} of a time, that time is host-bound ({mark}): the processor set it, and one CUDA graph of the call would shorten it.
  Inputs, initial states, weights and upstream gradients are random and materialised.
- Inference is the forward pass without gradients; training is forward and backward, with the gradients of the input and of all
  trainable parameters.
- A time is the median of its samples, outliers among them. A speedup is the median, over the rounds that both were timed in, of the
  ratio of two times. Intervals are 95% percentile bootstrap intervals of the median. With fewer than five samples there is none.
- Some cases are measured twice under two names (A/A). By what the medians of such a pair differ at most is the noise floor of the
  run; the margin is that, and at least {noise}. A speedup is *ambiguous* (?) where a clock was held back or there are fewer than five
  rounds; *faster* or *slower* where its median is outside the margin and its interval excludes 1; a *tie* (≈) where the median is
  inside the margin and the interval within {widest} of 1; and else ambiguous. Rows whose work or numerics differ are
  never put in one ratio.
- The share of sgemm is the flop/s of the case over those of torch's own float32 product of large matrices, measured in the run.
  Training counts as three times the forward flops.
- The hardware lower bound of a case is the longest of three times that nothing can beat on this machine. They may overlap, and so aren't
  added up. Products: their flops at the rate of the dtype. Memory: the inputs of a case read once, its outputs written once, in training
  all states saved and read, and the input read again, at the rate of a copy; as many bytes as all caches hold are free in each pass.
  Chain, on a GPU: a grid-wide barrier or a load from L2, whichever is longer, between any two stages, among the fewest multiprocessors
  whose shared memory and registers hold the recurrent matrices; none where one does. What a step computes element by element is not
  counted. The constants (Environment) are the fastest of several measurements when the run began.
- Memory is counted in MiB (2^20 bytes) in passes of its own: saved is what autograd keeps between forward and backward, by unique
  storage and without weights and inputs; peak is the highest allocation during a step over what was allocated before it.
- Every number here is derived from the raw samples of the run's records; `python -m bench report` renders it again."""


def define_terms(text: str) -> list[str]:
    """The definitions of the terms that occur in a text."""
    return [meaning for pattern, meaning in TERMS.items() if re.search(pattern, text)]


def describe_method(together: str) -> str:
    """Describe how a run was measured; `together` says what is interleaved: a "T", or a "size"."""
    known = {"together": together, "noise": f"{NOISE:.0%}", "widest": f"{WIDEST:.0%}", "host": f"{HOST_SHARE:.0%}", "mark": HOST}
    return METHOD.format(**known)
