"""How a report is laid out: one picture at its head, the others in their sections, every table a CSV."""

import csv
import xml.etree.ElementTree as ET

import pytest

from bench.records import Records
from bench.render import length_plots, run_report, speed_plot
from bench.render.csv_tables import sheets, write
from bench.render.plot_placement import placed
from tests.records import case, detailed, records, timed, whole


def read(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


@pytest.fixture(scope="module")
def found() -> Records:
    return whole()


def test_one_picture_behind_the_headline_and_the_others_in_their_sections(found):
    names = ["speeds.svg", "throughput.svg", "memory.svg", "gradients.svg", "unknown.svg"]
    parts = run_report.render(found, names).split("\n\n")
    at = {name: next(k for k, part in enumerate(parts) if f"({name})" in part) for name in names}
    assert parts[1].startswith("**`minimal` (compiled) trains") and (at["speeds.svg"], at["unknown.svg"]) == (2, 3)
    assert (
        "95% interval" in parts[2] and parts[at["memory.svg"] - 2] == "## Memory" and parts[at["gradients.svg"] - 2] == "## Gradient norms"
    )
    assert parts[at["throughput.svg"] - 2] == "## Training with the input product" and parts[at["throughput.svg"] + 1].startswith("| cell")
    assert sum(part.startswith("![") for part in parts) == len(names)


def test_a_picture_without_its_section_is_not_lost():
    assert placed(["# a", "b", "## c", "d"], ["memory.svg"], head=2)[2].endswith("(memory.svg)")
    assert placed(["# a", "## Memory", "| t |"], ["memory.svg"], head=1)[-1].endswith("(memory.svg)")


def test_every_table_of_a_report_is_a_sheet(found):
    text = run_report.render(found, [])
    made = sheets(text)
    assert len(made) == sum(line.startswith("|:-") for line in text.splitlines())
    parameters = read(made["parameters"])
    assert parameters[0] == ["cell", "formula", "D", "H", "parameters", "flops per step"]
    assert ["minimal", "2*D*H + 1*H^2 + 2*H", "256", "256", "197,120", "395,520"] in parameters
    assert read(made["memory"])[1][:3] == ["cfn", "16", "1.25"]
    assert {len(row) for row in read(made["training-with-the-input-product-every-timed-case"])} == {16}
    assert [name for name in made if "," in name or " " in name or name != name.lower()] == []


def test_what_markdown_would_read_is_in_the_sheet_as_it_was():
    run = records(timed(case(backend="eager"), status="failed", reason="a|b <c> `d` *e*"), timed(case(), 1.0))
    assert any("a|b <c> `d` *e*" in row for row in read(sheets(run_report.render(run, []))["not-timed"]))


def test_sheets_are_written_with_the_numbers_of_every_case_and_older_ones_go(tmp_path):
    run = detailed()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "older.csv").write_text("")
    written = write(tmp_path, run_report.render(run, []), run)
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


def test_pictures_can_be_read_on_a_dark_page(found, tmp_path):
    for path in (*length_plots.draw(found, tmp_path), *speed_plot.draw(found, tmp_path)):
        text = path.read_text()
        style = text.partition("@media(prefers-color-scheme:dark)")[2].partition("</style>")[0]
        assert ".fg{fill:#0d1117}" in style and ".fk,text{fill:#e6edf3}" in style
        assert text.count("@media") == 1 and ET.parse(path).getroot().tag.endswith("svg")
        drawn = {name for e in ET.parse(path).iter() for name in e.get("class", "").split()} - {"plot"}
        assert drawn and all(f".{name}" in style for name in drawn)
