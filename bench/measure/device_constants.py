"""Measures the peak rates of a device once per run: matrix products, copies and barriers."""

import importlib.util
from pathlib import Path

import torch

from bench.measure.clock import time_fastest
from bench.records import Constants

SAMPLES = 5
REGISTERS = 256 * 1024
"""Bytes of the registers of a multiprocessor: 64 Ki of 32 bits on every GPU of compute capability 5.0 to 12.0 (CUDA C++ Programming Guide,
technical specifications)."""

CACHES = Path("/sys/devices/system/cpu")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def measure_constants(device: torch.device) -> Constants:
    """Measures the constants of a device. Those that only a GPU has are None or empty on a CPU."""
    if device.type != "cuda":
        rates = {name: measure_product_rate(getattr(torch, name), 1536, device) for name in ("float32", "float64")}
        cache = count_cache_bytes()
        return Constants(products=rates, copy_rate=measure_copy_rate(max(2**28, 2 * (cache or 0)), device), cache=cache)
    here = torch.cuda.get_device_properties(device)
    rates = {name: measure_product_rate(getattr(torch, name), 8192, device) for name in ("float16", "bfloat16", "float64")}
    before = torch.backends.cuda.matmul.allow_tf32
    for name, allowed in (("float32", False), ("tf32", True)):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        rates[name] = measure_product_rate(torch.float32, 8192, device)
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


def count_cache_bytes() -> int | None:
    """Returns the total bytes of all data caches of the processors as Linux reports them, or None."""
    found: dict[tuple[str, str], int] = {}
    try:
        for cache in CACHES.glob("cpu[0-9]*/cache/index*"):
            kind, level, shared, size = ((cache / name).read_text().strip() for name in ("type", "level", "shared_cpu_list", "size"))
            if kind != "Instruction":
                found[level, shared] = int(size[:-1]) * UNITS[size[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return sum(found.values()) or None
