"""Parses the cells of a command line: names of cells in cells/, and functions in the user's own files as FILE.py:NAME."""

import cells
from bench.commands.arguments import parse_choice, parse_choices, parse_names
from bench.errors import UsageError
from cells.grammar.errors import CellError, cell_error
from kernels.derive.plan import Plan, plan
from kernels.layer.gradcheck import gradcheck


def parse_cells(text: str | None) -> tuple[str, ...]:
    """Returns the names of the cells in a comma-separated list, each once.

    Args:
        text: The list, in which "all" stands for every cell in cells/; None gives the cells of a default benchmark.

    Raises:
        UsageError: A name is unknown, or a function isn't a valid cell.
    """
    if text is None:
        return cells.DEFAULT
    names = parse_names(text, "--cells")
    known = [name for name in names if ":" not in name]
    if known or not names:
        parse_choices(",".join(known), (*cells.names(), "all"), "cell")
    for name in names:
        if name not in known:
            plan_user_cell(name)
    return tuple(dict.fromkeys(cell for name in names for cell in (cells.names() if name == "all" else (name,))))


def parse_cell(text: str) -> str:
    """Returns the name of a single cell; "all" is not accepted.

    Raises:
        UsageError: The name is unknown, the function isn't a valid cell, or there are several.
    """
    if ":" not in text:
        return parse_choice(text, cells.names(), "cell")
    found = parse_cells(text)
    if len(found) != 1:
        raise UsageError(f"one cell at a time, not {text!r}")
    return found[0]


def plan_user_cell(name: str) -> Plan:
    """Returns the plan of a user's own cell after a check of its derived gradients. Raises UsageError if it isn't a valid cell."""
    try:
        made = plan(cells.load(name))
        gradcheck(made)
        return made
    except CellError as error:
        raise UsageError(str(error)) from None


def check_widths(names: tuple[str, ...], D: int, H: int) -> None:
    """Checks that all cells can have these widths.

    Args:
        names: The names of the cells.
        D: The input width.
        H: The hidden width.

    Raises:
        UsageError: A cell can't; the message names a width that it can have.
    """
    for name in names:
        fitting = plan(cells.load(name)).round_up_width(H)
        if fitting != H:
            raise UsageError(f"the heads of {name} share the units: take --hidden {fitting}, not {H}")
        if (fixed := plan(cells.load(name)).fixed_width) not in (None, H):
            raise UsageError(f"the grid of {name} has {fixed} points: take --hidden {fixed}, not {H}")
    check_sizes(names, D, H)


def check_sizes(names: tuple[str, ...], D: int, H: int) -> None:
    """Checks that the user's own cells can have these widths.

    Args:
        names: The names of the cells; those of cells/ are not checked.
        D: The input width.
        H: The hidden width.

    Raises:
        UsageError: A cell uses x unit by unit and D isn't H, its heads can't share H units, or its grid doesn't have H points.
    """
    for made in (plan_user_cell(name) for name in names if ":" in name):
        if made.elementwise_input and D != H:
            hint = f"uses x unit by unit, which takes --input {D} to be --hidden {H}: or apply a matrix, W.name(x)"
            raise UsageError(str(cell_error(made.cell.step, hint, made.elementwise_line)))
        if made.round_up_width(H) != H:
            hint = f"its heads share the units: take --hidden {made.round_up_width(H)} and not {H}"
            raise UsageError(str(cell_error(made.cell.step, hint)))
        if made.fixed_width not in (None, H):
            raise UsageError(
                str(cell_error(made.cell.step, f"its grid has {made.fixed_width} points: take --hidden {made.fixed_width}, not {H}"))
            )
