"""Implements `python -m bench export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.arguments import SIZE, Choice
from bench.commands.command import command
from bench.errors import UsageError

if TYPE_CHECKING:
    from kernels import RNN

DTYPES = ("float32", "float64")


@command("export")
@click.option("--cell", required=True, metavar="NAME", help="The cell, by name or as FILE.py:NAME.")
@click.option("--input", "input_size", type=SIZE, required=True, metavar="D", help="Width of the input.")
@click.option("--hidden", type=SIZE, required=True, metavar="H", help="Width of the states.")
@click.option("--layers", type=SIZE, default="1", metavar="N", help="Number of layers. [1]")
@click.option("--no-bias", is_flag=True, help="The layer has no biases b.")
@click.option("--weights", type=Path, metavar="FILE", help="A state dict of the layer, or of a model that contains one. [fresh weights]")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of fresh weights. [0]")
@click.option("--dtype", type=Choice(DTYPES, "dtype"), metavar="NAME", help="float32 or float64. [that of the weights; float32]")
@click.option("--out", type=Path, required=True, metavar="FOLDER", help="Where to write. Files of the same names are replaced.")
@click.option("--name", default="", metavar="NAME", help="Prefix of the files and of every name in them. [the cell's name]")
def export_c(
    cell: str, input_size: int, hidden: int, layers: int, no_bias: bool, weights: Path | None, seed: int, dtype: str | None, out: Path,
    name: str,
) -> None:  # fmt: skip
    """Write one time step of a layer as C, with its weights, for a stream in a program without Python."""
    import torch

    import cells
    from bench.commands.cell_arguments import check_widths, parse_cell
    from cells.grammar.errors import CellError
    from kernels import RNN

    found = parse_cell(cell)
    check_widths((found,), input_size, hidden)
    torch.manual_seed(seed)
    try:
        layer = RNN(cells.load(found), input_size, hidden, layers, bias=not no_bias)
    except (ValueError, CellError) as error:
        raise UsageError(f"--cell {cell}: {error}") from None
    origin = f"a fresh layer of seed {seed}: nothing is trained"
    if weights:
        load_weights(layer, weights)
        origin = f"the file {weights.name}"
    try:
        paths = layer.to(getattr(torch, dtype) if dtype else None).export_c(out, name, origin)
    except ValueError as error:
        raise UsageError(f"--name: {error}") from None
    except OSError as error:
        raise UsageError(f"--out {out} can't be written ({error.strerror}): name another folder") from None
    for path in paths:
        click.echo(path)


def load_weights(layer: "RNN", path: Path) -> None:
    """Loads a saved state dict, of the layer or of a model that contains one, and takes on its dtype, at least float32.

    Raises:
        UsageError: The file can't be read, or has no layer of these shapes, or several.
    """
    import torch

    from bench.measure.failure import describe_error
    from bench.studies.signals.trained_layer import flatten

    try:
        saved = flatten(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise UsageError(f"--weights {path} can't be read ({describe_error(error)}): name a state dict torch.save wrote") from None
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in saved.items():
        module, _, last = key.rpartition(".")
        modules.setdefault(module, {})[last] = value
    names = layer.state_dict().keys()
    whole = [module for module, entries in modules.items() if names <= entries.keys()]
    if len(whole) > 1:
        raise UsageError(f"--weights {path} holds {' and '.join(whole)}: save the state dict of one layer")
    if not whole:
        missing = next((name for name in names if not any(name in entries for entries in modules.values())), "layer with all parameters")
        raise UsageError(f"--weights {path} has no {missing}: is it a {layer.cell.name} with --layers {layer.num_layers}?")
    entries = modules[whole[0]]
    layer.to(torch.promote_types(next(entries[name].dtype for name in names), torch.float32))
    try:
        layer.load_state_dict(entries)
    except RuntimeError as error:
        raise UsageError(f"--weights {path} doesn't fit --input {layer.input_size} --hidden {layer.hidden_size}: {error}") from None
