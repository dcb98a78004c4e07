"""Queries the CUDA driver for the number of programs of a kernel that fit on a device at once: a cooperative launch needs all of them.

A process may use fewer multiprocessors than its device has: under an MPS limit, in a green context, on a MIG slice. The driver is queried
once for each device, in the first call there; a green context that is made current later is not seen.
"""

import ctypes
from dataclasses import replace
from functools import cache
from typing import Any

from kernels.schedules.persistent.tiling import Chip, get_chip

MULTIPROCESSOR_COUNT, SM_COUNT, SM_RESOURCE = 16, 0, 1
"""The driver's names for a device's multiprocessors, for a context's share of them, and for them as a resource, in `cuda.h`."""

PLAIN, SHARED_SIZE = 48 * 1024, 8
"""Bytes of shared memory that a program may use without opting in, and the driver's attribute for opting in."""

RESOURCE, SHARE_AT = 512, 96
"""Bytes of a CUdevResource, with room to grow, and the offset of the number of multiprocessors in it."""


@cache
def _load_driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


def _call_driver(name: str, *arguments: Any) -> bool:
    """Calls a function of the driver and returns whether the driver has it and it succeeded."""
    function = getattr(_load_driver(), name, None)
    return function is not None and function(*arguments) == 0


@cache
def count_multiprocessors(index: int) -> int:
    """Returns the multiprocessors of a device that the current context may use: the least of several queries.

    Some queries are newer than others, and not every device supports all of them.
    """
    context, retained = ctypes.c_void_p(), ctypes.c_void_p()
    count, share, resource = ctypes.c_int(), (ctypes.c_uint * 2)(), (ctypes.c_ubyte * RESOURCE)()
    current = ctypes.c_int(-1)
    found = []
    if _call_driver("cuDeviceGetAttribute", ctypes.byref(count), MULTIPROCESSOR_COUNT, index):
        found.append(count.value)
    _call_driver("cuCtxGetDevice", ctypes.byref(current))
    if current.value == index:
        _call_driver("cuCtxGetCurrent", ctypes.byref(context))
        if _call_driver("cuCtxGetExecAffinity", share, SM_COUNT):
            found.append(share[1])
    elif _call_driver("cuDevicePrimaryCtxRetain", ctypes.byref(retained), index):
        context = retained
    if context and _call_driver("cuCtxGetDevResource", context, resource, SM_RESOURCE):
        found.append(ctypes.c_uint.from_buffer(resource, SHARE_AT).value)
    if retained:
        _call_driver("cuDevicePrimaryCtxRelease_v2", index)
    return min(filter(None, found), default=get_chip(index).multiprocessors)


@cache
def usable_chip(index: int) -> Chip:
    """Returns the CUDA device of that index with as many multiprocessors as this process may use."""
    found = get_chip(index)
    return replace(found, multiprocessors=min(found.multiprocessors, count_multiprocessors(index)))


def count_resident_programs(kernel: Any, index: int) -> int:
    """Returns the number of programs of a compiled kernel that fit on a device at once.

    Raises:
        RuntimeError: the kernel can't be loaded there, or the driver doesn't answer.
    """
    kernel._init_handles()
    each, function, shared = ctypes.c_int(), ctypes.c_void_p(kernel.function), kernel.metadata.shared
    if shared > PLAIN:  # newer versions of Triton opt in differently, which the occupancy query may not see
        _call_driver("cuFuncSetAttribute", function, SHARED_SIZE, shared)
    sizes = ctypes.c_int(32 * kernel.metadata.num_warps), ctypes.c_size_t(shared)
    code = _load_driver().cuOccupancyMaxActiveBlocksPerMultiprocessor(ctypes.byref(each), function, *sizes)
    if code:
        raise RuntimeError(f"the CUDA driver doesn't say how many programs of {kernel.metadata.name} a multiprocessor takes: error {code}")
    return each.value * usable_chip(index).multiprocessors
