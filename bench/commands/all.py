"""Implements `python -m bench all`."""

import importlib.util
from dataclasses import replace
from typing import Any

import click

from bench.commands.arguments import BACKEND, BACKENDS, DEVICE, DURATION, SIZE, SIZES, Choice, Size
from bench.commands.command import command, list_option
from bench.commands.output_options import output_options
from bench.commands.run_options import run_options, shard_option
from bench.errors import UsageError
from bench.harness.run import RunOptions, run_experiment
from bench.harness.settings import DTYPES, MODES, PRECISIONS, Settings
from bench.harness.suites import CPU_SUITES, FEW, SUITES
from bench.records import Mode
from bench.records.backend_table import LOW, NAMES, Backend, find_backend, list_defaults
from bench.render.output_format import OutputFormat

RANGES = ": 64,128, or 64..1024 by doubling, or 64..256:64 in steps."
SLOW_UP_TO = 16
"""The longest T of a run without --seq-lens and --backends, on a CPU, at which backends that step in Python, and loops with the input
projection precomputed, are measured: at all T they would take half of its time."""


@command("all")
@list_option("--cells", metavar="A,B", help="Cells of `bench list`, all, or your own as FILE.py:NAME. [the first eight]")
@list_option(
    "--backends",
    type=BACKENDS,
    metavar="A,B",
    help=f"Any of {', '.join(NAMES)}, or your own as FILE.py:NAME. [all that can run; of -low only persistent-low, on a GPU; eager and "
    f"torchrecurrent, which step in Python, and loops without the input projection, up to T={SLOW_UP_TO} on a CPU; libraries in processes "
    "of their own in the suites cpu and latency]",
)
@list_option(
    "--seq-lens",
    type=SIZES,
    metavar="T,T",
    help=f"Sequence lengths T{RANGES} [16,64,256; on a GPU 128,512,2048]",
)
@list_option("--batch", type=SIZES, metavar="B,B", help="Sequences in a batch, as --seq-lens. [16; on a GPU 64]")
@list_option("--hidden", type=SIZES, metavar="H,H", help="Hidden widths, as --seq-lens. [64; on a GPU 512]")
@click.option("--input", type=SIZE, metavar="D", help="Input width. [that of --hidden]")
@click.option(
    "--suite", type=Choice(SUITES, "suite"), default=None, metavar="NAME", help=f"A suite of cells and sizes: {', '.join(SUITES)}."
)
@list_option(
    "--modes",
    type=Choice(MODES, "mode", several=True),
    metavar="A,B",
    help=f"Any of {', '.join(MODES)}. [training,inference; on a GPU all]",
)
@click.option("--dtype", type=Choice(DTYPES, "dtype"), metavar="NAME", help=f"One of {', '.join(DTYPES)}. [float32, or those of the suite]")
@click.option(
    "--precision",
    type=Choice(PRECISIONS, "precision"),
    default="ieee",
    metavar="NAME",
    help="Precision of float32 products: ieee, or on a GPU tf32. [ieee]",
)
@click.option("--device", type=DEVICE, metavar="NAME", help="cpu or cuda. [cuda if available]")
@click.option("--seed", type=Size(least=0), default="0", metavar="N", help="Seed of inputs, weights and the order of samples. [0]")
@click.option(
    "--thorough", is_flag=True, help="Take more samples, and measure with cold caches and, if available, energy. [on a GPU always]"
)
@click.option("--quick", is_flag=True, help="Use small sizes and few samples, to check that everything works.")
@click.option("--lean", is_flag=True, help="Measure only the time of whole layers, with few samples: many sizes in little time.")
@click.option("--timeout", type=DURATION, default="4m", metavar="TIME", help="Time limit of a case's check, and of one call. [4m]")
@click.option("--samples", type=SIZE, metavar="N", help="Samples of each case. [until its interval is narrow enough]")
@click.option("--against", type=BACKEND, metavar="NAME", help="A backend that the report compares all others with, beside torch.nn. [none]")
@shard_option
@click.option("--no-report", is_flag=True, help="Write records only: `bench report` renders them later, here or elsewhere.")
@click.option("--dry-run", is_flag=True, help="Print the cases without measuring them.")
@output_options
@run_options
def run_all(
    cells: str | None, backends: tuple[str, ...] | None, seq_lens: tuple[int, ...] | None, batch: tuple[int, ...] | None,
    hidden: tuple[int, ...] | None, input: int | None, suite: str | None, modes: tuple[Mode, ...] | None, dtype: str | None,
    precision: str, device: str | None, seed: int, thorough: bool, quick: bool, lean: bool, samples: int | None, against: str | None,
    timeout: float, shard: str | None, no_report: bool, dry_run: bool, output_format: OutputFormat, options: RunOptions,
) -> None:  # fmt: skip
    """Measure throughput, memory, parameters and gradient norms of cells over sequence lengths. Write records and a report."""
    from bench.harness.device import resolve_device

    on_cpu = suite in CPU_SUITES
    kind = resolve_device(device or "cpu" * on_cpu)
    if suite and dry_run and not (device or quick or on_cpu):
        kind = "cuda"  # listed anywhere as a GPU would measure it
    gpu = kind == "cuda"
    from bench.commands.cell_arguments import check_sizes, parse_cells

    chosen = parse_cells(cells) if cells is not None or not suite else tuple(dict.fromkeys(shape.cell for shape in SUITES[suite]))
    named = backends if backends is not None else default_backends(kind, suite or "", chosen)
    known: dict[str, Any] = {
        "cells": chosen,
        "backends": tuple(dict.fromkeys((*named, *([against] if against else [])))),
        "precision": precision,
        "device": kind,
        "seed": seed,
        "quick": quick,
        "thorough": thorough or (gpu and not lean),
        "lean": lean,
        "samples": samples or 0,
        "against": against or "",
        "shard": shard or "",
    }
    if lean and thorough:
        raise UsageError("--lean excludes the measurements that --thorough adds: give one of them")
    if suite:
        sized = {"--seq-lens": seq_lens, "--batch": batch, "--hidden": hidden, "--input": input, "--modes": modes}
        given = [flag for flag, value in sized.items() if value]
        if given:
            raise UsageError(f"--suite {suite} has sizes and modes of its own: leave out {' '.join(given)}")
        if not (gpu or quick or on_cpu):
            raise UsageError(f"--suite {suite} needs a GPU: on a CPU, --quick tries its {FEW} smallest shapes")
        chosen_dtype = dtype or ("" if gpu or on_cpu else "float32")
        settings = Settings(seq_lens=(), batch=(), hidden=(), input=0, dtype=chosen_dtype, suite=suite, **known)
    else:
        settings = Settings(
            seq_lens=seq_lens or ((4, 8) if quick else (128, 512, 2048) if gpu else (16, 64, 256)),
            batch=batch or ((4,) if quick else (64,) if gpu else (16,)),
            hidden=hidden or ((32,) if quick else (512,) if gpu else (64,)),
            input=input or 0,
            dtype=dtype or "float32",
            slow_up_to=0 if gpu or seq_lens or backends is not None else SLOW_UP_TO,
            modes=tuple(mode for mode in MODES if mode in modes) if modes else MODES if gpu else MODES[:2],
            **known,
        )
        lacking = [name for name in settings.backends if not {*settings.modes} & {*find_backend(name).modes}]
        if lacking:
            has = ",".join(find_backend(lacking[0]).modes)
            raise UsageError(f"{lacking[0]} has no such pass: --modes {has}, or leave it out of --backends")
        for H in settings.hidden:
            check_sizes(settings.cells, settings.input or H, H)
    if settings.precision == "tf32" and not gpu:
        raise UsageError("--precision tf32 needs a GPU: a CPU computes float32 products in ieee")
    if suite and quick:
        click.echo(f"--quick: the {FEW} smallest shapes of {suite}{'' if gpu or on_cpu else f', in {settings.dtype} on a CPU'}", err=True)
    if dry_run:
        from bench.commands.dry_run import print_cases

        print_cases(settings)
        return
    from bench.harness.speed_experiment import SpeedExperiment

    run_experiment(SpeedExperiment(settings, timeout), replace(options, output_format="none" if no_report else output_format))


def default_backends(kind: str, suite: str, cells: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the backends of a run that names none: those that can run one of the cells on this device.

    A suite excludes backends that step in Python, and low-memory backends unless it is `headline`.

    Args:
        kind: "cpu" or "cuda".
        suite: The name of a suite, or "".
        cells: The names of the cells.
    """
    from bench.measure.linear_recurrence import is_linear_recurrence
    from cells import load
    from kernels.derive.plan import plan

    plans = [plan(load(name)) for name in cells]
    has = {
        "all": True, "without products": not all(found.stages or found.stencil_inputs for found in plans),
        "linear recurrences": any(map(is_linear_recurrence, plans)), "waves": any(found.stencil_inputs for found in plans),
    }  # fmt: skip
    names = list_defaults("cuda" if kind == "cuda" else "cpu")
    rows = {name: find_backend(name) for name in names if not name.endswith(LOW) or suite in ("", "headline")}
    apart = {name for name, row in rows.items() if row.apart and not (suite in CPU_SUITES and is_installed(row))}
    return tuple(name for name, row in rows.items() if has[row.cells] and name not in apart and not (suite and row.slow))


def is_installed(row: Backend) -> bool:
    """Returns whether the package of a peer that runs in a process of its own is installed."""
    return not row.package or importlib.util.find_spec(row.package) is not None
