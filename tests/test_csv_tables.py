"""How a report is laid out: one picture at its head, the others in their sections, every table a CSV."""

import csv
import io
import re
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from bench.analysis.median_ci import Estimate
from bench.records import Records
from bench.render import length_plots, run_report, speed_plot
from bench.render.csv_tables import name_tables, write_sheets
from bench.render.formatting import format_ms
from bench.render.plot_placement import place_plots
from bench.render.table import Column, Table, print_table, write_csv, write_html, write_markdown
from tests.records import case, detailed, records, timed, whole


def sheets(run: Records) -> dict[str, list[dict[str, str]]]:
    """The rows of a report's CSV files, by name."""
    made = name_tables(run_report.list_parts(run))
    return {name: list(csv.DictReader(write_csv(table).splitlines())) for name, table in made}


@pytest.fixture(scope="module")
def found() -> Records:
    return whole()


def test_one_picture_behind_the_headline_and_the_others_in_their_sections(found):
    names = ["speeds.svg", "throughput.svg", "memory.svg", "gradients.svg", "unknown.svg"]
    parts = run_report.render_report(found, names).split("\n\n")
    at = {name: next(k for k, part in enumerate(parts) if f"({name})" in part) for name in names}
    assert parts[1].startswith("**compiled trains") and (at["speeds.svg"], at["unknown.svg"]) == (2, 3)
    assert (
        "95% interval" in parts[2] and parts[at["memory.svg"] - 2] == "## Memory" and parts[at["gradients.svg"] - 2] == "## Gradient norms"
    )
    assert parts[at["throughput.svg"] - 2] == "## Training including the input projection" and parts[at["throughput.svg"] + 1].startswith(
        "| cell"
    )
    assert sum(part.startswith("![") for part in parts) == len(names)


def test_a_picture_without_its_section_is_not_lost():
    assert place_plots(["# a", "b", "## c", "d"], ["memory.svg"], head=2)[2].endswith("(memory.svg)")
    assert place_plots(["# a", "## Memory", "| t |"], ["memory.svg"], head=1)[-1].endswith("(memory.svg)")


def test_every_table_of_a_report_is_a_sheet(found):
    made = sheets(found)
    assert len(made) == sum(line.startswith("|:-") for line in run_report.render_report(found, []).splitlines())
    known = {
        "cell": "minimal",
        "formula": "2*D*H + 1*H^2 + 2*H",
        "D": "256",
        "H": "256",
        "parameters": "197120",
        "flops_per_step": "395520",
    }
    assert known in made["parameters"]
    memory = made["memory"][0]
    assert (memory["cell"], memory["T"], memory["backend"], memory["weights_mib"]) == ("cfn", "16", "vendor", "1.2529296875")
    assert [name for name in made if "," in name or " " in name or name != name.lower()] == []


def test_what_markdown_would_read_is_in_the_sheet_as_it_was():
    run = records(timed(case(backend="eager"), status="failed", reason="a|b <c> `d` *e*"), timed(case(), 1.0))
    assert any("a|b <c> `d` *e*" in row["reason"] for row in sheets(run)["not-timed"])


def test_a_sheet_holds_numbers_with_their_unit_in_the_name(found):
    """Low and high of an interval are columns, a verdict and a status are too, and backends are rows."""
    rows = {(row["cell"], row["T"], row["backend"]): row for row in sheets(found)["training-including-the-input-projection"]}
    best, none = rows["minimal", "128", "compiled"], rows["minimal", "128", "vendor"]
    assert float(best["time_low_ms"]) < float(best["time_ms"]) < float(best["time_high_ms"])
    assert float(best["speedup_low"]) < float(best["speedup"]) < float(best["speedup_high"])
    assert (best["speedup_verdict"], best["speedup_over"], best["rank"], best["status"]) == ("faster", "gru", "fastest", "")
    assert (none["time_ms"], none["status"]) == ("", "no such cell")
    words = {"formula", "reason", "what", "value", "where", "cell", "T"}
    for rows in sheets(detailed()).values():
        mixed = [(k, v) for row in rows for k, v in row.items() if k not in words and re.search(r"[★☆≈±×%]|\d,\d{3}|\d to \d", v)]
        assert not mixed


def test_one_table_is_written_four_ways():
    columns = [
        Column("cell", "cell", words=True),
        Column("ms", "time", "ms", format_ms, at="a"),
        Column("b, ms", "time", "ms", format_ms, at="b"),
    ]
    made = Table("Times", columns, [["x<y", Estimate(1e-3, 9e-4, 2e-3, 5), "oom"], ["z", None, 0.1234567891]], across="backend")
    assert write_markdown(made).splitlines()[-2:] == ["| x&lt;y | 1.00 |     oom |", "| z      |    – |     123 |"]
    assert write_csv(made).splitlines() == [
        "cell,backend,time_ms,time_low_ms,time_high_ms,time_status", "x<y,a,1.0,0.9,2.0,", "x<y,b,,,,oom", "z,b,123.4567891,,,",
    ]  # fmt: skip
    html = write_html(made, "times", "times.csv")
    assert '<td>x&lt;y</td><td class="n">1.00</td><td class="n">oom</td>' in html and 'href="times.csv"' in html and "\n\n" not in html
    with (terminal := Console(file=io.StringIO(), width=60)).capture() as shown:
        terminal.print(print_table(made))
    assert [line.split() for line in shown.get().splitlines()[-2:]] == [["x<y", "1.00", "oom"], ["z", "–", "123"]]


def test_sheets_are_written_with_the_numbers_of_every_case_and_older_ones_go(tmp_path):
    run = detailed()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "older.csv").write_text("")
    written = write_sheets(tmp_path, run_report.list_parts(run), run)
    assert sorted(written) == sorted((tmp_path / "tables").iterdir()) and not (tmp_path / "tables" / "older.csv").exists()
    rows = list(csv.DictReader((tmp_path / "tables" / "cases.csv").read_text().splitlines()))
    assert len(rows) == len(run.cases) and {row["status"] for row in rows} == {record.status for record in run.cases}


def test_the_picture_shows_every_speed_against_the_vendor(found, tmp_path):
    (drawn,) = speed_plot.draw(found, tmp_path)
    text = drawn.read_text()
    for name in ("minimal (vs gru)", "lstm", "compiled", "eager", "torchrecurrent"):
        assert f">{name}</text>" in text
    assert "<title>minimal (vs gru), compiled: " in text and ">vendor</text>" not in text and "T=128" in text
    assert speed_plot.draw(records(timed(case(), 1.0)), tmp_path) == []
    (several,) = speed_plot.draw(
        records(*(timed(case(backend=b, B=B), *[1.0] * 6) for b in ("vendor", "compiled") for B in (2, 4))), tmp_path
    )
    assert ">gru T=128 B=2 H=256</text>" in several.read_text()


@pytest.mark.full
def test_pictures_can_be_read_on_a_dark_page(found, tmp_path):
    for path in (*length_plots.draw(found, tmp_path), *speed_plot.draw(found, tmp_path)):
        text = path.read_text()
        style = text.partition("@media(prefers-color-scheme:dark)")[2].partition("</style>")[0]
        assert ".fg{fill:#0d1117}" in style and ".fk,text{fill:#e6edf3}" in style
        assert text.count("@media") == 1 and ET.parse(path).getroot().tag.endswith("svg")
        drawn = {name for e in ET.parse(path).iter() for name in e.get("class", "").split()} - {"plot"}
        assert drawn and all(f".{name}" in style for name in drawn)
