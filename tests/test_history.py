"""History: what is joined, where it changes, and that noise and a machine's drift are no change."""

import numpy as np
import pytest

from bench.analysis.history import Series, Timeline, build_timelines, find_changes
from bench.records import CaseRecord, Records
from tests.publications import RUNS
from tests.records import RUN, case, timed


def run(month: int, *cases: CaseRecord, **changes: object) -> tuple[str, Records]:
    here = RUN.environment.model_copy(update=changes)
    return f"run-{month}", Records(
        run=RUN.model_copy(update={"started": f"2026-{month:02}-01T00:00:00Z", "environment": here}), cases=list(cases), gradients=[]
    )


def pair(seed: int, ours: float, theirs: float = 1.0, spread: float = 0.01, backend: str = "compiled") -> list[CaseRecord]:
    """A case and the vendor's, of so many seconds, by turns."""
    draw = np.random.default_rng([seed, len(backend)])
    return [
        timed(case(backend=name), *(mean * draw.normal(1, spread, 20))) for name, mean in ((backend, ours), ("vendor", theirs))
    ]  # fmt: skip


def of(runs: list[tuple[str, Records]], backend: str = "compiled") -> Series:
    (line,) = build_timelines(runs)
    (found,) = (series for series in line.series if series.case.backend == backend)
    return found


def test_a_regression_is_found_and_named():
    (line,) = build_timelines([(name, found) for name, found in RUNS.items() if name[:7] in ("2026-01", "2026-02", "2026-03")])
    assert [name for name, _ in line.runs] == ["2026-01-first", "2026-02-slower", "2026-03-as-slow"]
    slower = [series for series in line.series if series.regression]
    assert {series.case.cell for series in slower} == {"gru", "minimal"}
    assert all(len(series.changes) == 1 for series in slower)
    change = slower[0].regression
    assert change.after.run == "2026-02-slower" and change.speed.verdict == "slower"
    assert change.speed.ratio.value == pytest.approx(1 / 1.25) and change.versions == ("torch 2.13.0+cpu → 2.13.1+cpu",)
    assert not [series for series in line.series if series.case.cell == "lstm" and series.changes]


def test_a_machine_that_drifts_is_no_change():
    """Both became twice as slow: nothing of ours did."""
    runs = [run(1, *pair(1, 0.5)), run(2, *pair(2, 1.0, 2.0)), run(3, *pair(3, 0.25, 0.5))]
    assert of(runs).changes == () and of(runs).regression is None


def test_noise_is_no_change():
    """Twenty cases over twelve runs of the same thing, 220 comparisons of which one in twenty is outside of its interval."""
    runs = [
        run(month, *(lengthened(r, T) for T in range(1, 21) for r in pair(100 * T + month, 0.5, spread=0.03))) for month in range(1, 13)
    ]
    (line,) = build_timelines(runs)
    assert len(line.series) == 20 and line.series[0].comparisons == 220
    assert [series for series in line.series if series.changes] == []
    assert sum(len(list(find_changes(series.points, {}, 1.0))) for series in line.series) > 5


def lengthened(record: CaseRecord, T: int) -> CaseRecord:
    return record.model_copy(update={"case": record.case.model_copy(update={"T": T})})


def test_what_becomes_slower_in_small_steps_is_found():
    """By 1% a run: no two of them can be told apart."""
    runs = [run(month, *pair(month, 0.5 * 1.01**month)) for month in range(1, 9)]
    series = of(runs)
    assert not list(find_changes(series.points[:2], {}, 1.0)) and series.changes
    assert series.changes[0].speed.verdict == "slower" and series.regression


def test_what_is_made_up_for_is_no_regression():
    runs = [run(1, *pair(1, 0.5)), run(2, *pair(2, 0.8)), run(3, *pair(3, 0.5))]
    series = of(runs)
    assert [change.speed.verdict for change in series.changes] == ["slower", "faster"] and series.regression is None
    again = of([*runs, run(4, *pair(4, 0.8))])
    assert again.regression and again.regression.after.run == "run-4"


def test_what_references_differ_by_is_the_margin():
    """eager runs no kernel of ours: where it differs by 30% between two runs, 20% of ours are no change."""
    quiet = [run(1, *pair(1, 0.5), *pair(1, 2.0, backend="eager")[:1]), run(2, *pair(2, 0.6), *pair(2, 2.0, backend="eager")[:1])]
    assert len(of(quiet).changes) == 1
    loud = [quiet[0], run(2, *pair(2, 0.6), *pair(2, 2.6, backend="eager")[:1])]
    (line,) = build_timelines(loud)
    assert line.floors["run-1", "run-2"] == pytest.approx(0.3, abs=0.03) and of(loud).changes == ()


def test_unlike_machines_and_settings_are_not_joined():
    first, second = run(1, *pair(1, 0.5)), run(2, *pair(2, 1.0))
    other = run(3, *pair(3, 0.5), device="AMD EPYC 9B14")
    kernel = run(4, *pair(4, 0.5), system="Linux-6.2")
    assert [[name for name, _ in line.runs] for line in build_timelines([first, other, kernel, second])] == [
        ["run-4"],
        ["run-3"],
        ["run-1", "run-2"],
    ]
    chosen = second[1].model_copy(update={"run": second[1].run.model_copy(update={"settings": {"cells": ["gru"], "precision": "ieee"}})})
    assert len(build_timelines([first, ("chosen", chosen)])) == 2
    assert build_timelines([run(1)]) == [] and Timeline((first,)).series == []


def test_what_has_no_vendor_is_not_judged():
    given = timed(case(input_product=False), *[0.5] * 9)
    slow = timed(case(input_product=False), *[1.0] * 9)
    (line,) = build_timelines([run(1, given), run(2, slow)])
    assert line.series == []
