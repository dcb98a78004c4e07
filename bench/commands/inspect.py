"""`python -m bench list`, `show` and `doctor`: what there is, and what runs here."""

import click


@click.command("list")
def list_cells() -> None:
    """The cells, their backends here, and where their equations come from."""
    from bench.commands import cell_report as show

    show.listing()


@click.command()
@click.argument("cell")
def show(cell: str) -> None:
    """A cell, by name or FILE.py:NAME: its equations, its plan, its parameters, and the functions derived from it."""
    from bench.commands import cell_report as show
    from bench.commands.cell_arguments import entry

    show.show(entry(cell))


@click.command()
def doctor() -> None:
    """What this machine can run, and what is missing."""
    from bench.commands import machine_report as doctor

    doctor.report()
