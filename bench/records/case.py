"""One thing to measure, and its outcome."""

from typing import Literal

from pydantic import Field

from bench.records.model import Model

Status = Literal["ok", "verified", "unsupported", "incorrect", "oom", "timeout", "crashed", "failed", "skipped"]
FAILURES = ("incorrect", "oom", "timeout", "crashed", "failed")
Mode = Literal["inference", "training"]


class Case(Model):
    """One thing to measure: a cell at a size on a backend.

    T time steps, B sequences, D input width, H hidden width. `mode` "training" is forward and backward with the gradient of
    the input; `input_product` says whether the products of the input are inside the time. `precision` is that of every
    fp32 product ("ieee" or "tf32"). `stands_for` names the cell whose parameter count this row's H was chosen to equal:
    the vendor's GRU standing in for a cell the vendor doesn't have.
    """

    cell: str
    backend: str
    mode: Mode
    T: int
    B: int
    D: int
    H: int
    dtype: str
    precision: str
    input_product: bool = True
    stands_for: str = ""


class Errors(Model):
    """max|Δ| / max|reference| against the float64 reference at this very shape: of the outputs and final states, and of the
    worst gradient, which is named ("x", "h_0", "W.ih", …)."""

    output: float
    gradient: float | None = None
    worst: str = ""


class Memory(Model):
    """Bytes. `saved`: kept between forward and backward, by unique storage, without weights and inputs. `peak`: highest
    allocation during the call over what was allocated before it."""

    weights: int
    saved: int
    peak: int


class Demand(Model):
    """What one call of a case needs at the least, whoever runs it; `bench.measure.demand` says why.

    `hoisted` and `recurrent`: flops of the products in front of the loop and in it. `bytes`: read from memory or written to it.
    `held`: bytes of the recurrent matrices. `meetings`: how often, one after another, all units of a sequence must know what
    all others found.
    """

    hoisted: int
    recurrent: int
    bytes: int
    held: int
    meetings: int


class CaseRecord(Model):
    """The outcome of a case. `samples` are seconds per call, in the order taken, `rounds` the interleaved round each was
    taken in; `build_seconds` is compiling and warming up. `reason` says why a status is not ok, and where and at which size
    a "verified" one was checked; "skipped" is what a run has left out so far. `parameters` counts learned values; `flops` is of one
    forward step of one sequence. `algorithm` is what cuDNN is expected to take, of the vendor's cases on a GPU."""

    kind: Literal["case"] = "case"
    case: Case
    status: Status
    reason: str = ""
    errors: Errors | None = None
    samples: list[float] = Field(default_factory=list)
    rounds: list[int] = Field(default_factory=list)
    build_seconds: float = 0.0
    memory: Memory | None = None
    parameters: int = 0
    formula: str = ""
    flops: int = 0
    algorithm: str = ""
    demand: Demand | None = None
