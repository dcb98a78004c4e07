"""Implements `python -m bench scale`, which torchrun starts."""

import math

import click

from bench.commands.arguments import SIZE
from bench.commands.command import command, list_option
from bench.commands.run_options import run_options
from bench.errors import UsageError
from bench.harness.run import RunOptions, run_experiment


@command(renamed={"--length": "--seq-lens"})
@list_option("--cells", default="gru,minimal", metavar="A,B", help="Cells of `bench list`, all, or your own as FILE.py:NAME. [gru,minimal]")
@click.option("--seq-lens", "seq_len", type=SIZE, default="128", metavar="T", help="Sequence length T. [128]")
@click.option(
    "--batch", type=SIZE, default="64", metavar="B", help="Sequences: for all ranks together in strong scaling, for each in weak. [64]"
)
@click.option("--hidden", type=SIZE, default="256", metavar="H", help="Hidden width, and that of the input. [256]")
@run_options
def scale(cells: str, seq_len: int, batch: int, hidden: int, options: RunOptions) -> None:
    """Measure data-parallel training on 1, 2, 4, … ranks: torchrun --nproc-per-node N -m bench scale. The report has strong and weak
    scaling, the time share of the gradient exchange, and the deviation of the loss from that of one process."""
    from bench.commands.cell_arguments import check_widths, parse_cells

    names = parse_cells(cells)
    T, B, H = seq_len, batch, hidden
    from bench.harness.scaling_experiment import ScalingExperiment
    from bench.studies.scaling import ranks
    from bench.studies.scaling.data_parallel_step import ScalingCase

    check_widths(names, H, H)
    with ranks.join_ranks() as here:
        if B % (even := math.lcm(*ranks.rank_counts(here.world))):
            raise UsageError(f"--batch {B} can't be shared by {here.world} ranks evenly: take a multiple of {even}")
        settings = {"cells": names, "T": T, "B": B, "H": H, "ranks": here.world}
        experiment = ScalingExperiment([ScalingCase(cell, T, B, H, H) for cell in names], here, settings)
        if here.rank:
            experiment.follow_first_rank()
            return
        try:
            run_experiment(experiment, options)
        finally:
            experiment.dismiss()
