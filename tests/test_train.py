"""`python -m bench train`: its options, its records and report, and how it goes on after an interruption."""

import pytest
import torch
from click.testing import CliRunner

from bench.errors import UsageError
from bench.records import read_records
from bench.studies.training.layer_check import WrongResult
from bench.studies.training.trainer import Training
from kernels import RNN
from tests.single_thread import one_thread

__all__ = ["one_thread"]


@pytest.fixture
def known_machine(monkeypatch):
    """Its rates aren't measured again for every run: that takes seconds."""
    from bench.measure import device_constants

    monkeypatch.setattr(device_constants, "measure_constants", lambda device: None)


def bench(*arguments: object):
    from bench import cli

    return CliRunner().invoke(cli.app, [*map(str, arguments)], catch_exceptions=True)


TINY = ("--cells", "minimal,gru", "--steps", "20", "--hidden", "4", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["addign"], "did you mean adding?"),
        (["adding", "--cells", "minmal"], "did you mean minimal?"),
        (["adding", "--seeds", "0"], "--seeds must be at least 1"),
        (["adding", "--equal", "width"], "no --equal is called 'width'"),
        (["adding", "--rates", "0.1,-1"], "--rates takes positive numbers"),
        (["adding", "--data", "x"], "are for recommend"),
        (["digits", "--seq-lens", "3"], "a length of their own"),
        (["recommend", "--data", "nowhere.dat"], "nowhere.dat can't be read"),
        (["recommend", "--data", "x", "--items", "500"], "of the click stream"),
        (["adding", "--budget", "5"], "--budget takes a time with its unit"),
        (["adding", "--clip", "0"], "--clip takes a positive norm or none"),
        (["adding", "--clip", "inf"], "--clip takes a positive norm or none"),
        (["adding", "--resume"], "name its folder with --out"),
    ],
)
def test_bad_input_is_one_line(arguments, says):
    caught = bench("train", *arguments).exception
    assert isinstance(caught, UsageError) and says in str(caught) and "\n" not in str(caught)


def test_the_verb_writes_records_and_a_report_and_goes_on(tmp_path, known_machine):
    out = tmp_path / "run"
    first = bench("train", "adding", *TINY, "--seq-lens", 6, "--out", out)
    assert first.exit_code == 0, first.exception
    assert "Adding, at equal hidden width" in first.stdout and "minimal H=4 seed 0" in first.stderr
    records = read_records(out)
    assert [r.trial.cell for r in records.training] == ["minimal", "gru"] and len(records.learned) == 2
    text = (out / "report.md").read_text()
    assert text.startswith("# Recurrent cells learn: adding")
    assert (
        "Task adding: The adding problem." in text
        and "best constant answer 0.1" in text
        and "## What drives a unit's update" in text
        and "python -m bench" in text
    )
    assert "2 trainings" in bench("report", out).stdout
    more = bench("train", "adding", *TINY, "--seq-lens", 6, "--seeds", 2, "--out", out, "--resume")
    assert more.exit_code == 0, more.exception
    again = read_records(out)
    assert len(again.training) == 4 and again.training[:2] == records.training
    other = bench("train", "adding", *TINY, "--seq-lens", 7, "--out", out, "--resume")
    assert isinstance(other.exception, UsageError) and "was measured with T 6, not 7" in str(other.exception)


class InOrder:
    """A generator for which every turn is in the order of the plan."""

    def permutation(self, count: int) -> range:
        return range(count)


@pytest.mark.full
def test_interrupted_it_says_how_to_go_on_and_does(tmp_path, known_machine, monkeypatch):
    out = tmp_path / "run"
    advance = Training.advance

    def interrupted(self: Training) -> None:
        if self.trial.cell == "gru":
            raise KeyboardInterrupt
        advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "advance", interrupted)
        patch.setattr("bench.studies.training.trainings.make_rng", lambda *numbers: InOrder())
        done = bench("train", "adding", *TINY, "--seq-lens", 6, "--out", out)
    assert done.exit_code == 130 and f"--out {out} --resume continues" in done.stderr and "interrupted: 2 records" in done.stderr
    assert [r.trial.cell for r in read_records(out).training] == ["minimal"] and (out / "report.md").exists()
    assert bench("train", "adding", *TINY, "--seq-lens", 6, "--out", out, "--resume").exit_code == 0
    assert [r.trial.cell for r in read_records(out).training] == ["minimal", "gru"]


def test_a_wrong_layer_is_said_and_the_others_are_trained(tmp_path, known_machine, monkeypatch):
    def checked(rnn: RNN, x: torch.Tensor) -> tuple[str, float]:
        if rnn.cell.name == "minimal":
            raise WrongResult("minimal is off")
        return "compiled", 1e-6

    monkeypatch.setattr("bench.studies.training.trainer.check_layer", checked)
    done = bench("train", "adding", *TINY, "--seq-lens", 6, "--out", tmp_path / "run")
    assert done.exit_code == 1 and "minimal is off\n" in done.stderr
    assert [r.trial.cell for r in read_records(tmp_path / "run").training] == ["gru"]


def test_the_verb_without_time_says_how_to_go_on(tmp_path, known_machine):
    done = bench("train", "adding", *TINY, "--seq-lens", 6, "--budget", "0.001s", "--out", tmp_path / "run")
    assert done.exit_code == 0 and "--resume continues" in done.stderr
    assert [r.end for r in read_records(tmp_path / "run").training] in ([], ["time"])
    assert "--resume continues" in done.stderr and (tmp_path / "run" / "records.jsonl").exists()


def test_a_cell_of_ones_own_is_trained(tmp_path, known_machine, monkeypatch):
    """Its checkpoint has a name without the path, which another path doesn't share."""
    monkeypatch.chdir(tmp_path)
    own = "from cells.grammar.functions import tanh\n\ndef mine(h, x, W, b):\n    return tanh(W.x(x) + W.h(h) + b.h)\n"
    (tmp_path / "sub").mkdir()
    for path in ("own.py", "sub/own.py"):
        (tmp_path / path).write_text(own)
    done = bench("train", "adding", *TINY[2:], "--cells", "own.py:mine,sub/own.py:mine", "--seq-lens", 6, "--out", "run")
    assert done.exit_code == 0, done.output
    assert {r.trial.cell for r in read_records(tmp_path / "run").training} == {"own.py:mine", "sub/own.py:mine"}
    assert len(list((tmp_path / "run" / "checkpoints").glob("mine-*-H4-seed0.pt"))) == 2
