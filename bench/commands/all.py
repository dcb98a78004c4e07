"""`python -m bench all`."""

import datetime
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from bench.commands.output_options import output_options
from bench.errors import UsageError
from bench.harness.settings import (
    BACKENDS,
    DEFAULTS,
    DTYPES,
    MODES,
    PRECISIONS,
    Settings,
    choice,
    choices,
    contenders,
    duration,
    part,
    size,
    sizes,
)  # fmt: skip
from bench.harness.suites import FEW, SUITES
from bench.render.output_format import OutputFormat

BEGAN = time.monotonic()


@click.command("all")
@click.option("--cells", metavar="A,B", help="Cells as `bench list` shows them, all, or your own, FILE.py:NAME. [the first eight]")
@click.option(
    "--backends",
    metavar="A,B",
    help=f"Of {', '.join(BACKENDS)}, or your own, FILE.py:NAME. "
    "[all but -low, scan and its peers where a cell has no product in its loop; on a GPU resident-low and all peers too, not compiled]",
)
@click.option("--seq-lens", default="", metavar="T,T", help="Sequence lengths T. [4,16,48; on a GPU 128,512,2048]")
@click.option("--batch", default="", metavar="B", help="Sequences in a batch. [32; on a GPU 64]")
@click.option("--hidden", default="", metavar="H", help="Hidden width. [256; on a GPU 512]")
@click.option("--input", default="", metavar="D", help="Input width. [as --hidden]")
@click.option("--suite", default="", metavar="NAME", help=f"A list of sizes instead of one: {', '.join(SUITES)}.")
@click.option("--modes", default="", metavar="A,B", help=f"Of {', '.join(MODES)}. [training,inference; on a GPU all]")
@click.option("--dtype", default="", metavar="NAME", help=f"Of {', '.join(DTYPES)}. [float32; those of the suite]")
@click.option("--precision", default="ieee", metavar="NAME", help="Of float32 products: ieee, or on a GPU tf32. [ieee]")
@click.option("--device", default="", metavar="NAME", help="cpu or cuda. [cuda where there is one]")
@click.option("--seed", default="0", metavar="N", help="Of inputs, weights and the order of turns. [0]")
@click.option("--thorough", is_flag=True, help="More samples, cold caches and, where it is counted, energy. [on a GPU always]")
@click.option("--quick", is_flag=True, help="Small sizes and few samples: does it all work here?")
@click.option("--lean", is_flag=True, help="Few samples and nothing beside the time, of whole layers alone: many sizes in little time.")
@click.option("--budget", default="", metavar="TIME", help="Begin with no more sizes after 90s, 8m or 1h. [no limit]")
@click.option("--timeout", default="4m", metavar="TIME", help="What a case may take to be checked, or to be called once. [4m]")
@click.option("--out", type=Path, metavar="FOLDER", help="A new folder for the results. [reports/<date>-<device>]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out: measure what is missing there.")
@click.option("--shard", default="", metavar="I/N", help="The I-th of N parts of the run: `bench merge` makes one run of all. [all of it]")
@click.option("--no-report", is_flag=True, help="Render nothing: `bench report` does it later, there or elsewhere.")
@click.option("--dry-run", is_flag=True, help="Print the cases, measure nothing.")
@output_options
def run_all(
    cells: str | None, backends: str | None, seq_lens: str, batch: str, hidden: str, input: str, suite: str, modes: str, dtype: str,
    precision: str, device: str, seed: str, thorough: bool, quick: bool, lean: bool, budget: str, timeout: str,
    out: Path | None, resume: bool, shard: str, no_report: bool, dry_run: bool, output_format: OutputFormat,
) -> None:  # fmt: skip
    """Measure: throughput, memory, parameters and gradient norms over sequence lengths; write records and a report."""
    from bench.harness import run
    from bench.harness.device import choose, target

    limits = run.Limits(duration(budget, "--budget") if budget else math.inf, duration(timeout, "--timeout"), BEGAN)
    suite = choice(suite, tuple(SUITES), "suite") if suite else ""
    kind = choose(choice(device, ("cpu", "cuda"), "device") if device else "")
    if suite and dry_run and not device and not quick:
        kind = "cuda"  # listed anywhere as a GPU would measure it
    gpu = kind == "cuda"
    from bench.commands.cell_arguments import entries, fits

    chosen = entries(cells) if cells is not None or not suite else tuple(dict.fromkeys(shape.cell for shape in SUITES[suite]))
    known: dict[str, Any] = {
        "cells": chosen,
        "backends": contenders(backends) if backends is not None else contestants(kind, suite, chosen),
        "precision": choice(precision, PRECISIONS, "precision"),
        "device": kind,
        "seed": size(seed, "--seed", least=0),
        "quick": quick,
        "thorough": thorough or (gpu and not lean),
        "lean": lean,
        "shard": part(shard, "--shard") if shard else "",
    }
    if lean and thorough:
        raise UsageError("--lean leaves out what --thorough adds: name one of them")
    named = choice(dtype, DTYPES, "dtype") if dtype else ""
    if suite:
        sized = {"--seq-lens": seq_lens, "--batch": batch, "--hidden": hidden, "--input": input, "--modes": modes}
        given = [flag for flag, value in sized.items() if value]
        if given:
            raise UsageError(f"--suite {suite} has sizes and modes of its own: leave out {' '.join(given)}")
        if not (gpu or quick):
            raise UsageError(f"--suite {suite} needs a GPU: on a CPU, --quick tries its {FEW} smallest shapes")
        settings = Settings(seq_lens=(), batch=0, hidden=0, input=0, dtype=named or ("" if gpu else "float32"), suite=suite, **known)
    else:
        settings = Settings(
            seq_lens=sizes(seq_lens or ("4,8" if quick else "128,512,2048" if gpu else "4,16,48"), "--seq-lens"),
            batch=size(batch or ("4" if quick else "64" if gpu else "32"), "--batch"),
            hidden=size(hidden or ("32" if quick else "512" if gpu else "256"), "--hidden"),
            input=size(input or hidden or ("32" if quick else "512" if gpu else "256"), "--input"),
            dtype=named or "float32",
            modes=tuple(mode for mode in MODES if mode in choices(modes, MODES, "mode")) if modes else MODES if gpu else MODES[:2],
            **known,
        )
        fits(settings.cells, settings.input, settings.hidden)
    if settings.precision == "tf32" and not gpu:
        raise UsageError("--precision tf32 needs a GPU: a CPU computes float32 products in ieee")
    if suite and quick:
        click.echo(f"--quick: the {FEW} smallest shapes of {suite}{'' if gpu else f', in {settings.dtype} on a CPU'}", err=True)
    if dry_run:
        from bench.commands.dry_run import dry_run as listed

        listed(settings)
        return
    today = datetime.datetime.now(datetime.UTC)
    place = target(out, settings.device, suite, resume=resume)
    chosen_format: OutputFormat = "none" if no_report else output_format
    run.measure(settings, place, today, shlex.join(["python", "-m", "bench", *sys.argv[1:]]), limits, chosen_format)


def contestants(kind: str, suite: str, cells: tuple[str, ...]) -> tuple[str, ...]:
    """The backends that make sense where none are named: a suite's sizes are too large for those that run step by step in Python, of
    its memory only `headline` asks, `scan` takes a cell without a product in its loop, its peers one that is affine as well, and `stencil`
    and `conv2d` take waves."""
    from bench.measure.linear_recurrence import suited
    from bench.measure.scan_peers import SCANS
    from cells import load
    from kernels.derive.plan import plan

    plans = [plan(load(name)) for name in cells]
    without = {"eager", "torchrecurrent"} if suite else set()
    without |= {"resident-low"} if suite not in ("", "headline") else set()
    without |= {"scan"} if all(made.stages or made.stencil_inputs for made in plans) else set()
    without |= set() if any(map(suited, plans)) else set(SCANS)
    without |= set() if any(made.stencil_inputs for made in plans) else {"stencil", "conv2d"}
    return tuple(name for name in DEFAULTS[kind] if name not in without)
