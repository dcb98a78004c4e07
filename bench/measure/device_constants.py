"""Measures the peak rates of a device, when a run begins and when it ends: matrix products, copies, reads from caches and barriers."""

import importlib.util
import os
from functools import partial
from pathlib import Path

import torch

from bench.measure.clock import time_fastest
from bench.records import Constants

SAMPLES = 3
READS = 50
WIDTHS = {"cpu": (512, 1024, 1536), "cuda": (4096, 8192)}
"""The sizes of the square matrices whose product is timed: which one is the fastest differs between devices and dtypes."""
REGISTERS = 256 * 1024
"""Bytes of the registers of a multiprocessor: 64 Ki of 32 bits on every GPU of compute capability 5.0 to 12.0 (CUDA C++ Programming Guide,
technical specifications)."""

CACHES = Path("/sys/devices/system/cpu")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def measure_constants(device: torch.device, quick: bool = False) -> Constants:
    """Measures the constants of a device. Those that only a GPU has are None or empty on a CPU.

    Args:
        device: The device.
        quick: Whether to leave out the largest products and, on a CPU, to copy less and to measure products once.
    """
    if device.type != "cuda":
        rates = {name: measure_fastest_product(getattr(torch, name), device, quick) for name in ("float32", "float64")}
        cache, levels = count_cache_bytes(), list_cache_levels(usable_processors())
        copied = measure_copy_rate(max(2**26 if quick else 2**28, 2 * (cache or 0)), device)
        for name in () if quick else tuple(rates):  # again, at another moment
            rates[name] = max(rates[name], measure_fastest_product(getattr(torch, name), device))
        reads = {size: measure_read_rate(size, device) for level, size in levels.items() if level > 1}
        return Constants(products=rates, copy_rate=copied, cache=cache, first_level=levels.get(1, 0), reads=reads)
    here = torch.cuda.get_device_properties(device)
    rates = {name: measure_fastest_product(getattr(torch, name), device, quick) for name in ("float16", "bfloat16", "float64")}
    before = torch.backends.cuda.matmul.allow_tf32
    for name, allowed in (("float32", False), ("tf32", True)):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        rates[name] = measure_fastest_product(torch.float32, device, quick)
    torch.backends.cuda.matmul.allow_tf32 = before
    known = Constants(
        products=rates, copy_rate=measure_copy_rate(min(2**31, torch.cuda.mem_get_info(device)[0] // 16), device), cache=here.L2_cache_size,
        chip=here.shared_memory_per_multiprocessor + REGISTERS,
    )  # fmt: skip
    torch.cuda.empty_cache()
    if importlib.util.find_spec("triton") is None:
        return known
    from bench.measure import latency

    launch, product_launch = latency.measure_launches(device)
    found = {"barriers": latency.measure_barriers(device), "l2": latency.measure_l2(device)}
    return known.model_copy(update={**found, "launch": launch, "product_launch": product_launch})


def measure_fastest_product(dtype: torch.dtype, device: torch.device, quick: bool = False) -> float:
    """Returns the flop/s of the fastest of several products; if `quick`, without the largest."""
    return max(measure_product_rate(dtype, n, device) for n in WIDTHS[device.type][: -1 if quick else None])


def measure_product_rate(dtype: torch.dtype, n: int, device: torch.device) -> float:
    """Returns the flop/s of torch's product of two n × n matrices. The numbers are random, because a GPU draws less power and runs faster
    with zeros."""
    a, b = torch.randn(2, n, n, device=device).to(dtype)
    return 2 * n**3 / time_fastest(lambda: a @ b, device, SAMPLES)


def measure_copy_rate(size: int, device: torch.device) -> float:
    """Returns the bytes/s of a copy of `size` bytes, counting bytes read and bytes written."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / time_fastest(lambda: target.copy_(source), device, SAMPLES)


def measure_read_rate(size: int, device: torch.device) -> float:
    """Returns the bytes/s at which a matrix of at most `size` bytes is read by a product with a vector, if it stays in the cache. The
    difference of two sizes leaves out what a call costs."""
    width = int((size / 4) ** 0.5)
    few, many = width // 4, width - width // 4
    short, long = (
        time_fastest(partial(torch.mv, torch.ones(rows, width, device=device), torch.ones(width, device=device)), device, READS)
        for rows in (few, many)
    )
    return 4 * width * max(many / long, (many - few) / (long - short) if long > short else 0.0)


def usable_processors() -> set[int] | None:
    """Returns the numbers of the processors that this process may use; None if the system doesn't say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def list_cache_levels(processors: set[int] | None = None) -> dict[int, int]:
    """Returns the total bytes of the data caches by level, as Linux reports them; empty if it doesn't.

    Args:
        processors: Whose caches count; None for all.
    """
    found: dict[tuple[str, str], int] = {}
    try:
        for cache in CACHES.glob("cpu[0-9]*/cache/index*"):
            kind, level, shared, bytes_ = ((cache / name).read_text().strip() for name in ("type", "level", "shared_cpu_list", "size"))
            if kind != "Instruction" and (processors is None or int(cache.parts[-3].removeprefix("cpu")) in processors):
                found[level, shared] = int(bytes_[:-1]) * UNITS[bytes_[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return {}
    levels: dict[int, int] = {}
    for (level, _), size in sorted(found.items()):
        levels[int(level)] = levels.get(int(level), 0) + size
    return levels


def count_cache_bytes() -> int | None:
    """Returns the total bytes of all data caches of the processors, or None."""
    return sum(list_cache_levels().values()) or None
