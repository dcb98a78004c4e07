"""The environment and settings of a run (the first line of its records), and its end."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from bench.records.base_record import Model, Name, Seconds
from bench.records.schema import SCHEMA


class Constants(Model):
    """The peak rates of a device, measured in the run: the fastest of several measurements. None or empty means not measured.

    Attributes:
        products: Flop/s of the fastest of several square matrix products by dtype; "tf32" is float32 with TF32.
        copy_rate: Bytes/s, read and written, of a copy that exceeds all caches.
        cache: The capacity of all caches in bytes (not measured).
        first_level: The capacity of the first level of the caches in bytes (not measured).
        reads: On a CPU, bytes/s at which a matrix is read that fits a level of the caches, from the second on, by the level's capacity.
        chip: The bytes of shared memory and registers of a GPU's multiprocessor (not measured).
        barriers: Seconds of a grid-wide barrier of the persistent kernels, by number of programs.
        l2: Seconds of a load from L2 that another load waits for.
        launch: Seconds of an empty kernel in a CUDA graph.
        product_launch: Seconds of a tiny matrix product in a CUDA graph.
    """

    products: dict[str, PositiveFloat]
    copy_rate: PositiveFloat
    cache: NonNegativeInt | None = None
    first_level: NonNegativeInt = 0
    reads: dict[PositiveInt, PositiveFloat] = Field(default_factory=dict)
    chip: PositiveInt | None = None
    barriers: dict[PositiveInt, Seconds] = Field(default_factory=dict)
    l2: Seconds | None = None
    launch: Seconds | None = None
    product_launch: Seconds | None = None

    def join(self, later: "Constants") -> "Constants":
        """Returns these constants with the higher of both rates and the shorter of both times."""
        products = {name: max(rate, later.products.get(name, rate)) for name, rate in self.products.items()}
        reads = {size: max(rate, later.reads.get(size, rate)) for size, rate in self.reads.items()}
        barriers = {programs: min(seconds, later.barriers.get(programs, seconds)) for programs, seconds in self.barriers.items()}
        l2 = min(filter(None, (self.l2, later.l2)), default=None)
        rates = {"products": products, "reads": reads, "copy_rate": max(self.copy_rate, later.copy_rate)}
        return self.model_copy(update=rates | {"barriers": barriers, "l2": l2})


class Environment(Model):
    """The environment of a run. A version is "" if the program or package is missing.

    Attributes:
        packages: The versions of the installed scan packages, by name.
        other_processes: The number of other processes on the GPU at the start, as far as NVML reports them.
        cpus: The number of CPUs of the machine that are online; `cores` of them may be used.
        load: The CPUs that other processes kept busy just before the run; None if the system doesn't say.
        load_average: The system's own load average over a minute.
        governor: What sets the CPUs' clock, such as "performance"; "" if unknown, as for the following ones.
        turbo: "on" or "off": whether clocks may exceed the nominal one.
        smt: "on" or "off": whether two CPUs share a core.
        sgemm_flops: For records without `constants`: flop/s of torch's float32 product of (4096, 1024) and (1024, 1024).
    """

    device: Name
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
    packages: dict[Name, Name] = Field(default_factory=dict)
    commit: str = ""
    dirty: bool = False
    other_processes: int = 0
    cpus: int | None = None
    load: float | None = None
    load_average: float | None = None
    governor: str = ""
    turbo: Literal["", "on", "off"] = ""
    smt: Literal["", "on", "off"] = ""
    sgemm_flops: float = 0.0
    constants: Constants | None = None

    @property
    def sgemm(self) -> float:
        """Returns the flop/s of torch's own float32 product; 0 if not measured."""
        return self.constants.products.get("float32", 0.0) if self.constants else self.sgemm_flops


class Run(Model):
    """The first line of a records file.

    Attributes:
        started: The start in UTC, ISO 8601.
        command: The command that repeats the run.
        name: The name that --name gave it.
        settings: The settings, which must be the same on --resume.
        method: How each kind of records is measured, as markdown; {} in schemas 1 to 4 (see `bench.records.methods`).
    """

    kind: Literal["run"] = "run"
    schema_version: int = SCHEMA
    started: str
    command: str
    name: Name = ""
    seed: int
    environment: Environment
    settings: dict[str, Any] = Field(default_factory=dict)
    method: dict[str, str] = Field(default_factory=dict)

    def join_constants(self, ends: "Sequence[End]") -> "Run":
        """Returns the run with the fastest of the rates that were measured when it began and when it or a part of it ended."""
        constants = self.environment.constants
        for end in ends:
            constants = constants.join(end.constants) if constants and end.constants else constants
        return self.model_copy(update={"environment": self.environment.model_copy(update={"constants": constants})})


class Plan(Model):
    """Counts what a run is to measure. It is the second line of a run; --resume adds another one.

    Attributes:
        unit: What is counted.
        count: The number of units.
        missing: The shards that a merged run lacks.
    """

    kind: Literal["plan"] = "plan"
    unit: Literal["case", "training", "measurement"]
    count: NonNegativeInt
    missing: str = ""


class End(Model):
    """The last line of a run, or of a part of it that --resume added. A run that was killed has none.

    Attributes:
        wall: Seconds of wall time.
        spent: Seconds by activity: "gates" (builds, the float64 reference and all checks), "timing", "memory", "gradients", "constants",
            "dynamics" and "learning" (the previews), and the remaining "overhead" (planning, starting processes, rendering).
        constants: The peak rates of the device, measured again.
    """

    kind: Literal["end"] = "end"
    wall: Seconds
    spent: dict[str, Seconds]
    constants: Constants | None = None
