"""The cells that enter a benchmark: those of the tree, by name, and functions in files of one's own, FILE.py:NAME."""

import cells
from bench.commands.arguments import parse_choice, parse_choices, parse_names
from bench.errors import UsageError
from cells.grammar.errors import CellError, cell_error
from kernels.derive.plan import Plan, plan
from kernels.layer.gradcheck import gradcheck


def parse_cells(text: str | None) -> tuple[str, ...]:
    """The cells of a comma list, of which "all" is every cell of the tree; without a list those a benchmark has by default.

    Raises UsageError for a name that isn't known, and for a function that is no cell.
    """
    if text is None:
        return cells.SEED
    names = parse_names(text, "--cells")
    known = [name for name in names if ":" not in name]
    if known or not names:
        parse_choices(",".join(known), (*cells.names(), "all"), "cell")
    for name in names:
        if name not in known:
            plan_user_cell(name)
    return tuple(dict.fromkeys(cell for name in names for cell in (cells.names() if name == "all" else (name,))))


def parse_cell(text: str) -> str:
    """One cell, and not "all" of them."""
    if ":" not in text:
        return parse_choice(text, cells.names(), "cell")
    found = parse_cells(text)
    if len(found) != 1:
        raise UsageError(f"one cell at a time, not {text!r}")
    return found[0]


def plan_user_cell(name: str) -> Plan:
    """The plan of a cell of one's own, its derived gradients proven. Raises UsageError where it is no cell."""
    try:
        made = plan(cells.load(name))
        gradcheck(made)
        return made
    except CellError as error:
        raise UsageError(str(error)) from None


def check_heads(names: tuple[str, ...], H: int) -> None:
    """Raises UsageError for a cell whose heads can't share H units."""
    for name in names:
        fitting = cells.load(name).round_up_width(H)
        if fitting != H:
            raise UsageError(f"the heads of {name} share the units: take --hidden {fitting}, not {H}")


def check_sizes(names: tuple[str, ...], D: int, H: int) -> None:
    """Raises UsageError for a cell of one's own that uses x unit by unit where D isn't H, whose heads can't share H, or whose grid has
    not H points."""
    for made in (plan_user_cell(name) for name in names if ":" in name):
        if made.elementwise_input and D != H:
            hint = f"uses x unit by unit, which takes --input {D} to be --hidden {H}: or apply a matrix, W.name(x)"
            raise UsageError(str(cell_error(made.cell.step, hint, made.elementwise_line)))
        if made.cell.round_up_width(H) != H:
            hint = f"its heads share the units: take --hidden {made.cell.round_up_width(H)} and not {H}"
            raise UsageError(str(cell_error(made.cell.step, hint)))
        if made.fixed_width not in (None, H):
            raise UsageError(
                str(cell_error(made.cell.step, f"its grid has {made.fixed_width} points: take --hidden {made.fixed_width}, not {H}"))
            )
