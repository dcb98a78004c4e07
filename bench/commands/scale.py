"""`python -m bench scale`, by torchrun."""

import os
from pathlib import Path

import click

from bench.errors import UsageError
from bench.harness.settings import choices, size


@click.command()
@click.option("--cells", default="gru,minimal", metavar="A,B", help="Cells, by name. [gru,minimal]")
@click.option("--length", default="128", metavar="T", help="Steps of a sequence. [128]")
@click.option("--batch", default="64", metavar="B", help="Sequences: of all ranks together where scaling is strong, else of each. [64]")
@click.option("--hidden", default="256", metavar="H", help="Hidden width, and that of the input. [256]")
@click.option("--out", type=Path, metavar="FOLDER", help="A new folder for the results. [reports/<date>-<device>-scale]")
def scale(cells: str, length: str, batch: str, hidden: str, out: Path | None) -> None:
    """Data-parallel training on 1, 2, 4, … ranks: torchrun --nproc-per-node N -m bench scale. Strong and weak scaling, the share of
    the exchange, and the loss held to that of one process."""
    import cells as tree

    names = choices(cells, tree.names(), "cell")
    T, B, H = size(length, "--length"), size(batch, "--batch"), size(hidden, "--hidden")
    from bench.commands.cell_arguments import headed
    from bench.harness import scaling_run
    from bench.studies.scaling import ranks
    from bench.studies.scaling.data_parallel_step import Work

    headed(names, H)
    with ranks.joined() as here:
        if B % here.world:
            raise UsageError(f"--batch {B} can't be shared by {here.world} ranks evenly: take a multiple of {here.world}")
        place = scaling_run.folder(here, out)
        works = [Work(cell, T, B, H, H) for cell in names]
        settings = {"cells": list(names), "T": T, "B": B, "H": H, "ranks": here.world}
        scaling_run.Study(works, here, place / "records.jsonl").run(settings)
        if int(os.environ["RANK"]) == 0:
            scaling_run.render(place)
