"""The headline of a run that timed cases: its best speed against torch.nn."""

from collections import Counter
from collections.abc import Sequence
from statistics import geometric_mean

from bench.analysis.summary import is_host_bound
from bench.analysis.verdict import Speed
from bench.records import CaseRecord
from bench.render.case_grid import Grid, Row
from bench.render.formatting import count_noun, describe_size, describe_task, format_factor, format_speed_interval

VERBS = {"training": "trains", "inference": "runs", "backward": "differentiates"}
BASELINES = ("vendor", "eager", "torchrecurrent", "associative", "accelerated", "fla_chunk", "fla_recurrent", "conv2d")
"""Backends that are here to be compared with: no headline is about them."""


def headline(laid: Sequence[Grid]) -> str:
    """The speed against torch.nn whose interval begins highest, of the first task and the longest T that have one; of a run of several
    sizes, the mean over all."""
    for grid in laid:
        for T in reversed(grid.lengths):
            found = claims(grid, T)
            if found:
                return overall(grid) if grid.has_several_sizes else claim(grid, T, *max(found, key=best))
    return "**Nothing was timed against torch.nn: there is no claim to make.**"


def best(pair: tuple[CaseRecord, Speed]) -> tuple[bool, float, float]:
    """What is shown to be faster comes first, then whose interval begins highest."""
    _, speed = pair
    return speed.verdict == "faster", speed.ratio.low, speed.ratio.value


def claims(grid: Grid, T: int) -> list[tuple[CaseRecord, Speed]]:
    records = (
        record for row in grid.rows if row.T == T for record in grid.timed_records(row).values() if record.case.backend not in BASELINES
    )
    return [(record, speed) for record in records if (speed := grid.speed(record))]


def baselines(grid: Grid, T: int, backend: str) -> list[CaseRecord]:
    """What the cases of a backend are compared with."""
    found = (grid.peers(Row(r.case.cell, T, r.case.B, r.case.D, r.case.H)).first for r, _ in claims(grid, T) if r.case.backend == backend)
    return [record for record in found if record]


def overall(grid: Grid) -> str:
    """One sentence on the backend with the most cases, and among those with as many the fastest in their geometric mean. It claims
    something where that mean is outside the noise and most cases are shown to be faster."""
    speeds: dict[str, list[Speed]] = {}
    for record, speed in (pair for T in grid.lengths for pair in claims(grid, T)):
        speeds.setdefault(record.case.backend, []).append(speed)
    means = {backend: geometric_mean(speed.ratio.value for speed in found) for backend, found in speeds.items()}
    backend = max(means, key=lambda name: (len(speeds[name]), means[name]))
    ratios = [speed.ratio.value for speed in speeds[backend]]
    counts = Counter(speed.verdict for speed in speeds[backend])
    known = f"{backend} {VERBS[grid.common.mode]} {format_factor(means[backend])} as fast as torch.nn"
    spread = f"the geometric mean of {count_noun(len(ratios), 'case')} from {format_factor(min(ratios))} to {format_factor(max(ratios))}"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    bound = sum(map(is_host_bound, (record for T in grid.lengths for record in baselines(grid, T, backend))))
    host = f"; in {bound} of them torch.nn's time is host-bound" if bound else ""
    setting = f"{spread} ({verdicts}{host}), {describe_size(grid.common)}, {describe_task(grid.common).lower()}"
    faster = means[backend] > 1 + grid.noise.margin and 2 * counts["faster"] > len(ratios)
    return f"**{known}**, {setting}." if faster else f"**Not shown to be faster than torch.nn here:** {known}, {setting}."


def claim(grid: Grid, T: int, record: CaseRecord, speed: Speed) -> str:
    """One sentence; it says of a speed that isn't shown to be faster that nothing is."""
    case = record.case
    peers = grid.peers(Row(case.cell, T, case.B, case.D, case.H))
    peer = f"torch.nn's own `{case.cell}`" if peers.same else "torch.nn's GRU at equal hidden size"
    if peers.first and is_host_bound(peers.first):
        peer += ", whose time is host-bound"
    known = f"`{case.cell}` ({case.backend}) {VERBS[case.mode]} {format_speed_interval(speed)} as fast as {peer}"
    setting = f"T={T} {describe_size(case)}, {describe_task(case).lower()}"
    return (
        f"**{known}**, {setting}."
        if speed.verdict == "faster"
        else f"**Nothing is shown to be faster than torch.nn here:** at best {known}, {setting}."
    )
