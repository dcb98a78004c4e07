"""The environment and the settings of a run: the first line of its records."""

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from bench.records.base_record import Model, Name, Seconds
from bench.records.schema import SCHEMA


class Constants(Model):
    """The best rates of the device, measured in the run: the fastest of several. None is what was not measured there.

    `products`: flop/s of a large square product by dtype, "tf32" being float32 with tf32 products; `copy_rate`: bytes/s of a copy
    of memory that no cache holds, what is read and what is written. `cache` and, of a GPU's multiprocessor, `chip` are no
    measurements: the bytes that all caches of the device together, and shared memory and registers, can hold.

    On a GPU, in seconds: `barriers`, a barrier among so many programs, as the persistent kernels use; `l2`, a load that another one
    waits for, from L2; `launch` and `product_launch`, an empty kernel and a tiny product in a CUDA graph.
    """

    products: dict[str, PositiveFloat]
    copy_rate: PositiveFloat
    cache: NonNegativeInt | None = None
    chip: PositiveInt | None = None
    barriers: dict[PositiveInt, Seconds] = Field(default_factory=dict)
    l2: Seconds | None = None
    launch: Seconds | None = None
    product_launch: Seconds | None = None


class Environment(Model):
    """The environment of a run. Versions are empty where a thing is missing; `packages` has those of the peers of `scan` that are
    installed, by their names. `other_processes` computed on the GPU when the run began, as far as it says. `sgemm_flops` is of records
    without `constants`: the rate, in flop/s, of torch's own float32 product of (4096, 1024) and (1024, 1024) on that device, measured in
    the run."""

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


class End(Model):
    """The last line of a run, or of its part after --resume: where its wall time went, in seconds. `spent` is by activity: "gates"
    (building, the float64 reference, every check), "timing", "memory", "gradients", "constants" and, what is left, "overhead" (planning,
    starting processes, rendering)."""

    kind: Literal["end"] = "end"
    wall: Seconds
    spent: dict[str, Seconds]
