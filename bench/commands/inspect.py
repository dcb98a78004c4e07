"""Implements `python -m bench list`, `show` and `doctor`, which describe the cells and this machine."""

import click

from bench.commands.command import command


@command("list")
def list_cells() -> None:
    """List the cells: their states, products, parameters, torch.nn equivalents and papers."""
    from bench.commands import cell_report as show

    show.print_cells()


@command()
@click.argument("cell")
def show(cell: str) -> None:
    """Show a cell, by name or as FILE.py:NAME: its equations, its plan, its parameters, and the functions derived from it."""
    from bench.commands import cell_report as show
    from bench.commands.cell_arguments import parse_cell

    show.print_cell(parse_cell(cell))


@command()
def doctor() -> None:
    """List what this machine can run, and what is missing."""
    from bench.commands import machine_report as doctor

    doctor.print_machine_report()
