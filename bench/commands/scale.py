"""`python -m bench scale`, by torchrun."""

import os
from pathlib import Path

import click

from bench.commands.arguments import SIZE, RenamingCommand, parse_choices
from bench.errors import UsageError


@click.command(cls=RenamingCommand, renamed={"--length": "--seq-lens"})
@click.option("--cells", default="gru,minimal", metavar="A,B", help="Cells, by name. [gru,minimal]")
@click.option("--seq-lens", "seq_len", type=SIZE, default="128", metavar="T", help="Sequence length T. [128]")
@click.option(
    "--batch", type=SIZE, default="64", metavar="B", help="Sequences: of all ranks together where scaling is strong, else of each. [64]"
)
@click.option("--hidden", type=SIZE, default="256", metavar="H", help="Hidden width, and that of the input. [256]")
@click.option("--out", type=Path, metavar="FOLDER", help="A new folder for the results. [reports/<date>-<device>-scale]")
def scale(cells: str, seq_len: int, batch: int, hidden: int, out: Path | None) -> None:
    """Data-parallel training on 1, 2, 4, … ranks: torchrun --nproc-per-node N -m bench scale. Strong and weak scaling, the share of
    the exchange, and the loss compared with that of one process."""
    import cells as tree

    names = parse_choices(cells, tree.names(), "cell")
    T, B, H = seq_len, batch, hidden
    from bench.commands.cell_arguments import check_heads
    from bench.harness import scaling_run
    from bench.studies.scaling import ranks
    from bench.studies.scaling.data_parallel_step import ScalingCase

    check_heads(names, H)
    with ranks.join_ranks() as here:
        if B % here.world:
            raise UsageError(f"--batch {B} can't be shared by {here.world} ranks evenly: take a multiple of {here.world}")
        place = scaling_run.make_shared_folder(here, out)
        works = [ScalingCase(cell, T, B, H, H) for cell in names]
        settings = {"cells": list(names), "T": T, "B": B, "H": H, "ranks": here.world}
        scaling_run.ScalingRun(works, here, place / "records.jsonl").run(settings)
        if int(os.environ["RANK"]) == 0:
            scaling_run.render_scaling(place)
