"""The commands that study signals, on small sizes: what they write, what their reports say, and what they refuse."""

import math
import re

import pytest

from bench import cli
from bench.errors import UsageError
from bench.records import DecayRecord, JacobianRecord, Spectrum, TheoryRecord, read_records, write_record
from bench.render import run_report
from bench.studies.signals.chaos import ChaosSize
from bench.studies.training import trained_start
from tests.command_line import stdout
from tests.records import RUN


def test_gradients(tmp_path):
    out = tmp_path / "run"
    printed = stdout("gradients", "--cells", "minimal", "--init", "default,critical", "--seq-lens", "5,70", "--hidden", 4,
                     "--batch", 2, "--seeds", 2, "--dtype", "float32,bfloat16", "--out", out)  # fmt: skip
    found = read_records(out).gradients
    assert len(found) == 2 * 2 * 2 * 2 and {r.init for r in found} == {"default", "critical"}
    assert all(r.lags[0] == 0 and r.lags[-1] == r.T and len(r.by_lag) == len(r.errors) == len(r.lags) for r in found)
    exact = [r.errors[1] for r in found if r.dtype == "float32"]
    rough = [r.errors[1] for r in found if r.dtype == "bfloat16"]
    assert max(exact) < 1e-5 and min(rough) > 1e-4 and max(rough) < 0.2
    assert "Gradient norms" in printed and " ± " in printed and "Error against float64" in printed
    text = (out / "report.md").read_text()
    assert "Nothing was timed" not in text and "gradients.svg" in text and "## Reproduce this run" in text
    assert sorted(path.name for path in out.iterdir()) == ["gradients.svg", "records.jsonl", "report.md", "tables"]


def test_jacobian_theory_and_chaos(tmp_path, monkeypatch):
    printed = stdout("jacobian", "--cells", "vanilla,vanilla_relu", "--seq-lens", 6, "--hidden", 3, "--seeds", 2, "--out", tmp_path / "j")
    assert re.search("vanilla +critical", printed) and not re.search("vanilla_relu +critical", printed)
    printed = stdout("theory", "--cells", "vanilla", "--hidden", 32, "--steps", 4, "--out", tmp_path / "t")
    assert len(read_records(tmp_path / "t").theory) == 3 and "Mean-field theory" in printed
    monkeypatch.setattr("bench.studies.signals.chaos.PREVIEW", ChaosSize(1, 3, 20, 40, 9, 20))
    printed = stdout(
        "chaos", "--quick", "--cells", "cfn,vanilla_relu", "--init", "normal:9", "--seq-lens", 600, "--hidden", 4, "--out", tmp_path / "c"
    )
    found = read_records(tmp_path / "c")
    assert [m.name for m in found.maps] == ["LSTM map", "GRU map"] and [d.cell for d in found.decays] == ["cfn", "vanilla_relu"]
    assert "Chaotic maps" in printed and "Without input" in printed
    drawn = {path.name for folder in "jtc" for path in (tmp_path / folder).glob("*.svg")}
    assert drawn == {"jacobians.svg", "theory.svg", "attractors.svg", "silence.svg"}


def test_parallel(tmp_path, monkeypatch):
    monkeypatch.setitem(trained_start.TASKS, "adding", {"T": 4, "B": 2, "steps": 2})
    printed = stdout(
        "parallel",
        "--cells",
        "sru,gru",
        "--init",
        "default,trained:adding",
        "--seq-lens",
        "4,6",
        "--hidden",
        3,
        "--seeds",
        1,
        "--scales",
        "1,2",
        "--out",
        tmp_path / "p",
    )
    found = read_records(tmp_path / "p").parallel
    assert [(r.cell, r.init, r.scale, r.T) for r in found] == [
        ("sru", "default", 1, 4),
        ("sru", "default", 1, 6),
        ("gru", "default", 1, 4),
        ("gru", "default", 1, 6),
        ("gru", "default", 2, 4),
        ("gru", "default", 2, 6),
        ("gru", "trained:adding", 1, 4),
        ("gru", "trained:adding", 1, 6),
    ]
    assert [r.chi is not None for r in found] == [False] * 2 + [True] * 4 + [False] * 2 and {r.D for r in found} == {2, 3}
    assert all(bool(r.full) == (r.T == 4) for r in found) and "Time in parallel" in printed
    assert (tmp_path / "p" / "parallel.svg").is_file()


@pytest.mark.full
def test_a_report_is_rendered_again_to_the_same_bytes(tmp_path):
    stdout("chaos", "--quick", "--cells", "cfn", "--init", "default", "--seq-lens", 9, "--hidden", 2, "--out", tmp_path / "c")
    before = {path: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")}
    run_report.write_report(tmp_path / "c", read_records(tmp_path / "c"))
    assert {path: path.read_bytes() for path in (tmp_path / "c").rglob("*.*")} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gradients", "--cells", "lstmm"), "did you mean lstm"),
        (("gradients", "--init", "critcal"), "no initialisation of"),
        (("parallel", "--scales", "1,0"), "'1,0' are no positive numbers"),
        (("parallel", "--cells", "sru", "--init", "trained:adding"), "--init trained:adding: sru has no such start"),
        (("parallel", "--cells", "wave"), "--cells wave: the schedule newton solves for units that read themselves"),
        (("gradients", "--init", ","), "names no initialisation"),
        (("gradients", "--cells", "vanilla_relu", "--init", "critical"), "no initialisation of vanilla_relu"),
        (("gradients", "--seeds", "0"), "at least 1"),
        (("gradients", "--checkpoint", "nowhere.pt"), "say which with --cells"),
        (("gradients", "--checkpoint", "nowhere.pt", "--cells", "gru"), "can't be read"),
        (("chaos", "--checkpoint", "nowhere.pt", "--cells", "gru,lstm"), "say which with --cells"),
        (("jacobian", "--checkpoint", "nowhere.pt", "--cells", "gru", "--init", "default"), "leave out --init"),
        (("theory", "--resume"), "name its folder with --out"),
        (("jacobian", "--budget", "5"), "takes a time with its unit"),
        (("jacobian", "--init", "normal:x"), "normal:1.5"),
        (("chaos", "--init", "default,orthogonal:nan"), "no initialisation of"),
        (("gradients", "--init", "normal:-1"), "no initialisation of"),
        (("jacobian", "--dtype", "int8"), "no dtype is called"),
        (("jacobian", "--cells", "lstm,slstm", "--hidden", "9"), "the heads of slstm share the units: take --hidden 12, not 9"),
        (("gradients", "--cells", "slstm", "--hidden", "2"), "take --hidden 4"),
        (("theory", "--cells", "mgu"), "no mean-field theory of mgu"),
        (("chaos", "--seq-lens", "1"), "at least 2"),
    ],
)
def test_faults_are_one_line(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    err = capsys.readouterr().err
    assert stop.value.code == 2 and said in err and len(err.splitlines()) == 1
    assert not list(tmp_path.rglob("records.jsonl"))


def test_initialisations_are_those_of_the_cells_that_have_them(tmp_path):
    """--init chrono is janet's, and of the other cells it is left out."""
    stdout("jacobian", "--cells", "janet,gru,qrnn", "--init", "default,chrono", "--seq-lens", 5, "--hidden", 3, "--seeds", 1,
           "--out", tmp_path / "j")  # fmt: skip
    found = {(r.cell, r.init) for r in read_records(tmp_path / "j").jacobians}
    assert found == {("janet", "default"), ("janet", "chrono"), ("gru", "default"), ("qrnn", "default")}


def test_every_kind_survives_its_file(tmp_path):
    spectrum = Spectrum(values=[[1.0], []], mean_square=[1.0, math.inf])
    one = Spectrum(mean_square=[1.0])
    lines = [
        JacobianRecord(cell="gru", T=2, D=1, H=1, dtype="float64", seed=0, init="default", backend="eager", lags=[0, 2],
                       state=spectrum, input=one),
        TheoryRecord(cell="gru", w=1, v=1, mu=0, phi=1, N=8, seed=0, q=1, Q=0.5, chi=1.5, xi=math.inf, untied=[0.1, 0.2]),
        DecayRecord(cell="gru", init="default", T=2, B=2, H=1, seed=0, exponent=[-math.inf], times=[0], norm=[1.0], distance=[1.0]),
    ]  # fmt: skip
    with (tmp_path / "records.jsonl").open("ab", buffering=0) as stream:
        for line in (RUN, *lines):
            write_record(stream, line)
    found = read_records(tmp_path)
    assert [*found.jacobians, *found.theory, *found.decays] == lines
    text = run_report.render_report(found, [])
    assert "−∞" in text and "infinite" in text and "not finite" not in text.split("## Mean-field")[1].split("## Without")[0]


OWN = """
from cells.grammar.functions import tanh

def mine(h, x, W, b):
    return tanh(W.x(x) + W.h(h) + b.h)
"""


@pytest.mark.parametrize("verb", ["gradients", "jacobian", "chaos"])
def test_a_cell_of_ones_own(verb, tmp_path, monkeypatch):
    """It is named as on the command line: two files may have functions of one name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.studies.signals.chaos.PREVIEW", ChaosSize(1, 3, 20, 40, 9, 20))
    (tmp_path / "own.py").write_text(OWN)
    options = ("--quick",) if verb == "chaos" else ("--seeds", 1)
    printed = stdout(verb, "--cells", "own.py:mine,cfn", "--init", "default", "--seq-lens", 5, "--hidden", 3, "--out", "run", *options)
    found = read_records(tmp_path / "run")
    assert {r.cell for r in (*found.gradients, *found.jacobians, *found.decays)} == {"own.py:mine", "cfn"} and "own.py:mine" in printed


def test_a_theory_is_left_out_where_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    stdout("theory", "--cells", "own.py:mine,vanilla", "--hidden", 8, "--steps", 2, "--out", "run")
    assert {r.cell for r in read_records(tmp_path / "run").theory} == {"vanilla"}
    with pytest.raises(UsageError, match=r"no mean-field theory of own\.py:mine: .*bench jacobian --cells own\.py:mine"):
        stdout("theory", "--cells", "own.py:mine")
