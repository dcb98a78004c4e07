"""Keeps Triton's cache keys independent of the order in which kernels are compiled.

Triton 3.6 leaves the constexpr globals of a called function out of its caller's key if the called function has no key yet. The key of a
kernel would then depend on what the process has compiled before, and a cache that another process has made would miss.
"""

import sys
from functools import cache
from types import ModuleType

from triton.runtime.jit import JITFunction


@cache
def compute_keys(module: ModuleType) -> None:
    """Computes the cache keys of the jitted functions of a module, after those of the modules that it takes functions from.

    Interpreted functions have no keys.
    """
    for function in [value for value in vars(module).values() if isinstance(value, JITFunction)]:
        if function.fn.__module__ != module.__name__:
            compute_keys(sys.modules[function.fn.__module__])
        assert function.cache_key
