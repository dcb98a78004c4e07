"""The speeds of a run relative to a backend of the reader's choice, beside those relative to torch.nn."""

from bench.analysis.summary import is_timed
from bench.errors import UsageError
from bench.records import CaseRecord, Records
from bench.render.case_grid import Grid, Row
from bench.render.formatting import explain_no_ratio, format_speed, format_speed_interval
from bench.render.speed_tables import list_key, make_key_columns
from bench.render.table import Column, Table


def set_baseline(records: Records, backend: str) -> Records:
    """Returns the records of a run as if it had been measured with `--against`.

    Args:
        records: The records.
        backend: The backend that the others are compared with.

    Raises:
        UsageError: The run timed no case of this backend.
    """
    timed = sorted({record.case.backend for record in records.cases if is_timed(record)})
    if backend not in timed:
        raise UsageError(f"--against {backend}: this run has no time of it; it has times of {', '.join(timed) or 'no backend'}")
    run = records.run.model_copy(update={"settings": {**records.run.settings, "against": backend}})
    return records.model_copy(update={"run": run})


def make_against_table(grid: Grid, backend: str) -> Table:
    """Returns the table of all timed backends relative to one, a row per cell and size; without rows for "" and where it has no time."""
    others = [name for name in grid.backends if name not in (backend, *grid.untimed_backends)]

    def compare(record: CaseRecord, row: Row, other: str) -> object:
        found = grid.find_entry(row, other)
        return found if isinstance(found, str) else grid.compare_with(found, record) or explain_no_ratio(found, record)

    peers = {row: found for row in grid.rows if isinstance(found := grid.find_entry(row, backend), CaseRecord)}
    columns = [Column(name, "speedup", "", format_speed_interval, at=name, brief=format_speed) for name in others]
    rows = [[*list_key(row, grid.keys), *(compare(record, row, other) for other in others)] for row, record in peers.items()]
    title = f"Times as fast as {backend}"
    return Table(title, [*make_key_columns(grid.keys), *columns], rows if others else [], across="backend", level=3, grouped=True)
