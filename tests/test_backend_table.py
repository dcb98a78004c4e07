"""One row for each backend: distinct looks, old names, and a schedule that has no row."""

import json
from itertools import product
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.commands.arguments import Size, parse_backends
from bench.commands.command import Command
from bench.errors import UsageError
from bench.records import RecordError, read_records
from bench.records.backend_table import COLUMNS, LOW, NAMES, choose_look, find_backend, list_defaults, translate_name
from bench.records.schema import upgrade_line
from kernels.layer import select
from tests.records import detailed, lines


def test_no_two_backends_look_alike():
    """Nor with low memory, nor one that has no row, and one of a user's."""
    names = (*COLUMNS, "plainly", "plainly-low", "mine.py:fast", *(f"new{k}" for k in range(40)))
    assert len({choose_look(name, names) for name in names}) == len(names)


def test_every_list_is_of_the_table():
    assert set(COLUMNS) == set(NAMES) and len(set(NAMES)) == len(NAMES)
    assert "compiled" in list_defaults("cpu") and "compiled" not in list_defaults("cuda")
    assert [name for name in list_defaults("cuda") if name.endswith(LOW)] == ["persistent-low"]
    assert find_backend("scan-low") is find_backend("scan") and find_backend("plainly").kind == "schedule"


def test_an_old_name_is_taken_with_a_warning(capsys):
    assert parse_backends("vendor,resident,resident-low,persistent") == ("vendor", "persistent", "persistent-low")
    said = capsys.readouterr().err
    assert "resident is called persistent now" in said and "resident-low is called persistent-low now" in said


def test_a_schedule_without_a_row_is_taken(monkeypatch):
    with pytest.raises(UsageError, match="no backend is called 'plainly'"):
        parse_backends("plainly")
    monkeypatch.setitem(select.SCHEDULES, "plainly", select.SCHEDULES["compiled"])
    assert parse_backends("plainly,vendor,plainly-low") == ("plainly", "vendor", "plainly-low")


def test_a_renamed_option_is_taken_with_a_warning():
    @click.command(cls=Command, renamed={"--length": "--seq-lens"})
    @click.option("--seq-lens", "seq_len", type=Size(least=2))
    def command(seq_len: int) -> None:
        click.echo(seq_len)

    for arguments in (["--length", "5"], ["--length=5"]):
        done = CliRunner().invoke(command, arguments)
        assert done.stdout == "5\n" and "--length is called --seq-lens now" in done.stderr, done.output
    assert CliRunner().invoke(command, ["--seq-lens", "5"]).output == "5\n"


OLD = {"matched_params_of": "stands_for", "aa_repeat": "control", "lower_bound": "demand", "numerics": "work", "resident_bytes": "held",
       "grid_syncs": "meetings"}  # fmt: skip


def old(value: object) -> object:
    """A line with the names of schema 3."""
    if isinstance(value, dict):
        return {OLD.get(key, key): old(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [old(inner) for inner in value]
    return value.replace("persistent", "resident") if isinstance(value, str) else value


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_older_records_are_read(tmp_path: Path, schema: int):
    found = detailed()
    was = [json.loads(line) for line in lines(found).splitlines()]
    was[0] |= {"schema_version": schema}
    text = "".join(json.dumps(old(line)) + "\n" for line in was)
    (tmp_path / "records.jsonl").write_text(text)
    assert "stands_for" in text and "resident" in text
    again = read_records(tmp_path)
    assert {r.case: r.model_dump_json() for r in again.cases} == {r.case: r.model_dump_json() for r in found.cases}


def test_the_names_of_a_file_of_today_are_not_mapped(tmp_path: Path):
    was = [json.loads(line) for line in lines(detailed()).splitlines()]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [was[0], old(was[1])]))
    with pytest.raises(RecordError, match="line 2"):
        read_records(tmp_path)


@pytest.mark.parametrize("case", [None, 3, [], {}, {"backend": None}])
@pytest.mark.parametrize("kind", ["case", "run", "gradients"])
def test_a_malformed_line_stays_one(kind, case):
    for settings, bound in product((None, {"backends": [1]}, {"backends": "x"}), (None, 1)):
        upgrade_line({"kind": kind, "case": case, "settings": settings, "demand": bound, "backend": 4})


def test_names():
    assert [translate_name(name) for name in ("resident-low", "eager", "resident")] == ["persistent-low", "eager", "persistent"]
