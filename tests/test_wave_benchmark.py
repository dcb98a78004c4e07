"""Waves in a benchmark: which rows there are, their peer, their unit, and what is said of a grid that doesn't fit."""

import textwrap

import pytest

from bench.analysis.summary import CaseIndex, find_peers, updates_per_second
from bench.commands.cell_arguments import check_sizes
from bench.errors import UsageError
from bench.harness.cases import is_planned, list_interpreter_cases, small_size, timing_groups
from bench.harness.outcome import make_case_record
from bench.harness.settings import Settings
from bench.measure.backends import build_workload
from bench.measure.numerics import describe_numerics
from bench.measure.problem import make_problem
from bench.records import CaseRecord, Records
from bench.records.backend_table import list_defaults
from bench.records.methods import METHODS
from bench.render import headline, plots, wave_report
from bench.render.all_cases import make_case_table
from bench.render.table import write_markdown, write_table
from tests.records import ENVIRONMENT, RUN, case, timed

ASKED = Settings(("wave", "minimal"), list_defaults("cpu"), (16,), (4,), (36,), 36, "float32", "ieee", "cpu", 0, False)


def test_which_rows_there_are():
    """Stencils and their peer for waves alone, and no GRU beside a wave."""
    (group,) = timing_groups(ASKED)
    rows = {(c.cell, c.backend) for c in group.cases if not c.matched_params_of}
    assert ("wave", "conv2d") in rows and not {("minimal", "conv2d"), ("minimal", "stencil")} & rows
    assert {c.matched_params_of for c in group.cases} == {"", "minimal"}
    assert {(c.cell, c.backend) for c in list_interpreter_cases(ASKED)} >= {
        ("wave", "stencil"),
        ("wave", "stepwise"),
        ("minimal", "stepwise"),
    }
    assert ("minimal", "stencil") not in {(c.cell, c.backend) for c in list_interpreter_cases(ASKED)}
    assert is_planned(ASKED, "wave", "compiled", False) and not is_planned(ASKED, "wave", "conv2d", False) and small_size("wave")[3] == 17


def test_the_unit():
    wave = case("wave", T=10, B=4, H=36)
    assert make_case_record(wave, "ok", "").unit == "cell update" and make_case_record(case("gru"), "ok", "").unit == ""
    record = timed(wave, *[0.5] * 5, unit="cell update")
    assert updates_per_second(record) == pytest.approx(10 * 4 * 36 / 0.5) and updates_per_second(timed(wave, 0.5)) is None
    assert "cell updates/s" in write_table(make_case_table([record], ENVIRONMENT))
    assert "updates" not in write_table(make_case_table([timed(wave, 0.5)], ENVIRONMENT))


def test_what_a_report_says_of_waves():
    sizes = {"T": 100, "B": 4, "D": 1, "H": 256}
    times = {"compiled": 0.01, "conv2d": 0.2, "eager": 0.25}
    found = [timed(case("wave", b, **sizes), *[t] * 6, unit="cell update") for b, t in times.items()]
    (made,) = wave_report.make_tables([*found, timed(case("gru"), 1.0)])
    heading, table = write_markdown(made).split("\n\n")
    assert heading == "## Waves" and "T·B·H" in METHODS["waves"]
    rows = {row.split("|")[2].strip(): [cell.strip() for cell in row.split("|")] for row in table.splitlines()[2:]}
    assert rows["compiled"][8:10] == ["10.2", "20.0× [20.0, 20.0]"] and rows["conv2d"][9] == "–" and rows["eager"][9].startswith("0.80×")
    assert wave_report.make_tables([timed(case("gru"), 1.0)]) == [] and "gru" not in table
    said = "compiled trains wave in 10.0 ms, a loop over torch's conv2d in 200 ms: 20.0× [20.0, 20.0]"
    assert wave_report.claim_waves(found) == f"**{said}**, T=100 B=4 D=1 H=256, float32."
    assert wave_report.claim_waves(found[::2]) == ""
    assert headline.write_headline(Records(run=RUN, cases=found, gradients=[]), []).startswith("**compiled")


def test_a_difference_that_is_not_significant_is_not_bold():
    found = [timed(case("wave", b, T=t), *[0.01] * n, unit="cell update") for b in ("compiled", "conv2d") for t, n in ((8, 6), (16, 2))]
    assert wave_report.claim_waves(found).startswith("compiled trains wave in 10.0 ms") and "T=16" in wave_report.claim_waves(found)


def test_no_gru_is_a_peer_of_waves():
    """Though one was timed beside it, and the vendor has no such cell."""
    found = [timed(case("gru", "vendor"), *[1.0] * 5), timed(case("wave"), *[1.0] * 5, unit="cell update")]
    for cell, unit in (("wave", "cell update"), ("minimal", "")):
        given = {"case": case(cell, "vendor"), "status": "unsupported", "reason": "no such cell", "unit": unit}
        known = CaseIndex.from_records([*found, CaseRecord.model_validate(given)])
        assert (find_peers(known, case(cell)).first is None) == (cell == "wave")


def test_a_plot_has_room_for_all():
    """Backends of waves are drawn as those that never stand beside them."""
    styles = {backend: plots.choose_style(backend)["color"] for backend in ("compiled", "stencil", "eager", "stepwise", "conv2d")}
    assert len(set(styles.values())) == len(styles)


def test_what_a_row_declares():
    given = make_problem("wave", 2, 1, 3, 4, "float32", "cpu", 0)
    for backend in ("conv2d", "compiled"):
        declared = describe_numerics(case("wave", backend), build_workload(backend, given))
        assert declared.biases == 0 and declared.state == declared.accumulators == "float32"


def test_a_grid_of_another_size(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        textwrap.dedent("""
            from cells.grammar.grid import Grid
            from cells.wave import damped_wave

            pond = damped_wave(Grid((8, 8)))
        """)
    )
    check_sizes((f"{file}:pond",), 3, 64)
    with pytest.raises(UsageError, match=r"its grid has 64 points: take --hidden 64, not 256"):
        check_sizes((f"{file}:pond",), 3, 256)
