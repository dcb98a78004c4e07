"""One thing to measure, and its outcome."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from bench.records.base_record import Model, Name, Seconds, Size

Status = Literal["ok", "verified", "unsupported", "incorrect", "oom", "timeout", "crashed", "failed", "skipped"]
FAILURES = ("incorrect", "oom", "timeout", "crashed", "failed")
Mode = Literal["training", "inference", "backward"]
Stop = Literal["", "precise", "time", "count", "interrupted"]
"""Why no more samples were taken: the interval of the median was narrow enough, the time or the number allowed was used up."""


class Case(Model):
    """One thing to measure: a cell at a size on a backend.

    T time steps, B sequences, D input width, H hidden width. `mode` "training" is forward and backward with the gradient of
    the input, "backward" the second half of it, timed alone; `input_product` says whether the products of the input are inside the
    time. `precision` is that of every fp32 product ("ieee" or "tf32"). `matched_params_of` names the cell whose parameter count this row's
    H was chosen to equal: the vendor's GRU standing in for a cell the vendor doesn't have. A `aa_repeat` is the same case again under
    another name: what the two differ by is noise.
    """

    cell: Name
    backend: Name
    mode: Mode
    T: Size
    B: Size
    D: Size
    H: Size
    dtype: Name
    precision: Name
    input_product: bool = True
    matched_params_of: Name = ""
    aa_repeat: bool = False


class Errors(Model):
    """max|Δ| / max|reference| against the float64 reference at this very shape: of the outputs and final states, and of the
    worst gradient, which is named ("x", "h_0", "W.ih", …)."""

    output: float
    gradient: float | None = None
    worst: str = ""


class Memory(Model):
    """Bytes. `saved`: kept between forward and backward, by unique storage, without weights and inputs. `peak`: highest
    allocation during the call over what was allocated before it."""

    weights: NonNegativeInt
    saved: NonNegativeInt
    peak: NonNegativeInt


class LowerBound(Model):
    """The least that one call of a case needs on any backend; `bench.measure.lower_bound` says why.

    `hoisted` and `recurrent`: flops of the products in front of the loop and in it. `bytes`: read from memory or written to it.
    `resident_bytes`: bytes of the recurrent matrices. `grid_syncs`: how often, one after another, all units of a sequence must know what
    all others found.
    """

    hoisted: NonNegativeInt
    recurrent: NonNegativeInt
    bytes: NonNegativeInt
    resident_bytes: NonNegativeInt
    grid_syncs: NonNegativeInt


class Numerics(Model):
    """The work of a call and its numerics. Rows whose `comparable` differs are never put in one ratio.

    `outputs`: all T of them or the last; `copies`: of inputs or outputs to another layout, inside the time; `tf32`: of float32
    products in front of the loop and in it. Declared, and not compared: `biases`, vectors added for each gate (torch.nn has two, whose
    sum is one); `accumulators` of products and carried `state`; `flat_weights`, cuDNN's one block, None where there is none.
    """

    outputs: Literal["all", "last"]
    copies: bool
    operands: str
    tf32_hoisted: bool
    tf32_recurrent: bool
    biases: int
    accumulators: str
    state: str
    flat_weights: bool | None = None

    @property
    def comparable(self) -> tuple[object, ...]:
        """Return what two rows must share to be compared."""
        return self.outputs, self.copies, self.operands, self.tf32_hoisted, self.tf32_recurrent


HEAD_START_CYCLES = 4_000_000
"""Cycles that a GPU is kept busy before a timed call, some 2 ms: so far ahead the host may issue work, as it does in a training loop."""


class Reading(Model):
    """How a GPU was just after a sample: clocks in Hz, watts, °C, and why it held its clock back, in NVML's words."""

    clock: float | None = None
    memory_clock: float | None = None
    power: float | None = None
    temperature: float | None = None
    throttled: list[str] = Field(default_factory=list)


class CaseRecord(Model):
    """The outcome of a case. `samples` are seconds per call, in the order taken, `rounds` the interleaved round each was
    taken in, `stopped` why there are no more; `build_seconds` is compiling and warming up. `reason` says why a status is not ok, and
    where and at which size a "verified" one was checked; "skipped" is what a run has left out so far. `parameters` counts learned
    values; `flops` is of one forward step of one sequence. `algorithm` is what cuDNN is expected to take, of the vendor's cases.
    `unit` is what a step does for each of its B·H units, where that is a measure of speed: the "cell update" of waves.

    `cold` are seconds of calls before which the caches were overwritten. On a GPU: `host`, seconds after which each sample's call
    came back to the host; `graph`, seconds of the whole call replayed from one CUDA graph, or why there are none in `no_graph`;
    `launches`, kernels that one call runs; `readings`, one for each sample; `energy`, joules of a call."""

    kind: Literal["case"] = "case"
    case: Case
    status: Status
    reason: str = ""
    errors: Errors | None = None
    samples: list[Seconds] = Field(default_factory=list)
    rounds: list[int] = Field(default_factory=list)
    stopped: Stop = ""
    cold: list[Seconds] = Field(default_factory=list)
    host: list[Seconds] = Field(default_factory=list)
    graph: list[Seconds] = Field(default_factory=list)
    no_graph: str = ""
    launches: NonNegativeInt | None = None
    readings: list[Reading] = Field(default_factory=list)
    energy: float | None = None
    build_seconds: Seconds = 0.0
    memory: Memory | None = None
    parameters: NonNegativeInt = 0
    formula: str = ""
    flops: NonNegativeInt = 0
    algorithm: str = ""
    unit: str = ""
    lower_bound: LowerBound | None = None
    numerics: Numerics | None = None
