"""Implements `python -m bench gradients`, `jacobian`, `theory`, `chaos` and `parallel`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands.arguments import DEVICE, SIZE, SIZES, Choice, Size, split_list
from bench.commands.command import command, list_option
from bench.commands.run_options import run_options, shard_option
from bench.errors import UsageError
from bench.harness.run import RunOptions, run_experiment
from bench.harness.settings import DTYPES

if TYPE_CHECKING:
    from bench.studies.signals.trained_layer import TrainedLayer

CELLS = "Cells of `bench list`, all, or your own as FILE.py:NAME. [the first eight]"
INIT = "Initialisations: default, open, critical and chrono (if a cell has one), normal:GAIN, orthogonal:GAIN. [{}]"
TRAINED = "trained:TASK: after a short training on adding, digits or recommend."
CHECKPOINT = "Trained weights of one cell instead of an initialisation: a state dict, or a checkpoint of `bench train`."


@command(renamed={"--dtypes": "--dtype"})
@list_option("--cells", metavar="A,B", help=CELLS)
@list_option("--init", "inits", metavar="A,B", help=INIT.format("default,open,critical"))
@list_option("--seq-lens", type=SIZES, default="64,512,4096", metavar="T,T", help="Sequence lengths T. [64,512,4096]")
@click.option("--batch", type=SIZE, default="8", metavar="B", help="Sequences in a batch. [8]")
@click.option("--hidden", type=SIZE, default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@list_option(
    "--dtype", "dtypes", type=Choice(DTYPES, "dtype", several=True), default="float32,bfloat16", metavar="A,B",
    help=f"Of {', '.join(DTYPES)}. [float32,bfloat16]",
)  # fmt: skip
@click.option("--seeds", type=SIZE, default="3", metavar="N", help="Seeds of weights and inputs that are measured. [3]")
@click.option("--checkpoint", type=Path, metavar="FILE", help=CHECKPOINT)
@click.option("--device", type=DEVICE, metavar="NAME", help="cpu or cuda. [cuda if available]")
@shard_option
@run_options
def gradients(
    cells: str | None, inits: str | None, seq_lens: tuple[int, ...], batch: int, hidden: int, dtypes: tuple[str, ...], seeds: int,
    checkpoint: Path | None, device: str | None, shard: str | None, options: RunOptions,
) -> None:  # fmt: skip
    """Measure gradient norms by lag and by sequence length, at initialisation or after training, and where 16-bit types lose them."""
    names, kind = parse_cell_names(cells), prepare_device(device)
    lengths, B, H, count, types = seq_lens, batch, hidden, seeds, dtypes
    chosen = parse_initializations(inits, names, ("default", "open", "critical"))
    settings = {"cells": names, "inits": chosen, "seq_lens": lengths, "B": B, "H": H, "dtypes": types, "seeds": count, "device": kind}
    from bench.commands.cell_arguments import check_widths
    from bench.harness.signal_experiment import SignalExperiment
    from bench.studies.signals import signal_plan

    if checkpoint is None:
        check_widths(names, H, H)
        pieces = signal_plan.gradient_pieces(names, chosen, lengths, (B, H, H), types, count, kind)
    else:
        model = load_checkpoint(checkpoint, cells, inits)
        settings |= checkpoint_settings(model)
        pieces = model.gradient_pieces(lengths, B, types, count, kind)
    run_experiment(SignalExperiment("gradients", pieces, settings, shard or ""), options)


@command(renamed={"--length": "--seq-lens"})
@list_option("--cells", metavar="A,B", help=CELLS)
@list_option("--init", "inits", metavar="A,B", help=INIT.format("default,open,critical"))
@click.option("--seq-lens", "seq_len", type=SIZE, default="256", metavar="T", help="Sequence length T. [256]")
@click.option("--hidden", type=SIZE, default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@click.option("--dtype", type=Choice(DTYPES, "dtype"), default="float64", metavar="NAME", help=f"Of {', '.join(DTYPES)}. [float64]")
@click.option("--seeds", type=SIZE, default="3", metavar="N", help="Seeds of weights and inputs that are measured. [3]")
@click.option("--checkpoint", type=Path, metavar="FILE", help=CHECKPOINT)
@click.option("--device", type=DEVICE, metavar="NAME", help="cpu or cuda. [cuda if available]")
@shard_option
@run_options
def jacobian(
    cells: str | None, inits: str | None, seq_len: int, hidden: int, dtype: str, seeds: int, checkpoint: Path | None, device: str |
    None, shard: str | None, options: RunOptions,
) -> None:  # fmt: skip
    """Measure the singular values of the Jacobians of the last state with respect to earlier states and inputs, and their growth per
    step."""
    names, kind, chosen_type = parse_cell_names(cells), prepare_device(device), dtype
    T, H, count = seq_len, hidden, seeds
    chosen = parse_initializations(inits, names, ("default", "open", "critical"))
    settings = {"cells": names, "inits": chosen, "T": T, "H": H, "dtype": chosen_type, "seeds": count, "device": kind}
    from bench.commands.cell_arguments import check_widths
    from bench.harness.signal_experiment import SignalExperiment
    from bench.studies.signals import signal_plan

    if checkpoint is None:
        check_widths(names, H, H)
        pieces = signal_plan.jacobian_pieces(names, chosen, T, (H, H), chosen_type, count, kind)
    else:
        model = load_checkpoint(checkpoint, cells, inits)
        settings |= checkpoint_settings(model)
        pieces = model.jacobian_pieces(T, chosen_type, count, kind)
    run_experiment(SignalExperiment("jacobian", pieces, settings, shard or ""), options)


@command(renamed={"--width": "--hidden"})
@list_option("--cells", metavar="A,B", help=f"{CELLS.partition(' [')[0]} Those without a theory are left out. [all with one]")
@click.option("--hidden", type=SIZE, default="1024", metavar="H", help="Hidden width at which growth is measured. [1024]")
@click.option("--steps", type=Size(least=2), default="40", metavar="T", help="Steps that are measured, after as many that are not. [40]")
@click.option("--seed", type=Size(least=0), default="0", metavar="N", help="The seed of matrices and inputs. [0]")
@shard_option
@run_options
def theory(cells: str | None, hidden: int, steps: int, seed: int, shard: str | None, options: RunOptions) -> None:
    """Compare mean-field theory with measurement: the growth of a gradient per step, predicted by quadrature and measured in wide cells."""
    from bench.harness.signal_experiment import SignalExperiment
    from bench.studies.signals import signal_plan

    names = tuple(signal_plan.POINTS) if cells is None else keep_theories(parse_cell_names(cells), tuple(signal_plan.POINTS))
    N, count, number = hidden, steps, seed
    settings = {"cells": names, "N": N, "steps": count, "seed": number, "device": prepare_device("cpu")}
    run_experiment(SignalExperiment("theory", signal_plan.theory_pieces(names, N, count, number), settings, shard or ""), options)


@command(renamed={"--length": "--seq-lens"})
@list_option("--cells", metavar="A,B", help=CELLS)
@list_option("--init", "inits", metavar="A,B", help=INIT.format("default,normal:5"))
@click.option("--seq-lens", "seq_len", type=Size(least=2), default="2000", metavar="T", help="Steps without input. [2000]")
@click.option("--hidden", type=SIZE, default="64", metavar="H", help="Hidden width. [64]")
@click.option("--seed", type=Size(least=0), default="0", metavar="N", help="The seed of starting points and weights. [0]")
@click.option("--quick", is_flag=True, help="Run the maps with fewer points and steps than the paper.")
@click.option("--checkpoint", type=Path, metavar="FILE", help=f"{CHECKPOINT} The maps are left out.")
@shard_option
@run_options
def chaos(
    cells: str | None, inits: str | None, seq_len: int, hidden: int, seed: int, quick: bool, checkpoint: Path | None, shard: str | None,
    options: RunOptions,
) -> None:  # fmt: skip
    """Measure two chaotic maps with their Lyapunov exponents and attractors, and every cell without input."""
    names = parse_cell_names(cells)
    T, H, number = seq_len, hidden, seed
    chosen = parse_initializations(inits, names, ("default", "normal:5"))
    settings = {"cells": names, "inits": chosen, "T": T, "H": H, "seed": number, "quick": quick, "device": prepare_device("cpu")}
    from bench.commands.cell_arguments import check_widths
    from bench.harness.signal_experiment import SignalExperiment
    from bench.studies.signals import chaos, signal_plan

    if checkpoint is None:
        check_widths(names, H, H)
        pieces = signal_plan.chaos_pieces(chaos.PREVIEW if quick else chaos.PAPER, names, chosen, T, H, number)
    else:
        model = load_checkpoint(checkpoint, cells, inits)
        settings |= checkpoint_settings(model)
        pieces = model.autonomous_pieces(T, number)
    run_experiment(SignalExperiment("chaos", pieces, settings, shard or ""), options)


@command()
@list_option("--cells", metavar="A,B", help=CELLS)
@list_option("--init", "inits", metavar="A,B", help=f"{INIT.format('default,critical')} {TRAINED}")
@list_option("--scales", metavar="F,F", default="1,3,6", help="Factors of the recurrent matrices. [1,3,6]")
@list_option("--seq-lens", type=SIZES, default="64,512,2048", metavar="T,T", help="Sequence lengths T. [64,512,2048]")
@click.option("--batch", type=SIZE, default="2", metavar="B", help="Sequences in a batch. [2]")
@click.option("--hidden", type=SIZE, default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@click.option("--seeds", type=SIZE, default="3", metavar="N", help="Seeds of weights and inputs that are measured. [3]")
@click.option("--checkpoint", type=Path, metavar="FILE", help=CHECKPOINT)
@shard_option
@run_options
def parallel(
    cells: str | None, inits: str | None, scales: str, seq_lens: tuple[int, ...], batch: int, hidden: int, seeds: int,
    checkpoint: Path | None, shard: str | None, options: RunOptions,
) -> None:  # fmt: skip
    """Count the iterations that solve all time steps at once, beside each cell's Lyapunov exponent and the coupling of its units."""
    from bench.studies.training.trained_start import STARTS

    names, kind, B, H = parse_cell_names(cells), prepare_device("cpu"), batch, hidden
    chosen = parse_initializations(inits, names, ("default", "critical"), also=STARTS)
    factors = parse_factors(scales)
    settings = {"cells": names, "inits": chosen, "scales": factors, "seq_lens": seq_lens, "B": B, "H": H, "seeds": seeds, "device": kind}
    import torch

    import cells as tree
    from bench.commands.cell_arguments import check_widths
    from bench.harness.parallel_plan import parallel_pieces
    from bench.harness.signal_experiment import SignalExperiment
    from kernels.derive.plan import plan
    from kernels.schedules.newton import newton

    for name in names:
        if reason := newton.unsupported_reason(plan(tree.load(name)), torch.float32, torch.device(kind), B, H):
            raise UsageError(f"--cells {name}: the schedule newton {reason}")
    if checkpoint is None:
        check_widths(names, H, H)
        pieces = parallel_pieces(names, chosen, seq_lens, (B, H, H), factors, seeds, kind)
        if not pieces:
            raise UsageError(f"--init {','.join(chosen)}: {', '.join(names)} has no such start: take for example default")
    else:
        model = load_checkpoint(checkpoint, cells, inits)
        settings |= checkpoint_settings(model)
        pieces = model.parallel_pieces(seq_lens, B, factors, seeds, kind)
    run_experiment(SignalExperiment("parallel", pieces, settings, shard or ""), options)


def parse_factors(text: str) -> tuple[float, ...]:
    """Returns the positive numbers in a comma-separated list. Raises UsageError for anything else."""
    from bench.studies.signals.initializations import parse_positive

    try:
        found = tuple(map(parse_positive, split_list(text)))
    except ValueError:
        found = ()
    if not found:
        raise UsageError(f"--scales {text!r} are no positive numbers: take for example 1,3,6")
    return found


def parse_cell_names(cells: str | None) -> tuple[str, ...]:
    """Returns the names of cells in a comma-separated list; None gives the default cells."""
    from bench.commands.cell_arguments import parse_cells

    return parse_cells(cells)


def keep_theories(names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the cells that have a mean-field theory, and prints which don't. Raises UsageError if none does.

    Args:
        names: The names of the cells.
        known: The cells that have a theory.
    """
    without = [name for name in names if name not in known]
    said = f"no mean-field theory of {', '.join(without)}: it is worked out for {', '.join(known)}"
    measured = f"`bench jacobian --cells {','.join(without)}` measures the growth of any cell"
    if len(without) == len(names):
        raise UsageError(f"{said}; {measured}")
    if without:
        click.echo(f"bench: {said}; {measured}", err=True)
    return tuple(name for name in names if name in known)


def load_checkpoint(checkpoint: Path, cells: str | None, inits: str | None) -> "TrainedLayer":
    """Returns the trained layer in a file. Raises UsageError if --init is given too, or --cells doesn't name exactly one cell."""
    from bench.studies.signals.trained_layer import load_trained

    if inits:
        raise UsageError(f"--checkpoint {checkpoint} has weights of its own: leave out --init")
    names = parse_cell_names(cells)
    if cells is None or len(names) > 1:
        raise UsageError(f"--checkpoint {checkpoint} holds one cell: say which with --cells")
    return load_trained(checkpoint, names[0])


def checkpoint_settings(model: "TrainedLayer") -> Mapping[str, Any]:
    """Returns the settings that a checkpoint determines."""
    return {"inits": (), "H": model.H, "checkpoint": model.name}


def parse_initializations(inits: str | None, names: tuple[str, ...], usual: tuple[str, ...], also: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns the initialisations in a comma-separated list, `usual` for None. Raises UsageError for one that no cell has, but `also`."""
    if inits is None:
        return usual
    import cells as tree
    from bench.studies.signals.initializations import initialize_as

    found = split_list(inits)
    if not found:
        raise UsageError("--init names no initialisation: take for example default")
    for init in {*found} - {*also}:
        have = [name for name in names if init in tree.load(name).variants] or names[:1]
        initialize_as(tree.load(have[0]), init)
    return found


def prepare_device(device: str | None) -> str:
    """Returns "cpu" or "cuda": the device asked for, else the default."""
    from bench.harness.device import resolve_device

    return resolve_device(device or "")
