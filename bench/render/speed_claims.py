"""Writes the headline of a run with timed cases: its best speedup over torch.nn."""

from collections import Counter
from collections.abc import Sequence
from statistics import geometric_mean

from bench.analysis.summary import find_peers, is_host_bound
from bench.analysis.verdict import Speed
from bench.records import CaseRecord
from bench.render.case_grid import Grid
from bench.render.formatting import count_noun, describe_size, describe_task, format_factor, format_speed_interval

VERBS = {"training": "trains", "inference": "runs", "backward": "differentiates"}
NOT_IN_HEADLINE = ("vendor", "eager", "torchrecurrent", "associative", "accelerated", "fla_chunk", "fla_recurrent", "conv2d")
"""Backends that serve as baselines; no headline is about them."""


def claim_speed(laid: Sequence[Grid]) -> str:
    """Returns the headline of a run as markdown.

    It is the speedup over torch.nn whose interval starts highest, of the first task and the longest T that have one. A run with several
    sizes has the mean over all.
    """
    for grid in laid:
        for T in reversed(grid.lengths):
            found = list_claims(grid, T)
            if found:
                return claim_mean(grid) if grid.has_several_sizes else claim_best(grid, T, *max(found, key=rank_claim))
    return "**No case was compared with torch.nn.**"


def rank_claim(pair: tuple[CaseRecord, Speed]) -> tuple[bool, float, float]:
    """Returns the sort key of a claim: significantly faster first, then the lower end of the interval."""
    _, speed = pair
    return speed.verdict == "faster", speed.ratio.low, speed.ratio.value


def list_claims(grid: Grid, T: int) -> list[tuple[CaseRecord, Speed]]:
    """Returns the cases at a T that are compared with torch.nn, and their speeds."""
    found = [record for row in grid.rows if row.T == T for record in grid.timed_records(row).values()]
    return [(r, speed) for r in found if r.case.backend not in NOT_IN_HEADLINE and (speed := grid.find_speed(r))]


def claim_mean(grid: Grid) -> str:
    """Returns a sentence about the backend with the most cases, the fastest by geometric mean among equals.

    It claims a speedup if the mean is outside the noise and most cases are significantly faster.
    """
    speeds: dict[str, list[Speed]] = {}
    for record, speed in (pair for T in grid.lengths for pair in list_claims(grid, T)):
        speeds.setdefault(record.case.backend, []).append(speed)
    means = {backend: geometric_mean(speed.ratio.value for speed in found) for backend, found in speeds.items()}
    backend = max(means, key=lambda name: (len(speeds[name]), means[name]))
    ratios = [speed.ratio.value for speed in speeds[backend]]
    counts = Counter(speed.verdict for speed in speeds[backend])
    known = f"{backend} {VERBS[grid.common.mode]} {format_factor(means[backend])} as fast as torch.nn"
    spread = f"the geometric mean of {count_noun(len(ratios), 'case')} from {format_factor(min(ratios))} to {format_factor(max(ratios))}"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    claims = (record for T in grid.lengths for record, _ in list_claims(grid, T) if record.case.backend == backend)
    bound = sum(bool(peer and is_host_bound(peer)) for peer in (find_peers(grid.cases, record.case).first for record in claims))
    host = f"; in {bound} of them torch.nn's time is host-bound" if bound else ""
    setting = f"{spread} ({verdicts}{host}), {describe_size(grid.common)}, {describe_task(grid.common).lower()}"
    faster = means[backend] > 1 + grid.noise.margin and 2 * counts["faster"] > len(ratios)
    return f"**{known}**, {setting}." if faster else f"**Not significantly faster than torch.nn here:** {known}, {setting}."


def claim_best(grid: Grid, T: int, record: CaseRecord, speed: Speed) -> str:
    """Returns a sentence about one case. If it is not significantly faster, the sentence says that no backend is."""
    case = record.case
    peers = find_peers(grid.cases, case)
    peer = f"torch.nn's own `{case.cell}`" if peers.same else "torch.nn's GRU at equal hidden size"
    if peers.first and is_host_bound(peers.first):
        peer += ", whose time is host-bound"
    known = f"`{case.cell}` ({case.backend}) {VERBS[case.mode]} {format_speed_interval(speed)} as fast as {peer}"
    setting = f"T={T} {describe_size(case)}, {describe_task(case).lower()}"
    weak = f"**No backend is significantly faster than torch.nn here:** at best {known}, {setting}."
    return f"**{known}**, {setting}." if speed.verdict == "faster" else weak
