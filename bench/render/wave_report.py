"""Renders cells whose units read their neighbours: cell updates per second, and the speedup over a loop of torch's conv2d."""

from collections.abc import Sequence

from bench.analysis.summary import is_timed, updates_per_second
from bench.analysis.verdict import compare_cases, measure_noise
from bench.records import CaseRecord
from bench.render.formatting import MODES, explain_no_ratio, format_number, format_speed_interval
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, make_word_column
from bench.render.tables import ERRORS, list_case, list_errors


def make_tables(cases: Sequence[CaseRecord]) -> list[Table]:
    """Returns the table of waves, or [] if none were timed."""
    found = [r for r in cases if r.unit and is_timed(r) and r.case.input_product and not r.case.aa_repeat]
    noise = measure_noise(cases)
    rows = []
    for record in sorted(found, key=lambda r: (r.case.cell, list(MODES).index(r.case.mode), r.case.T, r.case.H, r.case.backend)):
        case = record.case
        peer = next((r for r in found if r.case == case.model_copy(update={"backend": "conv2d"})), None)
        speed = compare_cases(record, peer, noise) if peer and peer is not record else None
        against = speed or (None if peer is record else explain_no_ratio(record, peer))
        cell, backend, *sizes = list_case(record)
        rows.append([cell, backend, MODES[case.mode], *sizes, updates_per_second(record) or 0.0, against, list_errors(record)[0]])
    columns = [
        CELL, BACKEND, make_word_column("task"), *SIZES,
        Column("million cell updates/s", "cell_updates_per_s", "", lambda rate: format_number(rate / 1e6)),
        Column("speedup over conv2d loop", "speedup", "", format_speed_interval), ERRORS[0],
    ]  # fmt: skip
    return [Table("Waves", columns, rows)] if rows else []
