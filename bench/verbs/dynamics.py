"""The verbs of dynamics: gradients, jacobian, theory and chaos."""

from pathlib import Path

import click

from bench.settings import DTYPES, SettingsError, choice, choices, size, sizes

OUT = "A new folder for the results. [reports/<date>-<device>-<verb>]"
CELLS = "Cells, by name, as `bench list` shows them. [the first eight]"
INIT = "Initialisations: default, critical (where a cell has one), normal:GAIN, orthogonal:GAIN. [{}]"


@click.command()
@click.option("--cells", metavar="A,B", help=CELLS)
@click.option("--init", "inits", default="default", metavar="A,B", help=INIT.format("default"))
@click.option("--seq-lens", default="64,512,4096", metavar="T,T", help="Sequence lengths T. [64,512,4096]")
@click.option("--batch", default="8", metavar="B", help="Sequences in a batch. [8]")
@click.option("--hidden", default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@click.option("--dtypes", default="float32,bfloat16", metavar="A,B", help=f"Of {', '.join(DTYPES)}. [float32,bfloat16]")
@click.option("--seeds", default="3", metavar="N", help="Weights and inputs are drawn so many times. [3]")
@click.option(
    "--checkpoint", type=Path, metavar="FILE", help="Instead of an initialisation, the trained weights of one cell: a state dict."
)
@click.option("--device", default="", metavar="NAME", help="cpu or cuda. [cuda where there is one]")
@click.option("--out", type=Path, metavar="FOLDER", help=OUT)
def gradients(
    cells: str | None, inits: str, seq_lens: str, batch: str, hidden: str, dtypes: str, seeds: str, checkpoint: Path | None, device: str,
    out: Path | None,
) -> None:  # fmt: skip
    """Gradient norms by lag and by length, at initialisation or after training, and where 16 bit loses them."""
    names, kind = named(cells), on(device)
    types = choices(dtypes, DTYPES, "dtype")
    lengths, B, H, count = sizes(seq_lens, "--seq-lens"), size(batch, "--batch"), size(hidden, "--hidden"), size(seeds, "--seeds")
    chosen = split(inits, names)
    settings = {"cells": names, "inits": chosen, "seq_lens": lengths, "B": B, "H": H, "dtypes": types, "seeds": count, "device": kind}
    from bench.dynamics import plan, study

    if checkpoint is None:
        pieces = plan.gradient_pieces(names, chosen, lengths, (B, H, H), types, count, kind)
    elif cells is None or len(names) > 1:
        raise SettingsError(f"--checkpoint {checkpoint} holds one cell: say which with --cells")
    else:
        settings["checkpoint"] = str(checkpoint)
        from bench.dynamics.checkpoint import trained

        pieces = trained(checkpoint, names[0], lengths, B, types, count, kind)
    study.run("gradients", pieces, settings, out)


@click.command()
@click.option("--cells", metavar="A,B", help=CELLS)
@click.option("--init", "inits", default="default,critical", metavar="A,B", help=INIT.format("default,critical"))
@click.option("--length", default="256", metavar="T", help="Steps of the sequence. [256]")
@click.option("--hidden", default="64", metavar="H", help="Hidden width, and that of the input. [64]")
@click.option("--dtype", default="float64", metavar="NAME", help=f"Of {', '.join(DTYPES)}. [float64]")
@click.option("--seeds", default="3", metavar="N", help="Weights and inputs are drawn so many times. [3]")
@click.option("--device", default="", metavar="NAME", help="cpu or cuda. [cuda where there is one]")
@click.option("--out", type=Path, metavar="FOLDER", help=OUT)
def jacobian(
    cells: str | None, inits: str, length: str, hidden: str, dtype: str, seeds: str, device: str, out: Path | None
) -> None:  # fmt: skip
    """Singular values of the Jacobians of the last state, by all states and inputs before it, and their growth per step."""
    names, kind, chosen_type = named(cells), on(device), choice(dtype, DTYPES, "dtype")
    T, H, count = size(length, "--length"), size(hidden, "--hidden"), size(seeds, "--seeds")
    chosen = split(inits, names)
    settings = {"cells": names, "inits": chosen, "T": T, "H": H, "dtype": chosen_type, "seeds": count, "device": kind}
    from bench.dynamics import plan, study

    study.run("jacobian", plan.jacobian_pieces(names, chosen, T, (H, H), chosen_type, count, kind), settings, out)


@click.command()
@click.option("--cells", metavar="A,B", help="Of vanilla, minimal, gru_reset_before, gru, lstm. [all of these]")
@click.option("--width", default="1024", metavar="N", help="Width at which growth is measured. [1024]")
@click.option("--steps", default="40", metavar="T", help="Steps that are measured, after as many others. [40]")
@click.option("--seed", default="0", metavar="N", help="Of matrices and inputs. [0]")
@click.option("--out", type=Path, metavar="FOLDER", help=OUT)
def theory(cells: str | None, width: str, steps: str, seed: str, out: Path | None) -> None:
    """Mean-field theory: how a gradient grows per step, predicted by quadrature and measured in wide cells."""
    from bench.dynamics import plan, study

    names = tuple(plan.POINTS) if cells is None else choices(cells, tuple(plan.POINTS), "cell with a theory")
    N, count, number = size(width, "--width"), size(steps, "--steps", least=2), size(seed, "--seed", least=0)
    settings = {"cells": names, "N": N, "steps": count, "seed": number, "device": on("cpu")}
    study.run("theory", plan.theory_pieces(names, N, count, number), settings, out)


@click.command()
@click.option("--cells", metavar="A,B", help=CELLS)
@click.option("--init", "inits", default="default,normal:5", metavar="A,B", help=INIT.format("default,normal:5"))
@click.option("--length", default="2000", metavar="T", help="Steps without input. [2000]")
@click.option("--hidden", default="64", metavar="H", help="Hidden width. [64]")
@click.option("--seed", default="0", metavar="N", help="Of starting points and weights. [0]")
@click.option("--quick", is_flag=True, help="The maps from fewer points over fewer steps than the paper's.")
@click.option("--out", type=Path, metavar="FOLDER", help=OUT)
def chaos(cells: str | None, inits: str, length: str, hidden: str, seed: str, quick: bool, out: Path | None) -> None:
    """Two chaotic maps with their Lyapunov exponents and attractors, and every cell without input."""
    names = named(cells)
    T, H, number = size(length, "--length", least=2), size(hidden, "--hidden"), size(seed, "--seed", least=0)
    chosen = split(inits, names)
    settings = {"cells": names, "inits": chosen, "T": T, "H": H, "seed": number, "quick": quick, "device": on("cpu")}
    from bench.dynamics import chaos, plan, study

    study.run("chaos", plan.chaos_pieces(chaos.SHORT if quick else chaos.PAPER, names, chosen, T, H, number), settings, out)


def named(cells: str | None) -> tuple[str, ...]:
    import cells as tree

    return tree.SEED if cells is None else choices(cells, tree.names(), "cell")


def split(inits: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """A comma list of initialisations, each of them some cell's."""
    import cells as tree
    from bench.dynamics.initial import initialised

    found = tuple(dict.fromkeys(part.strip() for part in inits.split(",") if part.strip()))
    if not found:
        raise SettingsError("--init names no initialisation: take for example default")
    for init in found:
        have = [name for name in names if init in tree.load(name).variants] or names[:1]
        initialised(tree.load(have[0]), init)
    return found


def on(device: str) -> str:
    from bench.device import choose

    return choose(choice(device, ("cpu", "cuda"), "device") if device else "")
