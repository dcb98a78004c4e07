"""The best rates of a device, measured once in a run: of products, copies and barriers."""

import importlib.util
from pathlib import Path

import torch

from bench.measure.clock import time_fastest
from bench.records import Constants

SAMPLES = 5
REGISTERS = 256 * 1024
"""Bytes of a multiprocessor's registers: 64 Ki of 32 bits, on every GPU of compute capability 5.0 to 12.0 (CUDA C++ Programming
Guide, technical specifications)."""

CACHES = Path("/sys/devices/system/cpu")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def measure_constants(device: torch.device) -> Constants:
    """The constants of a device; on a CPU without those that only a GPU has."""
    if device.type != "cuda":
        rates = {name: product_rate(getattr(torch, name), 1536, device) for name in ("float32", "float64")}
        cache = cache_bytes()
        return Constants(products=rates, copy_rate=copy_rate(max(2**28, 2 * (cache or 0)), device), cache=cache)
    here = torch.cuda.get_device_properties(device)
    rates = {name: product_rate(getattr(torch, name), 8192, device) for name in ("float16", "bfloat16", "float64")}
    before = torch.backends.cuda.matmul.allow_tf32
    for name, allowed in (("float32", False), ("tf32", True)):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        rates[name] = product_rate(torch.float32, 8192, device)
    torch.backends.cuda.matmul.allow_tf32 = before
    known = Constants(
        products=rates, copy_rate=copy_rate(min(2**31, torch.cuda.mem_get_info(device)[0] // 16), device), cache=here.L2_cache_size,
        chip=here.shared_memory_per_multiprocessor + REGISTERS,
    )  # fmt: skip
    torch.cuda.empty_cache()
    if importlib.util.find_spec("triton") is None:
        return known
    from bench.measure import latency

    launch, product_launch = latency.launch_latency(device)
    found = {
        "barriers": latency.barrier_latency(device),
        "l2": latency.l2_latency(device),
        "launch": launch,
        "product_launch": product_launch,
    }
    return known.model_copy(update=found)


def product_rate(dtype: torch.dtype, n: int, device: torch.device) -> float:
    """flop/s of torch's own product of two n × n matrices of random numbers: with zeros, a GPU draws less power and runs faster."""
    a, b = torch.randn(2, n, n, device=device).to(dtype)
    return 2 * n**3 / time_fastest(lambda: a @ b, device, SAMPLES)


def copy_rate(size: int, device: torch.device) -> float:
    """bytes/s of a copy of `size` bytes, all of them read and all of them written."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / time_fastest(lambda: target.copy_(source), device, SAMPLES)


def cache_bytes() -> int | None:
    """Bytes that all data caches of the processors hold together, where Linux says so."""
    found: dict[tuple[str, str], int] = {}
    try:
        for cache in CACHES.glob("cpu[0-9]*/cache/index*"):
            kind, level, shared, size = ((cache / name).read_text().strip() for name in ("type", "level", "shared_cpu_list", "size"))
            if kind != "Instruction":
                found[level, shared] = int(size[:-1]) * UNITS[size[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return sum(found.values()) or None
