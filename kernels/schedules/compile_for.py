"""Compiles Triton kernels for a GPU that isn't present, and reads the resources they would use."""

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
    """The resources of a compiled kernel.

    Attributes:
        registers: per thread.
        stack, local: bytes of stack and of local memory (spills) per thread.
        shared: bytes of shared memory per block.
        sass: the machine code as text.
    """

    registers: int
    stack: int
    local: int
    shared: int
    sass: str


class StubDriver:
    """A Triton driver that compiles for a GPU of compute `capability` (90 for an H100) and can't launch."""

    def __init__(self, capability: int):
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        """Returns the target that Triton compiles for."""
        return self.target

    def get_current_device(self) -> int:
        """Returns the compute capability in place of a device's index."""
        return self.target.arch  # the key of Triton's cache of compiled kernels

    def get_current_stream(self, device: int) -> int:
        """Returns the null stream."""
        return 0


@contextmanager
def target_device(capability: int) -> Iterator[None]:
    """Makes `warmup` compile kernels for a compute capability (80, 90 or 100) inside the context."""
    before = driver._active
    driver.set_active(StubDriver(capability))
    try:
        yield
    finally:
        driver._active = before


def measure_kernel(capability: int, launch: Callable[[], Any]) -> Resources:
    """Compiles the kernel that `launch` warms up for a compute capability and returns its resources."""
    with target_device(capability):
        binary = launch()
    own = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    tool = own if own.exists() else "cuobjdump"  # a Triton that was built without it uses that of CUDA
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()

        def dump(flag: str) -> str:
            return subprocess.run([tool, flag, file.name], capture_output=True, text=True, check=True).stdout

        usage = {k: int(v) for k, v in re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", dump("-res-usage"))}
        return Resources(usage["REG"], usage["STACK"], usage["LOCAL"], binary.metadata.shared, dump("-sass"))
