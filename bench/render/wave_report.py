"""Renders cells whose units read their neighbours: cell updates per second, and the speedup over a loop of torch's conv2d."""

from collections.abc import Sequence

from bench.analysis.summary import is_timed, median_time, updates_per_second
from bench.analysis.verdict import compare_cases, measure_noise
from bench.records import CaseRecord
from bench.render.formatting import (
    MODES,
    VERBS,
    describe_size,
    explain_no_ratio,
    format_ms,
    format_number,
    format_speed_interval,
)
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, make_word_column
from bench.render.tables import ERRORS, list_case, list_errors


def make_tables(cases: Sequence[CaseRecord]) -> list[Table]:
    """Returns the table of waves, or [] if none were timed."""
    found, noise = select_waves(cases), measure_noise(cases)
    rows = []
    for record in sorted(found, key=lambda r: (r.case.cell, list(MODES).index(r.case.mode), r.case.T, r.case.H, r.case.backend)):
        case = record.case
        peer = find_loop(record, found)
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


def claim_waves(cases: Sequence[CaseRecord]) -> str:
    """Returns the headline of a run of waves: for each, at its longest T, the fastest backend beside the loop over conv2d; "" if none
    has one. Only a significant difference is printed bold."""
    found, noise, said = select_waves(cases), measure_noise(cases), list[str]()
    for cell, mode in dict.fromkeys((r.case.cell, r.case.mode) for r in found):
        pairs = [(r, peer) for r in found if (r.case.cell, r.case.mode) == (cell, mode) and (peer := find_loop(r, found)) not in (None, r)]
        record, peer = max(pairs, key=lambda pair: (pair[0].case.T, -median_time(pair[0]).value), default=(None, None))
        if record is None or peer is None or (speed := compare_cases(record, peer, noise)) is None:
            continue
        known = f"{record.case.backend} {VERBS[mode]} {cell} in {format_ms(median_time(record))} ms, a loop over torch's conv2d in "
        known += f"{format_ms(median_time(peer))} ms: {format_speed_interval(speed)}"
        known = f"**{known}**" if speed.verdict in ("faster", "slower") else known
        said.append(f"{known}, T={record.case.T} {describe_size(record.case)}.")
    return " ".join(said)


def select_waves(cases: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Returns the timed cases of waves, without A/A repeats."""
    return [r for r in cases if r.unit and is_timed(r) and r.case.input_product and not r.case.aa_repeat]


def find_loop(record: CaseRecord, found: Sequence[CaseRecord]) -> CaseRecord | None:
    """Returns the case of the loop over conv2d that a case is compared with."""
    return next((r for r in found if r.case == record.case.model_copy(update={"backend": "conv2d"})), None)
