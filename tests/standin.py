"""A stand-in for the CUDA driver, with which Triton's own driver class and launchers load and launch kernels on a machine without a GPU.
Nothing runs: the calls are recorded. `standin.c` says what it answers, and by which variables of the environment it answers otherwise.

For a process of its own: whoever has activated it has no other driver. Tensors stay on the CPU.
"""

import ctypes
import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_suffix(".c")
COMPILER = "gcc"


def build(folder: Path) -> Path:
    """Build it into a folder. Returns the library, libcuda.so.1; the folder is what TRITON_LIBCUDA_PATH takes."""
    found = find_spec("triton")
    assert found is not None and found.origin is not None, "needs triton, which has the header of the driver"
    library = folder / "libcuda.so.1"
    header = Path(found.origin).parent / "backends" / "nvidia" / "include"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", f"-I{header}", str(SOURCE), "-Wl,-soname,libcuda.so.1", "-o", library], check=True)
    return library


def activate(library: Path, record: Path) -> None:
    """Make it this process's driver, before anything asks for one, and have it write what it is called with into `record`."""
    os.environ |= {"TRITON_LIBCUDA_PATH": str(library.parent), "STANDIN_RECORD": str(record)}
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)

    from triton.backends.nvidia.driver import CudaDriver
    from triton.runtime import driver

    made = CudaDriver()
    made.get_current_device = lambda: 0
    made.get_current_stream = lambda device: 7
    made.get_device_capability = lambda device: (9, 0)
    driver.set_active(made)


def calls(record: Path) -> list[dict[str, Any]]:
    """What it was called with, in order."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
