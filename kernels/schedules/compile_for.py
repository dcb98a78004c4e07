"""Compile Triton kernels for a GPU that isn't here, and read what they would use of it."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver


@dataclass(frozen=True)
class Resources:
    """Of one compiled kernel: registers per thread, bytes of stack and of local memory (spills) per thread, bytes of shared
    memory per block, and its machine code as text."""

    registers: int
    stack: int
    local: int
    shared: int
    sass: str


class Absent:
    """Stands for the driver of a GPU of compute `capability` (90 for an H100): it can be compiled for, not launched on."""

    def __init__(self, capability: int):
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return self.target.arch  # Triton caches what it compiled by this number

    def get_current_stream(self, device: int) -> int:
        return 0


@contextmanager
def device(capability: int) -> Iterator[None]:
    """Within, kernels called through `warmup` compile for `capability`, 80, 90 or 100."""
    before = driver._active
    driver.set_active(Absent(capability))
    try:
        yield
    finally:
        driver._active = before


def compiled(capability: int, launch: Callable[[], Any]) -> Resources:
    """What the kernel that `launch` warms up uses on a GPU of `capability`."""
    with device(capability):
        binary = launch()
    own = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    tool = own if own.exists() else "cuobjdump"  # a triton built without it, beside CUDA's own tools
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()

        def dump(flag: str) -> str:
            return subprocess.run([tool, flag, file.name], capture_output=True, text=True, check=True).stdout

        usage = {k: int(v) for k, v in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", dump("-res-usage"))}
        return Resources(usage["REG"], usage["STACK"], usage["LOCAL"], binary.metadata.shared, dump("-sass"))
