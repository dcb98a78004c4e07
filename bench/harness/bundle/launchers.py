"""Builds Triton's launchers and CUDA utilities, which Triton otherwise compiles from C at a kernel's first launch, in a second each.

They are linked to libcuda. On a machine without a driver, a stand-in library is linked instead; nothing there calls it.
"""

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
    """Finds a libcuda to link launchers to, or builds a stand-in that lasts as long as the context.

    Yields:
        The library's folder: "" for the driver's own, which Triton finds; None if there is neither a driver nor a C compiler.
    """
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
    """Builds a libcuda with stub functions, and returns whether there is a C compiler to do so."""
    (folder / "libcuda.c").write_text("".join(f"int {name}(void) {{ return 999; }}\n" for name in sorted(list_symbols())))
    command = [os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-w", f"-Wl,-soname,{NAME}", "libcuda.c", "-o", NAME]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def list_symbols() -> set[str]:
    """Returns all names in Triton's C and Python sources that look like functions of libcuda."""
    files = [Path(driver.__file__), *Path(driver.__file__).parent.glob("*.c")]
    return {name for file in files for name in re.findall(r"\bcu[A-Z]\w+", file.read_text())}


@cache
def link_standin(folder: str) -> None:
    """Makes Triton link to the stand-in in a folder, and loads it, so that linked modules find it."""
    os.environ["TRITON_LIBCUDA_PATH"] = folder
    ctypes.CDLL(str(Path(folder) / NAME), mode=ctypes.RTLD_GLOBAL)


TRAVEL = hasattr(driver, "make_launcher")
"""Launchers can be built on another machine. Later versions of Triton have one launcher for all kernels, whose key contains the folder
of libcuda: it is compiled once, where it runs."""


def build_launchers(kernels: Iterable[Any], folder: str) -> None:
    """Compiles the launchers of kernels and their loader into Triton's cache, if they can be used on another machine.

    Args:
        kernels: Compiled kernels.
        folder: The folder of a stand-in libcuda; "" for the driver's own.
    """
    if not TRAVEL:
        return
    if folder:
        link_standin(folder)
    driver.CudaUtils()
    for kernel in kernels:
        driver.CudaLauncher(kernel.src, kernel.metadata)
