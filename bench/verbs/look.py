"""`python -m bench list`, `show` and `doctor`: what there is, and what runs here."""

import click

from bench.settings import choice


@click.command("list")
def list_cells() -> None:
    """The cells, their backends here, and where their equations come from."""
    from bench import show

    show.listing()


@click.command()
@click.argument("cell")
def show(cell: str) -> None:
    """A cell: its equations, its plan, its parameters, and the functions derived from it."""
    import cells as tree
    from bench import show

    show.show(choice(cell, tree.names(), "cell"))


@click.command()
def doctor() -> None:
    """What this machine can run, and what is missing."""
    from bench import doctor

    doctor.report()
