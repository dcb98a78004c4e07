"""Writes the headline of a run of any kind, after a mark if the run is unfinished."""

from collections.abc import Sequence

from bench.analysis.completeness import describe_unfinished
from bench.records import Records
from bench.render.case_grid import Grid
from bench.render.claims import claim_run
from bench.render.speed_claims import claim_speed
from bench.render.wave_report import claim_waves


def write_headline(records: Records, laid: Sequence[Grid]) -> str:
    """Returns a few sentences as markdown.

    Args:
        records: The records of a run.
        laid: The grids of its cases.
    """
    if records.cases:
        said = claim_speed(laid) or claim_waves(records.cases) or "**No case was compared with torch.nn.**"
    else:
        said = claim_run(records)
    return " ".join(filter(None, (mark_unfinished(records), said or "Nothing was measured.")))


def mark_unfinished(records: Records) -> str:
    """Returns "**Unfinished: 39 of 247 planned cases.**", or "" for a finished run."""
    found = describe_unfinished(records)
    return f"**{found[0].upper()}{found[1:]}.**" if found else ""
