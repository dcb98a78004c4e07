"""What a run leaves behind: one JSON line for the run, then one for every measurement, as they finish.

    records.jsonl:   {"kind": "run", …}  {"kind": "case", …}  {"kind": "gradients", …}  …

Raw samples are kept; whatever a report shows is derived from them. Seconds, bytes and counts, without prefixes.
"""

import errno
import json
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

SCHEMA = 1

Status = Literal["ok", "verified", "unsupported", "incorrect", "oom", "timeout", "crashed", "failed", "skipped"]
FAILURES = ("incorrect", "oom", "timeout", "crashed", "failed")
Mode = Literal["inference", "training"]


class RecordError(ValueError):
    """A records file that can't be read; the message names the file, the line and the fault."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Constants(Model):
    """What the device does at its best, measured in the run: the fastest of several. None is what was not measured there.

    `products`: flop/s of a large square product by dtype, "tf32" being float32 with tf32 products; `copy_rate`: bytes/s of a copy
    of memory that no cache holds, what is read and what is written. `cache` and, of a GPU's multiprocessor, `chip` are no
    measurements: the bytes that all caches of the device together, and shared memory and registers, can hold.

    On a GPU, in seconds: `barriers`, a meeting of so many programs, as the resident kernels meet; `l2`, a load that another one
    waits for, from L2; `launch` and `product_launch`, an empty kernel and a tiny product in a CUDA graph.
    """

    products: dict[str, float]
    copy_rate: float
    cache: int | None = None
    chip: int | None = None
    barriers: dict[int, float] = Field(default_factory=dict)
    l2: float | None = None
    launch: float | None = None
    product_launch: float | None = None


class Environment(Model):
    """Where a run ran. Versions are empty where a thing is missing. `sgemm_flops` is of records without `constants`: the rate,
    in flop/s, of torch's own float32 product of (4096, 1024) and (1024, 1024) on that device, measured in the run."""

    device: str
    device_kind: Literal["cpu", "cuda"]
    processor: str
    cores: int
    threads: int
    memory_bytes: int
    system: str
    python: str
    torch: str
    triton: str = ""
    cuda: str = ""
    cudnn: str = ""
    driver: str = ""
    compiler: str = ""
    torchrecurrent: str = ""
    commit: str = ""
    dirty: bool = False
    sgemm_flops: float = 0.0
    constants: Constants | None = None

    @property
    def sgemm(self) -> float:
        """flop/s of torch's own float32 product, 0 where it was not measured."""
        return self.constants.products.get("float32", 0.0) if self.constants else self.sgemm_flops


class Run(Model):
    """The first line of a records file. `started` is UTC, ISO 8601; `command` runs it again; `settings` are those of the run, which
    must be the same where it is resumed."""

    kind: Literal["run"] = "run"
    schema_version: int = SCHEMA
    started: str
    command: str
    seed: int
    environment: Environment
    settings: dict[str, Any] = Field(default_factory=dict)


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
    """What one call of a case needs at the least, whoever runs it; `bench.demand` says why.

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


class GradientRecord(Model):
    """Gradient norms of one cell at one length, at its initialisation, from a fixed seed. `loss` states L in words.

    `by_lag[k]` is the mean over sequences of ‖∂L_b/∂s_{T-k}‖, k = 0 … T, where s holds all states of the cell (h, and c of an
    LSTM): the last is that of the initial states. `parameters` are the norms of ∂L/∂(a learned value), L the mean of L_b, by
    name. `non_finite` counts the entries of all these gradients that are not finite; they are left out of the norms.
    """

    kind: Literal["gradients"] = "gradients"
    cell: str
    T: int
    B: int
    D: int
    H: int
    dtype: str
    seed: int
    loss: str
    by_lag: list[float]
    parameters: dict[str, float]
    non_finite: int = 0


Line = Annotated[Run | CaseRecord | GradientRecord, Field(discriminator="kind")]
_LINE: TypeAdapter[Run | CaseRecord | GradientRecord] = TypeAdapter(Line)


class Records(Model):
    """A records file, read. Where a case was measured again, its last record counts; failures stay."""

    run: Run
    cases: list[CaseRecord]
    gradients: list[GradientRecord]


def write(stream: FileIO, line: Run | CaseRecord | GradientRecord) -> None:
    """Append one record, whole: what is measured survives whatever happens next. On a full disk the file stays as it was, and
    OSError is raised."""
    data = line.model_dump_json().encode() + b"\n"
    end = stream.tell()
    try:
        if stream.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        stream.truncate(end)
        raise


def read(path: Path) -> Records:
    """Read a records file, or the one in a folder. Raises RecordError on a line that is cut short or of another schema."""
    path = path / "records.jsonl" if path.is_dir() else path
    try:
        lines = list(_parse(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: can't be read ({error})") from None
    if not lines or not isinstance(lines[0], Run):
        raise RecordError(f"{path}: line 1 is not a run: is this a records.jsonl that `bench all` wrote?")
    cases = {(line.case, line.status in FAILURES): line for line in lines if isinstance(line, CaseRecord)}
    measured = {case for (case, _), line in cases.items() if line.status != "skipped"}
    return Records(
        run=lines[0],
        cases=[line for line in cases.values() if line.status != "skipped" or line.case not in measured],
        gradients=[line for line in lines if isinstance(line, GradientRecord)],
    )


def _parse(path: Path) -> Iterator[Run | CaseRecord | GradientRecord]:
    lines = path.read_text(encoding="utf-8").removesuffix("\n")
    for number, text in enumerate(lines.split("\n") if lines else [], start=1):
        try:
            raw = json.loads(text)
        except json.JSONDecodeError:
            raise RecordError(f"{path}: line {number} is cut short or not JSON: delete that line to read the rest") from None
        version = raw.get("schema_version", SCHEMA) if isinstance(raw, dict) else None
        if version != SCHEMA:
            raise RecordError(f"{path}: line {number} has schema {version}, this version reads {SCHEMA}")
        try:
            yield _LINE.validate_python(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RecordError(f"{path}: line {number}: {where}: {first['msg']}") from None
