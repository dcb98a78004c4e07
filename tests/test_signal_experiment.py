"""A study that ended too early, and goes on: nothing is lost, nothing is measured twice, and nothing else is mixed in."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench import cli
from bench.errors import UsageError
from bench.harness.run import RunOptions, run_experiment
from bench.harness.signal_experiment import SignalExperiment
from bench.records import read_records
from bench.studies.signals.chaos import ChaosSize
from bench.studies.signals.piece import Piece
from tests.records import gradient
from tests.sampling import in_full

CPU = {"device": "cpu", "seed": 0}
STUDIES = {
    "gradients": ("--cells", "lstm,minimal", "--seq-lens", "3,5", "--hidden", "2", "--batch", "1", "--dtype", "bfloat16"),
    "jacobian": ("--cells", "lstm,vanilla", "--seq-lens", "3", "--hidden", "2", "--seeds", "2"),
    "theory": ("--cells", "vanilla", "--hidden", "8", "--steps", "2"),
    "chaos": ("--quick", "--cells", "cfn,gru", "--seq-lens", "5", "--hidden", "2"),
}


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)


def measure(pieces: list[Piece], out: Path, **options: Any) -> None:
    run_experiment(SignalExperiment("gradients", pieces, CPU), RunOptions(out, **options))


def found(folder: Path) -> list[str]:
    """What was measured, record by record, but not when and by which command."""
    lines = (folder / "records.jsonl").read_text().splitlines()[1:]
    assert sum('"kind":"end"' in line for line in lines) == 1
    return [line for line in lines if '"kind":"end"' not in line]


@pytest.mark.parametrize("verb", [in_full("gradients"), "jacobian", "theory", in_full("chaos")])
def test_cut_off_anywhere_it_ends_as_if_it_had_not_been(verb, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.render.run_report.draw_plots", lambda *_: [])  # which takes a second
    monkeypatch.setattr("bench.studies.signals.chaos.PREVIEW", ChaosSize(1, 3, 20, 40, 9, 20))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert bench(verb, *STUDIES[verb], "--out", whole).exit_code == 0
    data = (whole / "records.jsonl").read_bytes()
    assert len(found(whole)) > 2
    first, second = data.index(b"\n") + 1, data.index(b"\n", data.index(b"\n") + 1) + 1
    for size in (0, 40, first, second - 2, second - 1, second, len(data) - 2, len(data)):
        cut.mkdir()
        (cut / "records.jsonl").write_bytes(data[:size])
        done = bench(verb, *STUDIES[verb], "--out", cut, "--resume")
        assert done.exit_code == 0, done.output
        assert found(cut) == found(whole)
        assert ("cut short" in done.stderr) == (size in (40, second - 2, len(data) - 2))
        assert [p.name for p in sorted(cut.iterdir())] == [p.name for p in sorted(whole.iterdir())]
        shutil.rmtree(cut)


def test_interrupted_it_says_how_to_go_on(tmp_path, capsys):
    def stopped():
        raise KeyboardInterrupt

    pieces = [("one", lambda: gradient("lstm", 4)), ("two", stopped), ("three", lambda: gradient("gru", 4))]
    with pytest.raises(SystemExit) as stop:
        measure(pieces, tmp_path / "run")
    assert stop.value.code == 130 and [r.cell for r in read_records(tmp_path / "run").gradients] == ["lstm"]
    assert "interrupted: 1 records are in" in capsys.readouterr().err and (tmp_path / "run" / "report.md").exists()
    asked = []
    pieces = [("one", lambda: asked.append(1)), ("two", lambda: gradient("cfn", 4)), ("three", lambda: gradient("gru", 4))]
    measure(pieces, tmp_path / "run", resume=True)
    assert [r.cell for r in read_records(tmp_path / "run").gradients] == ["lstm", "cfn", "gru"] and not asked


def test_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    """Interrupted while it reads the machine there is no run; out of time at once there is one, and no report of nothing."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    pieces = [("one", lambda: gradient("lstm", 4))]
    measure(pieces, tmp_path / "late", budget=-1.0)
    assert "left out for lack of time, 1 of 1 pieces" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "late").iterdir()] == ["records.jsonl"]
    measure(pieces, tmp_path / "late", resume=True)
    assert len(read_records(tmp_path / "late").gradients) == 1
    monkeypatch.setattr("bench.measure.environment.read_environment", stopped)
    with pytest.raises(SystemExit) as stop:
        measure(pieces, tmp_path / "run")
    assert stop.value.code == 130 and "nothing was measured yet" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_out_of_memory_it_keeps_what_is_finished(tmp_path, capsys):
    def large():
        raise MemoryError("Unable to allocate 1 EiB")

    def wrong():
        raise RuntimeError("a fault of ours")

    pieces = [("one", lambda: gradient("lstm", 4)), ("two", large)]
    with pytest.raises(SystemExit) as stop:
        measure(pieces, tmp_path / "run")
    assert stop.value.code == 1 and len(read_records(tmp_path / "run").gradients) == 1
    assert "two: out of memory (Unable to allocate 1 EiB): 1 records are in" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a fault of ours"):
        measure([("one", wrong)], tmp_path / "wrong")


def test_another_study_is_not_gone_on_with(tmp_path):
    out = tmp_path / "run"
    assert bench("theory", "--cells", "vanilla", "--hidden", 8, "--steps", 2, "--budget", "0.001s", "--out", out).exit_code == 0
    before = (out / "records.jsonl").read_bytes()
    for other in (("theory", "--cells", "vanilla", "--hidden", 9, "--steps", 2), ("jacobian", "--cells", "vanilla", "--seq-lens", 3)):
        with pytest.raises(UsageError, match="was measured with"):
            bench(*other, "--out", out, "--resume")
    with pytest.raises(UsageError, match=r"exists already.*--resume continues"):
        bench("theory", "--cells", "vanilla", "--hidden", 8, "--steps", 2, "--out", out)
    assert (out / "records.jsonl").read_bytes() == before
