"""Triton's launchers and its CUDA utilities: C that it compiles at a kernel's first launch, a second each. Linked to libcuda, of which
a stand-in will do to build them where there is no driver; they are never called there."""

import ctypes
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from triton.backends.nvidia import driver

NAME = "libcuda.so.1"


@contextmanager
def find_libcuda() -> Iterator[str | None]:
    """The folder of a libcuda to link to: "" for the driver's own, which Triton finds, or a stand-in's. None without a C compiler."""
    try:
        ctypes.CDLL(NAME)
    except OSError:
        pass
    else:
        yield ""
        return
    with TemporaryDirectory() as folder:
        yield folder if build_standin(Path(folder)) else None


def build_standin(folder: Path) -> bool:
    """Write a libcuda whose functions are there to be linked to. Returns whether there is a compiler to make it with."""
    (folder / "libcuda.c").write_text("".join(f"int {name}(void) {{ return 999; }}\n" for name in sorted(list_symbols())))
    command = [os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-w", f"-Wl,-soname,{NAME}", "libcuda.c", "-o", NAME]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def list_symbols() -> set[str]:
    """Whatever Triton's C, in files and in Python, may mean by a function of libcuda."""
    files = [Path(driver.__file__), *Path(driver.__file__).parent.glob("*.c")]
    return {name for file in files for name in re.findall(r"\bcu[A-Z]\w+", file.read_text())}


@cache
def link_standin(folder: str) -> None:
    """Have Triton link to the stand-in of a folder, and what it links to it find it loaded."""
    os.environ["TRITON_LIBCUDA_PATH"] = folder
    ctypes.CDLL(str(Path(folder) / NAME), mode=ctypes.RTLD_GLOBAL)


TRAVEL = hasattr(driver, "make_launcher")
"""Whether they can be built elsewhere. Later versions have one launcher for all kernels, and a key with the folder of libcuda in it: it is
compiled where it runs, once."""


def build_launchers(kernels: Iterable[Any], folder: str) -> None:
    """Compile the launchers of kernels, and what loads them, into Triton's cache, if they can travel."""
    if not TRAVEL:
        return
    if folder:
        link_standin(folder)
    driver.CudaUtils()
    for kernel in kernels:
        driver.CudaLauncher(kernel.src, kernel.metadata)
