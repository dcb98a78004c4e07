"""What a run would measure, listed."""

from rich.table import Table

from bench.harness.jobs import jobs
from bench.harness.settings import Settings
from bench.render.terminal import terminal


def dry_run(settings: Settings) -> None:
    names = "cell", "backend", "mode", "product", "T", "B", "D", "H", "dtype"
    table = Table(box=None, padding=(0, 2, 0, 0))  # eighty columns hold all of it
    for name in names:
        table.add_column(name, overflow="fold")
    planned = [case for job in jobs(settings) if job.kind in ("check", "race") for case in job.cases]
    for case in planned:
        row = (case.T, case.B, case.D, case.H)
        inside = "inside" if case.input_product else "given"
        table.add_row(case.cell, f"{case.backend}{' (again)' if case.control else ''}", case.mode, inside, *map(str, row), case.dtype)
    out = terminal()
    out.print(table)
    out.print(f"{len(planned)} cases, none measured")
