"""Reports what this machine can run: each part, its version, and how to install a missing one."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import torch
from rich.table import Table

from bench.measure.cpu_state import read_cpu_state
from bench.measure.environment import count_memory, find_compiler_version, find_driver_version, find_processor, find_version
from bench.measure.scan_peers import SCANS
from bench.records.backend_table import ROWS, translate_name
from bench.render.terminal import open_console
from kernels.derive.plan import plan
from kernels.layer.select import SCHEDULES


def print_machine_report() -> None:
    """Prints a table of hardware and packages, and a line for each backend."""
    found = describe_machine()
    table = Table("", "part", "here", "missing", box=None)
    for part in found["parts"]:
        table.add_row("[green]✓[/]" if part["here"] else "[yellow]–[/]", part["part"], part["here"], part["missing"])
    out = open_console(highlight=False)
    out.print(table)
    out.print("\nbackends here, in float32:")
    for backend, what in found["backends"].items():
        out.print(f"  {backend}: {what}")


def describe_machine() -> dict[str, Any]:
    """Returns the parts of this machine, each with its version or with what to do where it is missing, and what each backend runs here."""
    gpu = torch.cuda.is_available()
    parts = [{"part": part, "here": here, "missing": "" if here else missing} for part, here, missing in list_parts(gpu)]
    return {"parts": parts, "backends": describe_backends(gpu)}


def list_parts(gpu: bool) -> Iterator[tuple[str, str, str]]:
    """Yields the name of each part, its version ("" if it is missing), and how to get it."""
    yield "processor", f"{find_processor()}, {torch.get_num_threads()} threads, {count_memory() / 2**30:.0f} GiB", ""
    yield "clock", describe_clock(), "the system doesn't say what sets the CPUs' clock: there is no cpufreq here"
    yield "torch", torch.__version__, ""
    lost = "without it there are no stepwise, persistent, scan and stencil backends"
    yield "triton", find_version("triton"), f"pip install triton (Linux only): {lost}"
    yield "C++ compiler", find_compiler_version(), "install g++ or set CXX: without one the compiled backend falls back to eager"
    yield "GPU", torch.cuda.get_device_name() if gpu else "", "torch finds no GPU: Triton kernels are checked in its interpreter"
    yield "driver", find_driver_version(), "nvidia-smi doesn't answer"
    yield "CUDA", (torch.version.cuda or "") if gpu else "", f"torch is built for {torch.version.cuda or 'the CPU'}"
    yield "cuDNN", str(torch.backends.cudnn.version()) if gpu and torch.backends.cudnn.is_available() else "", "needs a GPU"
    yield "torchrecurrent", find_version("torchrecurrent"), "optional peer: pip install torchrecurrent"
    for package in sorted({scan.package for scan in SCANS.values() if scan.package}):
        yield package, find_version(package), f"optional peer of scan on a GPU: pip install {package}"
    for package in (row.package for row in ROWS if row.package):
        yield package, find_version(package), "optional peer on a CPU: pip install '.[cpu-peers]', or make cpu-peers"
    yield "pytest-benchmark", "installed" if importlib.util.find_spec("pytest_benchmark") else "", "pip install pytest-benchmark"


def describe_clock() -> str:
    """Returns the governor, turbo, SMT and the load by other processes, as far as they are known."""
    found = read_cpu_state()
    known = [f"{name} {found[key]}" for name, key in (("governor", "governor"), ("turbo", "turbo"), ("SMT", "smt")) if found[key]]
    return ", ".join(known + ([] if found["load"] is None else [f"{found['load']:.1f} CPUs busy"]))


def describe_backends(gpu: bool) -> dict[str, str]:
    """Returns what each backend runs here, or why it runs nothing."""
    import cells

    found, device = {"eager": "runs every cell"}, torch.device("cuda" if gpu else "cpu")
    for name, schedule in ((translate_name(name), schedule) for name, schedule in SCHEDULES.items()):
        cell, runs = ("wave", "runs waves") if name == "stencil" else ("minimal", "runs every cell")
        found[name] = schedule.unsupported_reason(plan(cells.load(cell)), torch.float32, device, 32, 256) or runs
    found["torch"] = "runs the cells of torch.nn by its own operators"
    found["vendor"] = "torch.nn's RNN, LSTM and GRU, on " + ("cuDNN" if gpu else "torch's own CPU kernels")
    return found
