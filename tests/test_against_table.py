"""A run compared with a backend of the reader's choice."""

import pytest

from bench.errors import UsageError
from bench.render.against_table import make_against_table, set_baseline
from bench.render.case_grid import build_grids
from tests.command_line import bench
from tests.records import case, lines, records, timed

__all__ = ["bench"]

FOUND = records(
    timed(case("gru", "eager"), *[4.0] * 9), timed(case("gru", "compiled"), *[1.0] * 9), timed(case("gru", "vendor"), *[2.0] * 9),
    timed(case("cfn", "eager"), *[3.0] * 9), timed(case("cfn", "compiled"), status="oom"),
)  # fmt: skip


def test_every_backend_is_relative_to_it():
    table = make_against_table(build_grids(FOUND.cases)[0], "eager")
    assert [column.header for column in table.columns] == ["cell", "T", "vendor", "compiled"]
    gru = next(row for row in table.rows if row[0] == "gru")
    assert [speed.ratio.value for speed in gru[2:]] == [2.0, 4.0]
    assert next(row for row in table.rows if row[0] == "cfn")[3] == "oom"
    assert not make_against_table(build_grids(FOUND.cases)[0], "").rows


def test_a_backend_without_a_time():
    with pytest.raises(UsageError, match="--against scan: this run has no time of it; it has times of compiled, eager, vendor"):
        set_baseline(FOUND, "scan")


def test_a_report_has_the_table(bench, tmp_path):
    (tmp_path / "records.jsonl").write_text(lines(FOUND))
    assert "Times as fast as eager" not in bench("report", tmp_path)[1]
    code, out, _ = bench("report", tmp_path, "--against", "eager")
    assert code == 0 and "Times as fast as eager" in out and "### Times as fast as eager" in (tmp_path / "report.md").read_text()


def test_a_run_measures_it_too(bench):
    code, out, _ = bench("all", "--dry-run", "--cells", "gru", "--backends", "compiled", "--against", "eager", "--device", "cpu")
    assert code == 0 and {line.split()[1] for line in out.splitlines() if line.startswith("gru")} == {"compiled", "eager"}
    assert bench("all", "--dry-run", "--against", "eager,compiled", "--device", "cpu")[0] == 2
