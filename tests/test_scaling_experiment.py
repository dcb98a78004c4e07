"""Training on two ranks: the gradients of one, the records of all, and what a rank that dies leaves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.records import RecordError, ScaleRecord, read_records
from bench.records.tolerance import DATA_PARALLEL
from bench.render import scaling_report
from bench.studies.scaling import data_parallel_step
from bench.studies.scaling.ranks import rank_counts
from tests.tolerances import TOLERANCE

ROOT = Path(__file__).parents[1]
SMALL = ("scale", "--cells", "minimal", "--seq-lens", "5", "--batch", "6", "--hidden", "7")


def torchrun(*arguments: object, ranks: int = 2, program: tuple[str, ...] = ("-m", "bench")) -> "subprocess.CompletedProcess[str]":
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*launch, *program, *map(str, arguments)], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.full
def test_two_ranks(tmp_path):
    """As one process with the whole batch, both ways, and a report."""
    done = torchrun(*SMALL, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    found = read_records(tmp_path / "run").scale
    assert [(r.scaling, r.ranks, r.B) for r in found] == [("strong", 1, 6), ("strong", 2, 3), ("weak", 1, 6), ("weak", 2, 6)]
    for record in found:
        assert record.status == "ok" and len(record.step) == len(record.alone) >= data_parallel_step.FEWEST and min(record.step) > 0
        assert record.gradient_error <= TOLERANCE["two ways", torch.float32] and record.loss_error <= TOLERANCE["two ways", torch.float32]
    report = (tmp_path / "run" / "report.md").read_text()
    assert "## Data-parallel training" in report and "torchrun --nproc-per-node 2 -m bench scale" in report
    assert (tmp_path / "run" / "scale.svg").exists()


@pytest.mark.soak
def test_a_rank_that_dies(tmp_path):
    """Its end is told with the case, and what was measured before is kept."""
    done = torchrun(*SMALL, "--out", tmp_path / "run", program=("-m", "tests.dying"))
    assert done.returncode != 0
    assert "minimal weak on 2 of 2 ranks" in done.stderr and "what was measured before is kept" in done.stderr
    assert [(r.scaling, r.ranks) for r in read_records(tmp_path / "run").scale] == [("strong", 1), ("strong", 2), ("weak", 1)]


@pytest.mark.soak
def test_uneven(tmp_path):
    odd = ["5" if word == "6" else word for word in SMALL]
    done = torchrun(*odd, "--out", tmp_path / "run")
    assert done.returncode != 0 and "--batch 5 can't be shared by 2 ranks evenly: take a multiple of 2" in done.stderr


def test_without_torchrun():
    done = subprocess.run([sys.executable, "-m", "bench", "scale"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.splitlines() == [
        "bench: bench scale is started by torchrun: torchrun --nproc-per-node 2 -m bench scale"
    ]


@pytest.mark.parametrize(("world", "tried"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_counts(world, tried):
    assert rank_counts(world) == tried


def test_wrong_gradients_are_seen():
    """The distance that the gate judges by is one of gradients, not of what is common to all."""
    work = data_parallel_step.ScalingCase("minimal", 4, 3, 5, 5)
    x, y = work.batch("strong", 1)
    right = data_parallel_step.descend(work.model(torch.device("cpu")), x, y)
    wrong = data_parallel_step.descend(work.model(torch.device("cpu")), x, y * 1.001)
    assert max(data_parallel_step.gate.compute_error(a, b) for a, b in zip(wrong[1], right[1], strict=True)) > DATA_PARALLEL
    assert isinstance(work.model(torch.device("cpu")), nn.Module)


def record(ranks: int, seconds: float, B: int = 8, **known: object) -> ScaleRecord:
    given = {"cell": "gru", "scaling": "strong", "T": 4, "D": 3, "H": 3, "exchange": "gloo", "threads": 1, "status": "ok"}
    times = {"step": [seconds] * 9, "alone": [seconds * 0.75] * 9}
    return ScaleRecord.model_validate(given | times | {"ranks": ranks, "B": B} | known)


def test_efficiency():
    """Half the batch each in half the time is all of it; a quarter of a step is the exchange."""
    one, two, weak = record(1, 1.0), record(2, 0.5, B=4), record(2, 1.25, scaling="weak")
    assert scaling_report.find_efficiency(two, [one, two]).value == pytest.approx(1.0)
    assert scaling_report.find_efficiency(weak, [record(1, 1.0, scaling="weak"), weak]).value == pytest.approx(0.8)
    assert scaling_report.find_efficiency(two, [two]) is None
    assert 0.25 in scaling_report.make_row(two, [one, two])
    assert "incorrect" in scaling_report.make_row(record(2, 1.0, status="incorrect", step=[], alone=[]), [one])


def test_a_line_that_is_none(tmp_path):
    (tmp_path / "records.jsonl").write_text('{"kind": "scale"}\n')
    with pytest.raises(RecordError):
        read_records(tmp_path)
