"""A case to measure, and its outcome."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, NonNegativeInt

from bench.records.base_record import Model, Name, Seconds, Size

Status = Literal["ok", "verified", "unsupported", "incorrect", "oom", "timeout", "crashed", "failed", "skipped"]
FAILURES = ("incorrect", "oom", "timeout", "crashed", "failed")
Mode = Literal["training", "inference", "backward"]
Stop = Literal["", "precise", "time", "count", "interrupted"]
"""Why sampling ended: the allowed time or number of calls was used up or, up to schema 4, the median's interval was narrow ("precise")."""


class Case(Model):
    """A case to measure: a cell at a size on a backend.

    Attributes:
        cell: The name of the cell.
        backend: The name of the backend.
        mode: "training" (forward and backward pass with the gradient of the input), "inference", or "backward" (the backward pass alone).
        T: Time steps.
        B: Sequences.
        D: Width of the input.
        H: Hidden width.
        dtype: The dtype of all tensors.
        precision: The precision of all float32 products, "ieee" or "tf32".
        input_product: Whether the time includes the input projection.
        matched_params_of: The cell whose parameter count determined H: the vendor's GRU replaces a cell that the vendor lacks.
        aa_repeat: Whether this is a repeated measurement of the same case (A/A). The difference of the two is noise.
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
    """The largest errors against the float64 reference at the size of the case, each max|Δ| / max|reference|.

    Attributes:
        output: The error of the outputs and final states.
        gradient: The error of the worst gradient.
        worst: The name of that gradient ("x", "h_0", "W.ih", …).
        scale: The smallest error of a gradient's scale that the check tells apart from rounding, where the tolerance is too coarse for it.
        residual: Of a backend that iterates, the largest difference of a state and the step of the states before it, over the largest
            element of its sequence there; None for other backends and in older records.
    """

    output: float
    gradient: float | None = None
    worst: str = ""
    scale: float | None = None
    residual: float | None = None


class Memory(Model):
    """The memory of a training step in bytes.

    Attributes:
        weights: The size of all weights.
        saved: Tensors saved between forward and backward pass, counted once per storage, without weights and inputs: what of them lies in
            memory if `saved_allocated` is known and on a CPU, else what was allocated.
        saved_allocated: The bytes that were allocated for them, touched or not; None in older records.
        peak: The highest allocation during the call minus the allocation before it. Memory that is never touched counts.
    """

    weights: NonNegativeInt
    saved: NonNegativeInt
    saved_allocated: NonNegativeInt | None = None
    peak: NonNegativeInt


class LowerBound(Model):
    """The operations, memory traffic and barriers that every backend needs for one call of a case (derived in `bench.measure.lower_bound`).

    Attributes:
        hoisted: Flops of the matrix products before the loop.
        recurrent: Flops of the matrix products in the loop.
        bytes: Bytes read from memory or written to it.
        resident_bytes: Bytes of the recurrent matrices.
        grid_syncs: The number of successive points at which all units of a sequence need the results of all others.
    """

    hoisted: NonNegativeInt
    recurrent: NonNegativeInt
    bytes: NonNegativeInt
    resident_bytes: NonNegativeInt
    grid_syncs: NonNegativeInt


class Numerics(Model):
    """The work of a call and its numerics. Cases with different `comparable` are never compared.

    Attributes:
        outputs: Whether all T outputs are computed or only the last.
        copies: Whether the time includes a copy of inputs or outputs to another layout.
        operands: The dtype of the operands.
        tf32_hoisted: Whether float32 products before the loop use TF32.
        tf32_recurrent: Whether float32 products in the loop use TF32.
        biases: Bias vectors per gate (torch.nn has two, which act as one). Not compared, like the following ones.
        accumulators: The dtype that accumulates products.
        state: The dtype of the state between steps.
        flat_weights: Whether all weights lie in one block, as cuDNN needs them; None for other backends.
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
        """Returns the fields that two cases must share to be compared."""
        return self.outputs, self.copies, self.operands, self.tf32_hoisted, self.tf32_recurrent


HEAD_START_CYCLES = 4_000_000
"""Cycles that a GPU is kept busy before a timed call, about 2 ms. The host can issue work that far ahead, as in a training loop."""


class Reading(Model):
    """The state of a GPU just after a sample.

    Attributes:
        clock: The clock of the multiprocessors in Hz.
        memory_clock: The clock of the memory in Hz.
        power: Watts.
        temperature: °C.
        throttled: The reasons why the clock was throttled, in NVML's words.
    """

    clock: float | None = None
    memory_clock: float | None = None
    power: float | None = None
    temperature: float | None = None
    throttled: list[str] = Field(default_factory=list)


class CaseRecord(Model):
    """The outcome of a case.

    Attributes:
        case: The case.
        status: The outcome; "skipped" means that the run has not measured the case yet.
        reason: Why the status is not "ok"; for "verified", where and at which size the case was checked.
        errors: The errors against float64.
        samples: Seconds per call, in the order measured.
        rounds: The interleaved round of each sample; they begin anew in each build.
        builds: The build that each sample belongs to. Up to schema 4 a case was built once, and this is empty.
        stopped: Why sampling ended.
        cold: Seconds of calls with overwritten caches.
        host: On a GPU, the seconds until each call returned to the host.
        graph: On a GPU, the seconds of the call replayed as one CUDA graph.
        no_graph: Why `graph` is empty.
        launches: The number of kernels that one call runs on a GPU.
        readings: The state of the GPU after each sample.
        energy: Joules per call.
        build_seconds: Seconds for compilation and warm-up.
        memory: The memory of a training step.
        parameters: The number of trainable parameters of the equations.
        formula: That number as a formula in D and H.
        layer_parameters: The number of a layer, which for a cell of torch.nn has torch's second biases too; 0 in older records.
        flops: The flops of one forward step of one sequence.
        algorithm: The algorithm that cuDNN is expected to use, for cases of the vendor.
        unit: The unit of speed for each of the B·H updates of a step, if the cell has one: "cell update" for waves.
        lower_bound: The least that any backend needs.
        numerics: The work and the numerics of a call.
    """

    kind: Literal["case"] = "case"
    case: Case
    status: Status
    reason: str = ""
    errors: Errors | None = None
    samples: list[Seconds] = Field(default_factory=list)
    rounds: list[int] = Field(default_factory=list)
    builds: list[int] = Field(default_factory=list)
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
    layer_parameters: NonNegativeInt = 0
    flops: NonNegativeInt = 0
    algorithm: str = ""
    unit: str = ""
    lower_bound: LowerBound | None = None
    numerics: Numerics | None = None

    @property
    def by_build(self) -> dict[int, dict[int, float]]:
        """Returns the seconds by build and round. Without builds every call counts as one."""
        rounds = self.rounds or list(range(len(self.samples)))
        found: dict[int, dict[int, float]] = {}
        for build, number, seconds in zip(self.builds or rounds, rounds, self.samples, strict=False):
            found.setdefault(build, {})[number] = seconds
        return found


def join_builds(records: Sequence[CaseRecord]) -> CaseRecord:
    """Joins the records of one case, which differ in their builds. All that is measured once is that of the first."""
    joined = {name: [value for record in records for value in getattr(record, name)] for name in SAMPLED}
    return records[0].model_copy(update=joined)


SAMPLED = ("samples", "rounds", "builds", "host", "readings")
"""The fields of a record that have a value for each sample."""
