"""Nothing that is typed is ignored: lists add up, any other repeated option is refused."""

import json

import click
import pytest
from click.testing import CliRunner

from bench import cli
from bench.commands.command import Command, ListOption
from tests.command_line import bench

__all__ = ["bench"]

DRY = ("all", "--dry-run", "--device", "cpu", "--backends", "eager", "--modes", "training")


def list_options() -> list[tuple[str, click.Option]]:
    """Every option of every command that takes a value."""
    return [(name, option) for name, command in cli.app.commands.items() for option in command.params
            if isinstance(option, click.Option) and not option.is_flag]  # fmt: skip


@pytest.mark.parametrize(("name", "option"), list_options(), ids=lambda part: part if isinstance(part, str) else part.name)
def test_every_repeated_option_adds_up_or_is_refused(bench, name, option):
    command = cli.app.commands[name]
    assert isinstance(command, Command)
    if not isinstance(option, ListOption) and not option.multiple:
        code, out, err = bench(name, option.opts[0], "1", option.opts[0], "2")
        assert (code, out) == (2, "") and f"{option.opts[0]} is given twice" in err and err.count("\n") == 1


def test_every_option_of_several_values_adds_up():
    """An option is a list if its hint is one."""
    lists = {(name, option.opts[0]) for name, option in list_options() if "," in (option.metavar or "")}
    assert lists == {(name, option.opts[0]) for name, option in list_options() if isinstance(option, ListOption)} and len(lists) > 15


def test_lists_add_up(bench):
    code, out, _ = bench(*DRY, "--cells", "gru", "--cells=lstm,gru", "--seq-lens", "8", "--seq-lens", "4")
    rows = [line.split() for line in out.splitlines() if line.startswith(("gru", "lstm"))]
    assert code == 0 and {(row[0], row[-5]) for row in rows} == {(cell, T) for cell in ("gru", "lstm") for T in ("4", "8")}


@pytest.mark.parametrize(("given", "says"), [
    (("--json", "--csv"), "--json and --csv exclude each other"), (("--md", "--latex"), "--md and --latex exclude each other"),
    (("--hidden", "4", "--quick", "--seed", "1", "--seed=1"), "--seed is given twice"),
])  # fmt: skip
def test_what_would_be_ignored_is_refused(bench, given, says):
    code, out, err = bench(*DRY, *given)
    assert (code, out) == (2, "") and says in err


def test_a_flag_twice_is_a_flag(bench):
    assert bench(*DRY, "--cells", "gru", "--quick", "--quick")[0] == 0


def test_sizes_are_lists_and_ranges(bench):
    code, out, _ = bench(*DRY, "--cells", "gru", "--seq-lens", "3,64..300,10..30:10", "--batch", "2,4", "--hidden", "8..16")
    rows = [line.split() for line in out.splitlines() if line.startswith("gru")]
    assert code == 0 and {int(row[-5]) for row in rows} == {3, 10, 20, 30, 64, 128, 256}
    assert {tuple(map(int, row[-4:-1])) for row in rows} == {(B, H, H) for B in (2, 4) for H in (8, 16)}


@pytest.mark.parametrize(("text", "says"), [
    ("9..3", "is empty: --seq-lens 3..9"), ("1..5000:1", "more than 1000 values"), ("4..", "whole numbers"), ("4..8:0", "at least 1"),
    ("..8", "whole numbers"), ("1..2..3", "whole numbers"), ("4..8:x", "whole numbers"),
])  # fmt: skip
def test_a_range_that_is_none(bench, text, says):
    code, _, err = bench(*DRY, "--cells", "gru", "--seq-lens", text)
    assert code == 2 and says in err and "--seq-lens" in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "x" * 81, "é"])
def test_a_name_is_part_of_a_folder(bench, name):
    code, _, err = bench(*DRY, "--cells", "gru", f"--name={name}")
    assert code == 2 and "--name takes" in err


def test_version_and_json():
    """`list` and `doctor` print the same as JSON."""
    run = CliRunner().invoke
    assert run(cli.app, ["--version"]).stdout == "recurrent-bench 0.2.0\n"
    cells = {cell["cell"]: cell for cell in json.loads(run(cli.app, ["list", "--json"]).stdout)}
    assert cells["lstm"]["states"] == ["h", "c"] and cells["lstm"]["torch_nn"] == "LSTM" and cells["cfn"]["torch_nn"] is None
    found = json.loads(run(cli.app, ["doctor", "--json"]).stdout)
    assert {part["part"] for part in found["parts"]} >= {"torch", "GPU", "C++ compiler"} and found["backends"]["eager"]
    assert all(bool(part["here"]) != bool(part["missing"]) for part in found["parts"])
