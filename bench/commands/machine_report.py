"""Reports what this machine can run: each part, its version, and how to install a missing one."""

import importlib.util

import torch
from rich.console import Console
from rich.table import Table

from bench.measure.environment import count_memory, find_compiler_version, find_driver_version, find_processor, find_version
from bench.measure.scan_peers import SCANS
from bench.records.backend_table import translate_name
from kernels.derive.plan import plan
from kernels.layer.select import SCHEDULES


def print_machine_report() -> None:
    """Prints a table of hardware and packages, and a line for each backend."""
    import cells

    gpu = torch.cuda.is_available()
    table = Table("", "part", "here", "missing", box=None)

    def row(part: str, here: str, missing: str) -> None:
        table.add_row("[green]✓[/]" if here else "[yellow]–[/]", part, here, "" if here else missing)

    row("processor", f"{find_processor()}, {torch.get_num_threads()} threads, {count_memory() / 2**30:.0f} GiB", "")
    row("torch", torch.__version__, "")
    row(
        "triton",
        find_version("triton"),
        "pip install triton (Linux only): without it there are no stepwise, persistent, scan and stencil backends",
    )
    row("C++ compiler", find_compiler_version(), "install g++ or set CXX: without one the compiled backend falls back to eager")
    row("GPU", torch.cuda.get_device_name() if gpu else "", "torch finds no GPU: Triton kernels are checked in its interpreter")
    row("driver", find_driver_version(), "nvidia-smi doesn't answer")
    row("CUDA", (torch.version.cuda or "") if gpu else "", f"torch is built for {torch.version.cuda or 'the CPU'}")
    row("cuDNN", str(torch.backends.cudnn.version()) if gpu and torch.backends.cudnn.is_available() else "", "needs a GPU")
    row("torchrecurrent", find_version("torchrecurrent"), "optional peer: pip install torchrecurrent")
    for package in sorted({scan.package for scan in SCANS.values() if scan.package}):
        row(package, find_version(package), f"optional peer of scan on a GPU: pip install {package}")
    row("pytest-benchmark", "installed" if importlib.util.find_spec("pytest_benchmark") else "", "pip install pytest-benchmark")
    out = Console(highlight=False)
    out.print(table)
    device = torch.device("cuda" if gpu else "cpu")
    out.print("\nbackends here, in float32:")
    out.print("  eager: runs every cell")
    for name, schedule in ((translate_name(name), schedule) for name, schedule in SCHEDULES.items()):
        cell, runs = ("wave", "runs waves") if name == "stencil" else ("minimal", "runs every cell")
        reason = schedule.unsupported_reason(plan(cells.load(cell)), torch.float32, device, 32, 256)
        out.print(f"  {name}: {runs if reason is None else reason}")
    out.print("  torch: runs the cells of torch.nn by its own operators")
    where = "cuDNN" if gpu else "torch's own CPU kernels"
    out.print(f"  vendor: torch.nn's RNN, LSTM and GRU, on {where}")
