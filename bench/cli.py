"""The command line: `python -m bench <verb>`. Every fault of its user is one line on stderr and exit code 2."""

import datetime
import math
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from bench.compare.verbs import compare
from bench.forms import Form, forms
from bench.records import RecordError
from bench.settings import (
    BACKENDS,
    DEFAULTS,
    DTYPES,
    MODES,
    PRECISIONS,
    Settings,
    SettingsError,
    choice,
    choices,
    contenders,
    duration,
    folder,
    size,
    sizes,
)
from bench.suites import FEW, SUITES

BEGAN = time.monotonic()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.pass_context
def app(context: click.Context) -> None:
    """Recurrent cells, fused from their equations, measured against torch.nn and cuDNN."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@app.command("all")
@click.option("--cells", metavar="A,B", help="Cells, by name, as `bench list` shows them. [all]")
@click.option(
    "--backends",
    metavar="A,B",
    help=f"Of {', '.join(BACKENDS)}, or your own, FILE.py:NAME. [all but -low; on a GPU resident-low too, not compiled]",
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
@click.option("--thorough", is_flag=True, help="Also with cold caches and, where it is counted, energy. [on a GPU always]")
@click.option("--quick", is_flag=True, help="Small sizes and few samples: does it all work here?")
@click.option("--budget", default="", metavar="TIME", help="Begin with no more sizes after 90s, 8m or 1h. [no limit]")
@click.option("--timeout", default="4m", metavar="TIME", help="What a case may take to be checked, or to be called once. [4m]")
@click.option("--out", type=Path, metavar="FOLDER", help="A new folder for the results. [reports/<date>-<device>]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out: measure what is missing there.")
@click.option("--dry-run", is_flag=True, help="Print the cases, measure nothing.")
def run_all(
    cells: str | None, backends: str | None, seq_lens: str, batch: str, hidden: str, input: str, suite: str, modes: str, dtype: str,
    precision: str, device: str, seed: str, thorough: bool, quick: bool, budget: str, timeout: str, out: Path | None, resume: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Measure: throughput, memory, parameters and gradient norms over sequence lengths; write records and a report."""
    from bench import session
    from bench.device import choose, nickname

    limits = session.Limits(duration(budget, "--budget") if budget else math.inf, duration(timeout, "--timeout"), BEGAN)
    suite = choice(suite, tuple(SUITES), "suite") if suite else ""
    kind = choose(choice(device, ("cpu", "cuda"), "device") if device else "")
    if suite and dry_run and not device and not quick:
        kind = "cuda"  # listed anywhere as a GPU would measure it
    gpu = kind == "cuda"
    import cells as tree

    known: dict[str, Any] = {
        "cells": tree.names() if cells is None else choices(cells, tree.names(), "cell"),
        "backends": contenders(backends) if backends is not None else contestants(kind, suite),
        "precision": choice(precision, PRECISIONS, "precision"),
        "device": kind,
        "seed": size(seed, "--seed", least=0),
        "quick": quick,
        "thorough": thorough or gpu,
    }
    named = choice(dtype, DTYPES, "dtype") if dtype else ""
    if suite:
        sized = {"--seq-lens": seq_lens, "--batch": batch, "--hidden": hidden, "--input": input, "--modes": modes}
        given = [flag for flag, value in sized.items() if value]
        if given:
            raise SettingsError(f"--suite {suite} has sizes and modes of its own: leave out {' '.join(given)}")
        if not (gpu or quick):
            raise SettingsError(f"--suite {suite} needs a GPU: on a CPU, --quick tries its {FEW} smallest shapes")
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
    if settings.precision == "tf32" and not gpu:
        raise SettingsError("--precision tf32 needs a GPU: a CPU computes float32 products in ieee")
    if suite and quick:
        click.echo(f"--quick: the {FEW} smallest shapes of {suite}{'' if gpu else f', in {settings.dtype} on a CPU'}", err=True)
    if dry_run:
        from bench.listing import dry_run as listed

        listed(settings)
        return
    today = datetime.datetime.now(datetime.UTC)
    name = "-".join(filter(None, (f"{today:%Y-%m-%d}", nickname(settings.device), suite)))
    target = folder(out, Path("reports") / name, resume)
    session.measure(settings, target, today, shlex.join(["python", "-m", "bench", *sys.argv[1:]]), limits)


def contestants(kind: str, suite: str) -> tuple[str, ...]:
    """The backends that make sense where none are named: a suite's sizes are too large for those that run step by step in Python, and
    of its memory only `headline` asks."""
    without = {"eager", "torchrecurrent"} if suite else set()
    without |= {"resident-low"} if suite not in ("", "headline") else set()
    return tuple(name for name in DEFAULTS[kind] if name not in without)


@app.command()
@click.option("--suite", default="", metavar="A,B", help=f"Whose sizes to tune for: {', '.join(SUITES)}. [all, in this order]")
@click.option("--budget", default="8m", metavar="TIME", help="Begin with no more sizes after 90s, 8m or 1h. [8m]")
def tune(suite: str, budget: str) -> None:
    """On a GPU: time the cuts of the resident kernels and keep the fastest in kernels/tuned/. Called again, it goes on."""
    from bench.device import choose
    from bench.lock import alone
    from bench.progress import say

    names = choices(suite, tuple(SUITES), "suite") if suite else tuple(SUITES)
    seconds = duration(budget, "--budget")
    if choose("") != "cuda":
        raise SettingsError("tuning needs a GPU, and torch finds none here: `bench doctor` says more")
    from bench import tune

    with alone("cuda"):
        tune.run(seconds, say, names)


@app.command()
@click.option("--budget", default="25m", metavar="TIME", help="How long it may take, about: 90s, 8m, 1h. [25m]")
@click.option("--out", type=Path, metavar="FOLDER", help="Where to write, or to go on. [reports/<date>-<device>-campaign]")
def campaign(budget: str, out: Path | None) -> None:
    """On a GPU: its tests, then the suites in order of worth, within a budget. Called again, it goes on."""
    from bench import campaign
    from bench.device import choose, nickname
    from bench.progress import say

    seconds = duration(budget, "--budget")
    if choose("") != "cuda":
        raise SettingsError("a campaign needs a GPU, and torch finds none here: `bench doctor` says more")
    today = datetime.datetime.now(datetime.UTC)
    folder = out or Path("reports") / f"{today:%Y-%m-%d}-{nickname('cuda')}-campaign"
    if campaign.run(folder, seconds, campaign.STEPS, say):
        raise SystemExit(1)


@app.command("list")
def list_cells() -> None:
    """The cells, their backends here, and where their equations come from."""
    from bench import show

    show.listing()


@app.command()
@click.argument("cell")
def show(cell: str) -> None:
    """A cell: its equations, its plan, its parameters, and the functions derived from it."""
    import cells as tree
    from bench import show

    show.show(choice(cell, tree.names(), "cell"))


@app.command()
def doctor() -> None:
    """What this machine can run, and what is missing."""
    from bench import doctor

    doctor.report()


@app.command()
@click.argument("path", type=Path)
@click.option("--out", type=Path, metavar="FOLDER", help="Where to write report.md and its plots. [beside the records]")
@forms
def report(path: Path, out: Path | None, form: Form) -> None:
    """Render a report again from a records.jsonl, or its folder. Needs neither torch nor triton."""
    from bench.records import read
    from bench.render import export
    from bench.render import report as reports

    records = read(path)
    target = out or (path if path.is_dir() else path.parent)
    try:
        target.mkdir(parents=True, exist_ok=True)
        written = reports.write(target, records)
    except OSError as error:
        raise SettingsError(f"--out {target} can't be written ({error.strerror}): name a folder that can") from None
    export.show(records, form)
    click.echo(f"wrote {', '.join(str(p) for p in written)}", err=True)


app.add_command(compare)

QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"""torch's profiler, which counts memory, would talk on stderr in the middle of the progress."""


def main() -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        code = app(standalone_mode=False)
    except (SettingsError, RecordError) as error:
        code = fail(str(error))
    except click.ClickException as error:
        code = fail(error.format_message())
    except click.Abort:
        code = 130
    sys.exit(code or 0)


LONGEST = 480


def fail(message: str) -> int:
    """One line, and of what was typed no more than fits it."""
    words = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    shown = words if len(words) <= LONGEST else f"{words[: LONGEST // 2]} … {words[-LONGEST // 2 :]}"
    click.echo(f"bench: {shown}", err=True)
    return 2
