"""Prints the cases of a run without measuring them."""

from rich.table import Table

from bench.harness.jobs import list_work_units
from bench.harness.settings import Settings
from bench.render.terminal import open_console


def print_cases(settings: Settings) -> None:
    """Prints a table of the cases that a run with these settings would check or time."""
    names = "cell", "backend", "mode", "input projection", "T", "B", "D", "H", "dtype"
    table = Table(box=None, padding=(0, 1, 0, 0))  # eighty columns hold all of it
    for name in names:
        table.add_column(name, overflow="fold")
    planned = [case for unit in list_work_units(settings) if unit.kind in ("check", "timing group") for case in unit.cases]
    for case in planned:
        row = (case.T, case.B, case.D, case.H)
        inside = "included" if case.input_product else "precomputed"
        table.add_row(case.cell, f"{case.backend}{' (repeat)' if case.aa_repeat else ''}", case.mode, inside, *map(str, row), case.dtype)
    out = open_console()
    out.print(table)
    out.print(f"{len(planned)} cases, none measured")
