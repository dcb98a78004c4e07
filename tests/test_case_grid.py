"""Tables over several sizes: rows carry their size, and none is lost."""

import re

from bench.records import CaseRecord, Records
from bench.render import length_plots, run_report
from tests.records import RUN, case, timed
from tests.test_console import shown


def several():
    """A run of two sizes, for the vendor's cells and for one it doesn't have."""
    for B, D, H, algorithm in ((16, 64, 64, "STANDARD"), (32, 128, 128, "PERSIST_STATIC")):
        size = {"B": B, "D": D, "H": H, "dtype": "float16"}
        for cell in ("lstm", "gru"):
            yield timed(case(cell, "vendor", **size), *[4.0 * B] * 6, algorithm=algorithm)
            yield timed(case(cell, "persistent", **size), *[2.0 * B] * 6)
        yield CaseRecord(case=case("minimal", "vendor", **size), status="unsupported", reason="torch.nn has no such cell")
        yield timed(case("minimal", "persistent", **size), *[1.0 * B] * 6)
        yield timed(case("gru", "vendor", **size | {"H": H // 2}, matched_params_of="minimal"), *[3.0 * B] * 6)
        yield CaseRecord(case=case("lstm", "persistent", T=512, **size), status="skipped", reason="left out: the budget was spent")


def test_rows_of_several_sizes_carry_them():
    records = Records(run=RUN, cases=list(several()), gradients=[])
    made = run_report.render_report(records, [])
    assert "**persistent trains 2.00× [2.00, 2.00] as fast as torch.nn's own gru, lstm**, the geometric mean of 4 cases" in made
    assert "**persistent trains 3.00× [3.00, 3.00] as fast as torch.nn's GRU of equal parameters**, the geometric mean of 2 cases" in made
    table = [line.replace(" ", "").split("|")[1:-1] for line in made.splitlines() if line.startswith("| minimal")]
    assert ["minimal", "128", "32", "128", "nosuchcell", "32,000±0(4.00×gru)", "PERSIST_STATIC"] in table
    assert "torch.nn's gru of the same H" in made and "PERSIST_STATIC" in made and "or of one size in a suite, are interleaved" in made
    assert "T=512" in made.partition("## Not timed")[2] and "T=512" not in made.partition("## Not timed")[0]
    text = shown(records)
    assert re.search(r"^cell +T +B +H +vendor +persistent +cuDNN, expected", text, re.M) and "2 skipped" in text


def test_a_size_where_all_failed_keeps_its_row():
    small = [timed(case("lstm", backend, B=8), *[1.0] * 5) for backend in ("vendor", "persistent")]
    failed = [timed(case("lstm", backend, B=64), status="oom", reason="full") for backend in ("vendor", "persistent")]
    text = shown(Records(run=RUN, cases=small + failed, gradients=[]))
    assert [line.split()[-2:] for line in text.splitlines() if line.split()[1:3] == ["64", "256"]] == [["oom", "oom"]]


def test_plots_over_t_are_of_one_size(tmp_path):
    assert length_plots.draw(Records(run=RUN, cases=list(several()), gradients=[]), tmp_path) == []
