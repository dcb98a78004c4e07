"""Cells whose units look at their neighbours: how many they update in a second, and against a loop over torch's conv2d."""

from collections.abc import Sequence

from bench.analysis.summary import timed, updates_per_second
from bench.analysis.verdict import compared, noise
from bench.records import CaseRecord
from bench.render.formatting import MODES, NONE, faults, interval, number, unknown
from bench.render.markdown import table

CAPTION = (
    "The unit is the cell update: one point of the grid, of one sequence, in one time step. There are T·B·H of them in a call, whose time "
    "holds the input product too. The peer is the equations in a loop over torch's conv2d, as wavetorch runs them: no layer of torch.nn "
    "computes waves."
)


def section(cases: Sequence[CaseRecord]) -> list[str]:
    """Nothing where there are none."""
    found = [r for r in cases if r.unit and timed(r) and r.case.input_product and not r.case.aa_repeat]
    if not found:
        return []
    margin = noise(cases).margin
    rows = []
    for record in sorted(found, key=lambda r: (r.case.cell, list(MODES).index(r.case.mode), r.case.T, r.case.H, r.case.backend)):
        case = record.case
        peer = next((r for r in found if r.case == case.model_copy(update={"backend": "conv2d"})), None)
        speed = compared(record, peer, margin) if peer and peer is not record else None
        against = interval(speed) if speed else NONE if peer is record else unknown(record, peer)
        rate = number((updates_per_second(record) or 0.0) / 1e6)
        rows.append(
            [case.cell, case.backend, MODES[case.mode], *map(str, (case.T, case.B, case.D, case.H)), rate, against, faults(record)[0]]
        )
    headers = ("cell", "backend", "task", "T", "B", "D", "H", "million cell updates/s", "speed × conv2d loop", "error of outputs")
    return ["## Waves", CAPTION, table(headers, rows, left=3)]
