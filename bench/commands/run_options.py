"""Defines the options of commands that measure: those of every run, and --shard for runs that can be split."""

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.commands.arguments import DURATION, NAME, SHARD
from bench.harness.run import RunOptions

BEGAN = time.monotonic()
"""The start of the process on the clock of `time.monotonic`."""


shard_option = click.option(
    "--shard", type=SHARD, metavar="I/N", help="Measure the I-th of N parts of the run; `bench merge` joins them. [all of it]"
)


wait_option = click.option("--wait", is_flag=True, help="Wait until no other run measures on this device, instead of being refused.")


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --budget, --out, --resume, --name and --wait to a command, which gets them as the argument `options`, a RunOptions."""

    @click.option("--budget", type=DURATION, metavar="TIME", help="Stop starting new work after 90s, 8m or 1h. [no limit]")
    @click.option("--out", type=Path, metavar="FOLDER", help="A new folder for the results. [reports/<date>-<device>-<what>]")
    @click.option("--resume", is_flag=True, help="Resume the run in --out: measure what is missing there.")
    @click.option("--name", type=NAME, metavar="NAME", help="A name for the run, for its records and its folder.")
    @wait_option
    @functools.wraps(command)
    def call(budget: float | None, out: Path | None, resume: bool, name: str | None, wait: bool, **given: Any) -> None:
        limit = math.inf if budget is None else budget
        command(**given, options=RunOptions(out, resume, limit, began=BEGAN, name=name or "", wait=wait))

    return call
