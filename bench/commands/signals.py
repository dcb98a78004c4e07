"""The verbs of dynamics: gradients, jacobian, theory and chaos."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UsageError
from bench.harness.settings import DTYPES, choice, choices, duration, size, sizes
from bench.studies.signals.study_options import Place

if TYPE_CHECKING:
    from bench.studies.signals.trained_layer import Trained

OUT = "A new folder for the results. [reports/<date>-<device>-<verb>]"
CELLS = "Cells, by name, as `bench list` shows them. [the first eight]"
INIT = "Initialisations: default, critical and chrono (where a cell has one), normal:GAIN, orthogonal:GAIN. [{}]"
CHECKPOINT = "Instead of an initialisation, the trained weights of one cell: a state dict, or a checkpoint of `bench train`."


def placed(verb: Callable[..., None]) -> Callable[..., None]:
    """--out, --resume and --budget, which become the `place` of a verb."""

    @click.option("--budget", default="", metavar="TIME", help="Begin with nothing new after 90s, 8m or 1h. [no limit]")
    @click.option("--out", type=Path, metavar="FOLDER", help=OUT)
    @click.option("--resume", is_flag=True, help="Measure what the run in --out doesn't have.")
    @functools.wraps(verb)
    def call(budget: str, out: Path | None, resume: bool, **given: Any) -> None:
        verb(**given, place=Place(out, resume, duration(budget, "--budget") if budget else math.inf))

    return call


@click.command()
@click.option("--cells", metavar="A,B", help=CELLS)
@click.option("--init", "inits", metavar="A,B", help=INIT.format("default,critical"))
@click.option("--seq-lens", default="64,512,4096", metavar="T,T", help="Sequence lengths T. [64,512,4096]")
@click.option("--batch", default="8", metavar="B", help="Sequences in a batch. [8]")
@click.option("--hidden", default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@click.option("--dtypes", default="float32,bfloat16", metavar="A,B", help=f"Of {', '.join(DTYPES)}. [float32,bfloat16]")
@click.option("--seeds", default="3", metavar="N", help="Weights and inputs are drawn so many times. [3]")
@click.option("--checkpoint", type=Path, metavar="FILE", help=CHECKPOINT)
@click.option("--device", default="", metavar="NAME", help="cpu or cuda. [cuda where there is one]")
@placed
def gradients(
    cells: str | None, inits: str | None, seq_lens: str, batch: str, hidden: str, dtypes: str, seeds: str, checkpoint: Path | None,
    device: str, place: Place,
) -> None:  # fmt: skip
    """Gradient norms by lag and by length, at initialisation or after training, and where 16 bit loses them."""
    names, kind = named(cells), on(device)
    types = choices(dtypes, DTYPES, "dtype")
    lengths, B, H, count = sizes(seq_lens, "--seq-lens"), size(batch, "--batch"), size(hidden, "--hidden"), size(seeds, "--seeds")
    chosen = split(inits, names, ("default", "critical"))
    settings = {"cells": names, "inits": chosen, "seq_lens": lengths, "B": B, "H": H, "dtypes": types, "seeds": count, "device": kind}
    from bench.commands.cell_arguments import headed
    from bench.harness import study
    from bench.studies.signals import signal_plan

    if checkpoint is None:
        headed(names, H)
        pieces = signal_plan.gradient_pieces(names, chosen, lengths, (B, H, H), types, count, kind)
    else:
        model = loaded(checkpoint, cells, inits)
        settings |= instead(model)
        pieces = model.gradients(lengths, B, types, count, kind)
    study.run("gradients", pieces, settings, place)


@click.command()
@click.option("--cells", metavar="A,B", help=CELLS)
@click.option("--init", "inits", metavar="A,B", help=INIT.format("default,critical"))
@click.option("--length", default="256", metavar="T", help="Steps of the sequence. [256]")
@click.option("--hidden", default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@click.option("--dtype", default="float64", metavar="NAME", help=f"Of {', '.join(DTYPES)}. [float64]")
@click.option("--seeds", default="3", metavar="N", help="Weights and inputs are drawn so many times. [3]")
@click.option("--checkpoint", type=Path, metavar="FILE", help=CHECKPOINT)
@click.option("--device", default="", metavar="NAME", help="cpu or cuda. [cuda where there is one]")
@placed
def jacobian(
    cells: str | None,
    inits: str | None,
    length: str,
    hidden: str,
    dtype: str,
    seeds: str,
    checkpoint: Path | None,
    device: str,
    place: Place,
) -> None:
    """Singular values of the Jacobians of the last state, by all states and inputs before it, and their growth per step."""
    names, kind, chosen_type = named(cells), on(device), choice(dtype, DTYPES, "dtype")
    T, H, count = size(length, "--length"), size(hidden, "--hidden"), size(seeds, "--seeds")
    chosen = split(inits, names, ("default", "critical"))
    settings = {"cells": names, "inits": chosen, "T": T, "H": H, "dtype": chosen_type, "seeds": count, "device": kind}
    from bench.commands.cell_arguments import headed
    from bench.harness import study
    from bench.studies.signals import signal_plan

    if checkpoint is None:
        headed(names, H)
        pieces = signal_plan.jacobian_pieces(names, chosen, T, (H, H), chosen_type, count, kind)
    else:
        model = loaded(checkpoint, cells, inits)
        settings |= instead(model)
        pieces = model.jacobians(T, chosen_type, count, kind)
    study.run("jacobian", pieces, settings, place)


@click.command()
@click.option("--cells", metavar="A,B", help="Of vanilla, minimal, gru_reset_before, gru, lstm. [all of these]")
@click.option("--width", default="1024", metavar="N", help="Width at which growth is measured. [1024]")
@click.option("--steps", default="40", metavar="T", help="Steps that are measured, after as many others. [40]")
@click.option("--seed", default="0", metavar="N", help="Of matrices and inputs. [0]")
@placed
def theory(cells: str | None, width: str, steps: str, seed: str, place: Place) -> None:
    """Mean-field theory: how a gradient grows per step, predicted by quadrature and measured in wide cells."""
    from bench.harness import study
    from bench.studies.signals import signal_plan

    names = tuple(signal_plan.POINTS) if cells is None else choices(cells, tuple(signal_plan.POINTS), "cell with a theory")
    N, count, number = size(width, "--width"), size(steps, "--steps", least=2), size(seed, "--seed", least=0)
    settings = {"cells": names, "N": N, "steps": count, "seed": number, "device": on("cpu")}
    study.run("theory", signal_plan.theory_pieces(names, N, count, number), settings, place)


@click.command()
@click.option("--cells", metavar="A,B", help=CELLS)
@click.option("--init", "inits", metavar="A,B", help=INIT.format("default,normal:5"))
@click.option("--length", default="2000", metavar="T", help="Steps without input. [2000]")
@click.option("--hidden", default="64", metavar="H", help="Hidden width. [64]")
@click.option("--seed", default="0", metavar="N", help="Of starting points and weights. [0]")
@click.option("--quick", is_flag=True, help="The maps from fewer points over fewer steps than the paper's.")
@click.option("--checkpoint", type=Path, metavar="FILE", help=f"{CHECKPOINT} Without the maps.")
@placed
def chaos(
    cells: str | None, inits: str | None, length: str, hidden: str, seed: str, quick: bool, checkpoint: Path | None, place: Place
) -> None:
    """Two chaotic maps with their Lyapunov exponents and attractors, and every cell without input."""
    names = named(cells)
    T, H, number = size(length, "--length", least=2), size(hidden, "--hidden"), size(seed, "--seed", least=0)
    chosen = split(inits, names, ("default", "normal:5"))
    settings = {"cells": names, "inits": chosen, "T": T, "H": H, "seed": number, "quick": quick, "device": on("cpu")}
    from bench.commands.cell_arguments import headed
    from bench.harness import study
    from bench.studies.signals import chaos, signal_plan

    if checkpoint is None:
        headed(names, H)
        pieces = signal_plan.chaos_pieces(chaos.SHORT if quick else chaos.PAPER, names, chosen, T, H, number)
    else:
        model = loaded(checkpoint, cells, inits)
        settings |= instead(model)
        pieces = model.silence(T, number)
    study.run("chaos", pieces, settings, place)


def named(cells: str | None) -> tuple[str, ...]:
    import cells as tree

    return tree.SEED if cells is None else choices(cells, tree.names(), "cell")


def loaded(checkpoint: Path, cells: str | None, inits: str | None) -> "Trained":
    """The trained layer of a file."""
    from bench.studies.signals.trained_layer import trained

    if inits:
        raise UsageError(f"--checkpoint {checkpoint} has weights of its own: leave out --init")
    names = named(cells)
    if cells is None or len(names) > 1:
        raise UsageError(f"--checkpoint {checkpoint} holds one cell: say which with --cells")
    return trained(checkpoint, names[0])


def instead(model: "Trained") -> Mapping[str, Any]:
    """The settings that trained weights take the place of."""
    return {"inits": (), "H": model.H, "checkpoint": model.name}


def split(inits: str | None, names: tuple[str, ...], usual: tuple[str, ...]) -> tuple[str, ...]:
    """A comma list of initialisations, each of them some cell's; the usual ones where none is named."""
    if inits is None:
        return usual
    import cells as tree
    from bench.studies.signals.initializations import initialised

    found = tuple(dict.fromkeys(part.strip() for part in inits.split(",") if part.strip()))
    if not found:
        raise UsageError("--init names no initialisation: take for example default")
    for init in found:
        have = [name for name in names if init in tree.load(name).variants] or names[:1]
        initialised(tree.load(have[0]), init)
    return found


def on(device: str) -> str:
    from bench.harness.device import choose

    return choose(choice(device, ("cpu", "cuda"), "device") if device else "")
