"""Explains a report: the terms that occur in it, each once, and how its numbers are computed."""

import re

from bench.analysis.median_ci import FEWEST
from bench.analysis.summary import HOST_SHARE
from bench.analysis.verdict import NOISE, WIDEST
from bench.render.case_grid import FASTEST, HOST, TIED
from bench.render.formatting import BELOW
from bench.render.speed_tables import TIMES

VERDICTS = "≈ marks a tie, ? an inconclusive result"
TERMS = {
    TIMES: f"{TIMES}: the median, followed by the speedup over torch.nn, whose backend is called vendor.",
    r"±\d": "± is half the width of the 95% interval.",
    f"[{FASTEST}{TIED}]": f"{FASTEST} marks the fastest backend of a row, {TIED} a backend that is not significantly slower.",
    r"[≈?]\d": f"{VERDICTS}.",
    r"\bunstable\b": "Unstable: the ratio of the two times contradicts the ratio of paired calls, so neither is shown as a speedup.",
    HOST: f"{HOST} marks a host-bound time: the CPU issued the work more slowly than the GPU executed it.",
    r"[×\d] gru\b": 'A cell that torch.nn lacks is compared with torch.nn\'s gru of the same H: "gru" follows its speedup.',
    r"gru_reset_before": (
        "gru applies its reset gate after the recurrent product, as torch.nn and cuDNN do; gru_reset_before applies it before the product, "
        "as the papers of MinimalRNN and CFN do."
    ),
    "× hardware lower bound": "× hardware lower bound: a time divided by a time that nothing can beat on this machine. Set by: its limit.",
    rf"{BELOW}\d": (
        f"{BELOW} marks a time below the lower bound, an error of the bound: its model is wrong there, or the machine ran faster than when "
        "it was measured."
    ),
    "nats per step": "Nats per step: the slope of the logarithm of a norm over lag. The norm vanishes where it is negative.",
    r"(normal|orthogonal):\d": (
        "normal:G, orthogonal:G: a start whose matrices are drawn normal with standard deviation G/√(columns), or orthogonal times G; the "
        "other parameters are those of the default start."
    ),
    "(host, µs|launches|J) per step": "Per step: per time step of the whole batch.",
    r"as fast as torch\.nn's|is shown to|has the best|in the fewest steps|changes? least": (
        "Headline: its intervals are corrected for the number of cells or backends that are compared in it, so they can be wider than in "
        "the tables. Where the first interval overlaps with another, none is called the best."
    ),
    "no ratio": "No ratio: the work or the numerics of the two cases differ.",
    "[Cc]old, ms": "Cold: the caches were overwritten before each call.",
    "outliers": "Outliers lie more than 1.5 interquartile ranges outside the quartiles (Tukey's fences). They stay in the median.",
    "excluding the input projection": (
        "Excluding the input projection: all that does not depend on a state was computed before the timed call. For a cell whose loop has "
        "no matrix product, only the products with the input were."
    ),
}
"""Definitions of terms, each by the pattern that finds the term in a text."""
ANALYSIS = """\
- A time is host-bound ({mark}) if the host takes longer than its head start on a GPU, and the excess is more than {host} of the time: the
  CPU set that time, and one CUDA graph of the call would shorten it.
- A time is the median over the builds of the median of a build's calls, outliers included. A speedup is the median over the builds of the
  ratio of the two times in a build. Intervals are 95% intervals of order statistics over the builds; with fewer than {fewest} there is
  none. That of a speedup is widened if the times of neighbouring builds resemble each other. Runs up to schema 4 built a case once: there
  every call counts as a build, and what a build adds is in no interval. The interval of a mean speedup reaches from the mean of its
  cases' low ends to that of their high ends.
- The noise floor of a run is the largest distance from 1 of the speedup of a case over its own repetition (A/A). The margin is the noise
  floor, but at least {noise}. A speedup is *unstable* if the ratio of the two times lies outside its interval; *ambiguous* (?) if a GPU
  throttled its clock or there are fewer than {fewest} builds; *faster* or *slower* if its median is outside the margin and its interval
  excludes 1; a *tie* (≈) if its median is inside the margin and its interval within {widest} of 1; otherwise ambiguous. Cases whose work or
  numerics differ are never compared.
- The share of sgemm is the flop/s of the case divided by those of torch's own float32 product of large matrices, measured in the same
  run. Training counts as three times the forward flops.
- The hardware lower bound of a case is the longest of three times. They can overlap, so they are not added. Products: the flops of the
  matrix products at the peak rate of the dtype. Memory: the inputs of the case read once and its outputs written once, in training also
  all states written and read and the input read again, at the rate of a copy; as many bytes as all caches hold are free in each pass. On
  a CPU whose caches were measured also the recurrent matrices, read in every step from the smallest level that holds them, beyond the
  first.
  Barriers, on a GPU: a grid-wide barrier or a load from L2, whichever takes longer, between any two stages, among the fewest
  multiprocessors whose shared memory and registers hold the recurrent matrices; no time if one multiprocessor holds them. Elementwise
  operations are not counted.
- All numbers here are computed from the raw samples in the records; `python -m bench report` renders them again."""


def define_terms(text: str) -> list[str]:
    """Returns the definitions of the terms that occur in a text."""
    return [meaning for pattern, meaning in TERMS.items() if re.search(pattern, text)]


def describe_analysis() -> str:
    """Returns how the numbers of a report are computed from timed cases."""
    return ANALYSIS.format(noise=f"{NOISE:.0%}", widest=f"{WIDEST:.0%}", host=f"{HOST_SHARE:.0%}", mark=HOST, fewest=FEWEST)
