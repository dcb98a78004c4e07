"""A call on a GPU that isn't here, through Triton's own driver and launchers and a libcuda that says yes to everything: a program of its
own, outside of the interpreter.

    offline_bundle.py LIST     calls what a list names, and prints as JSON how many folders of TRITON_CACHE_DIR that wrote, but for
                               launchers that can't travel, how many kernels were launched, and whether `compile_kernel` compiles the
                               kernel that is called
"""

import ctypes
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from triton.backends.nvidia import driver as nvidia
from triton.runtime import driver

import cells
from bench.harness.bundle import cache_watch, launchers
from bench.harness.bundle.kernel_list import KernelWork, read_list
from bench.measure.problem import DTYPES
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.schedules import compile_for
from kernels.schedules.persistent import persistent
from kernels.schedules.persistent.tiling import Pass

T = 7

YES = """
int launched;
int cuDeviceGetAttribute(int *value) { *value = 232448; return 0; }
int cuFuncGetAttribute(int *value) { *value = 2048; return 0; }
int cuLaunchKernelEx(void) { launched++; return 0; }
"""


def library(folder: Path) -> ctypes.CDLL:
    """A libcuda in a folder, loaded."""
    known = {name for name in launchers.list_symbols() if f" {name}(" not in YES}
    (folder / "libcuda.c").write_text(YES + "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(known)))
    command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{launchers.NAME}", "libcuda.c", "-o", launchers.NAME]
    subprocess.run(command, cwd=folder, check=True)
    os.environ["TRITON_LIBCUDA_PATH"] = str(folder)
    return ctypes.CDLL(str(folder / launchers.NAME), mode=ctypes.RTLD_GLOBAL)


def call(work: KernelWork) -> None:
    """A training step and an inference step, which see the second half of larger tensors, as they may of a caller's."""
    cell, dtype = cells.load(work.cell), DTYPES[work.dtype]
    forward, backward = (partial(f, tiles=work.tiles) for f in (persistent.forward, persistent.backward))
    schedule = SimpleNamespace(COMPUTES_PROJECTIONS=False, forward=forward, backward=backward)
    weights = {name: torch.randn(shape, dtype=dtype, requires_grad=True) for name, shape in cell.shapes(work.H, work.H).items()}
    x, states = torch.randn(2, T, work.B, work.H, dtype=dtype)[1], [torch.randn(2, work.B, work.H, dtype=dtype)[1] for _ in cell.states]
    y, _ = apply(plan(cell), schedule, x, states, weights)
    torch.autograd.grad(y, list(weights.values()), torch.randn(T, work.B, work.H, dtype=dtype))
    with torch.no_grad():
        apply(plan(cell), schedule, x, states, weights)


def main(path: str) -> dict[str, object]:
    works = [work for work in read_list(Path(path)) if work.tiles]
    with TemporaryDirectory() as folder, cache_watch.watch_cache() as seen:
        libcuda = library(Path(folder))
        gpu = nvidia.CudaDriver()
        gpu.get_current_device, gpu.get_device_capability, gpu.get_current_stream = lambda: 0, lambda index: (9, 0), lambda index: 0
        driver.set_active(gpu)
        for work in works:
            call(work)
        called, launched = set(seen.folders), ctypes.c_int.in_dll(libcuda, "launched").value
    with compile_for.target_device(90), cache_watch.watch_cache() as alone:
        for work in works:
            persistent.compile_kernel(Pass(plan(cells.load(work.cell)), work.direction, work.B, work.H, DTYPES[work.dtype]), work.tiles)
    return {
        "written": len(seen.made) - (not launchers.TRAVEL),
        "launched": launched,
        "warm": len(alone.folders),
        "same": alone.folders <= called,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
