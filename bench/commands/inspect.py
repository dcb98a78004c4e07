"""Implements `python -m bench list`, `show` and `doctor`, which describe the cells and this machine."""

import json
from typing import Any

import click

from bench.commands.command import command

json_option = click.option("--json", "as_json", is_flag=True, help="Write the same to stdout as JSON.")


@command("list")
@json_option
def list_cells(as_json: bool) -> None:
    """List the cells: their states, products, parameters, torch.nn equivalents and papers."""
    from bench.commands import cell_report as show

    write_json(show.describe_cells()) if as_json else show.print_cells()


@command()
@click.argument("cell")
def show(cell: str) -> None:
    """Show a cell, by name or as FILE.py:NAME: its equations, its plan, its parameters, and the functions derived from it."""
    from bench.commands import cell_report as show
    from bench.commands.cell_arguments import parse_cell

    show.print_cell(parse_cell(cell))


@command()
@json_option
def doctor(as_json: bool) -> None:
    """List what this machine can run, and what is missing."""
    from bench.commands import machine_report as doctor

    write_json(doctor.describe_machine()) if as_json else doctor.print_machine_report()


def write_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))
