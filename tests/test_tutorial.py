"""The tutorial, block by block: its files are written, its Python runs and prints what it says, its commands too."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from bench.records import read_records
from kernels import RNN
from tests.command_line import bench
from tests.inline import Inline

__all__ = ["bench"]

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
FILES = {text.splitlines()[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "python" and text.startswith("# ")}
COMMANDS = [text.removeprefix("$ python -m bench ").split("\n", 1) for kind, text in BLOCKS if kind == "console"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """One with the tutorial's files, where its reader is."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_there_is():
    """Every block is one of those that the tests below take."""
    assert list(FILES) == ["my_cells.py", "wrong.py", "gated.py", "norms.py"] and len(COMMANDS) == 3
    kinds = "python console python text python text console python console python python python text"
    assert " ".join(kind for kind, _ in BLOCKS) == kinds


def test_python(folder, capsys):
    """In one namespace, one after another; what is printed is the block of text that follows."""
    namespace: dict[str, object] = {}
    for (kind, text), (after, printed) in itertools.pairwise(BLOCKS):
        if kind == "python" and text not in FILES.values():
            exec(compile(text, PAGE.name, "exec"), namespace)
            assert (after, printed) == ("text", capsys.readouterr().out)


@pytest.mark.parametrize(("command", "printed"), [c for c in COMMANDS if c[0].startswith("show")])
def test_what_is_shown(folder, bench, command, printed):
    """Line by line, in that order, but for what … leaves out."""
    code, out, err = bench(*shlex.split(command))
    assert code == (2 if "wrong.py" in command else 0)
    lines = iter(line.rstrip() for line in (out + err).replace(str(folder), "…").splitlines())
    for line in printed.splitlines():
        assert line == "…" or line in lines, line


@pytest.mark.full
def test_what_is_measured(folder, bench, monkeypatch):
    """The tables of the tutorial, at a quick size and in this process: their numbers are a machine's own."""
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    ((command, printed),) = [c for c in COMMANDS if c[0].startswith("all")]
    code, out, err = bench(*shlex.split(command), "--quick", "--seq-lens", "3", "--backends", "vendor,compiled,stepwise")
    assert code == 0, err
    headings = [line.split(",")[0] for line in printed.splitlines() if line.startswith(("Training", "Speedup", "Noise"))]
    assert len(headings) == 3 and all(line.split(":")[0] in out for line in headings)
    records = read_records(folder / "ran")
    assert {(r.case.cell, r.status) for r in records.cases if r.case.backend == "compiled"} == {("gru", "ok"), ("my_cells.py:ran", "ok")}
    assert {r.status for r in records.cases if r.case.backend == "stepwise"} == {"verified"}
    assert (folder / printed.splitlines()[-1].removeprefix("report: ")).exists()


def test_all_of_the_grammar(folder):
    layer = RNN("gated.py:gated", 3, 8)
    assert layer.weight_fh_l0.shape == (4, 2, 2) and layer.weight_scale_l0.shape == (1,) and (layer.bias_f_l0 == 1).all()
