"""How many programs of a kernel are on a device at once, as the CUDA driver says: those of a cooperative launch that wait for each other
all have to be, or the launch fails.

A process may have fewer multiprocessors than its device: under a limit of MPS, in a green context, on a MIG slice. What it has is asked
for once for each device, in the first call there; a green context that is made current later is not seen.
"""

import ctypes
from dataclasses import replace
from functools import cache
from typing import Any

from kernels.schedules.persistent.tiling import Chip, chip

MULTIPROCESSOR_COUNT, SM_COUNT, SM_RESOURCE = 16, 0, 1
"""The driver's names for a device's multiprocessors, for a context's share of them, and for them as a resource, in `cuda.h`."""

PLAIN, SHARED_SIZE = 48 * 1024, 8
"""Bytes of shared memory that a program may have without asking, and the driver's name for asking."""

RESOURCE, SHARE_AT = 512, 96
"""Bytes of a CUdevResource, with room to grow, and where in it the count of multiprocessors is."""


@cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


def _asked(name: str, *arguments: Any) -> bool:
    """Whether the driver has this function, and it succeeds."""
    function = getattr(_driver(), name, None)
    return function is not None and function(*arguments) == 0


@cache
def multiprocessors(index: int) -> int:
    """Those of a device that the current context may use, at most: the fewest of what the driver says in its several ways. Some of them
    are newer than others, and not every device knows all of them."""
    context, retained = ctypes.c_void_p(), ctypes.c_void_p()
    count, share, resource = ctypes.c_int(), (ctypes.c_uint * 2)(), (ctypes.c_ubyte * RESOURCE)()
    current = ctypes.c_int(-1)
    found = []
    if _asked("cuDeviceGetAttribute", ctypes.byref(count), MULTIPROCESSOR_COUNT, index):
        found.append(count.value)
    _asked("cuCtxGetDevice", ctypes.byref(current))
    if current.value == index:
        _asked("cuCtxGetCurrent", ctypes.byref(context))
        if _asked("cuCtxGetExecAffinity", share, SM_COUNT):
            found.append(share[1])
    elif _asked("cuDevicePrimaryCtxRetain", ctypes.byref(retained), index):
        context = retained
    if context and _asked("cuCtxGetDevResource", context, resource, SM_RESOURCE):
        found.append(ctypes.c_uint.from_buffer(resource, SHARE_AT).value)
    if retained:
        _asked("cuDevicePrimaryCtxRelease_v2", index)
    return min(filter(None, found), default=chip(index).multiprocessors)


@cache
def here(index: int) -> Chip:
    """The CUDA device of that index, with as many multiprocessors as this process may use."""
    found = chip(index)
    return replace(found, multiprocessors=min(found.multiprocessors, multiprocessors(index)))


def together(kernel: Any, index: int) -> int:
    """How many programs of a compiled kernel are on a device at once: those that a multiprocessor takes, with their threads, registers and
    shared memory, times the multiprocessors. Raises RuntimeError if the kernel can't be loaded there or the driver won't say."""
    kernel._init_handles()
    each, function, shared = ctypes.c_int(), ctypes.c_void_p(kernel.function), kernel.metadata.shared
    if shared > PLAIN:  # a newer loader of Triton's asks for it in another way, which occupancy may not know
        _asked("cuFuncSetAttribute", function, SHARED_SIZE, shared)
    sizes = ctypes.c_int(32 * kernel.metadata.num_warps), ctypes.c_size_t(shared)
    code = _driver().cuOccupancyMaxActiveBlocksPerMultiprocessor(ctypes.byref(each), function, *sizes)
    if code:
        raise RuntimeError(f"the CUDA driver doesn't say how many programs of {kernel.metadata.name} a multiprocessor takes: error {code}")
    return each.value * here(index).multiprocessors
