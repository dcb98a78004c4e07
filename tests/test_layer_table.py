"""Whole layers in a run's records, and the command that keeps them: `bench tune --layers`."""

from dataclasses import replace
from pathlib import Path

import pytest

import cells
from bench.harness import layer_table as runs
from bench.records import Case, CaseRecord, Reading, Records
from bench.records.case_record import HEAD_START_CYCLES
from kernels.derive.plan import plan
from kernels.layer import measured_layers
from kernels.layer.measured_layers import MeasuredLayer
from kernels.schedules.persistent import tuning
from tests.command_line import bench
from tests.records import ENVIRONMENT, RUN, WORK, lines, timed
from tests.test_measured_layers import TABLES, folder, measured

__all__ = ["bench", "folder"]
ROOT = Path(__file__).parents[1]
CLOCK = 2e9


def record(backend: str, taken: float, host: float = 1e-4, numerics: object = WORK, **changes: object) -> CaseRecord:
    given = {"cell": "lstm", "mode": "training", "T": 64, "B": 16, "D": 128, "H": 32, "dtype": "float16", "precision": "ieee"}
    case = Case.model_validate({**given, "backend": backend, **changes})
    return timed(case, *[taken] * 9, host=[host] * 9, readings=[Reading(clock=CLOCK)] * 9, numerics=numerics)


def gpu(*cases: CaseRecord, started: str = "2026-03-01T12:00:00Z", **environment: object) -> Records:
    here = ENVIRONMENT.model_copy(update={"device": "NVIDIA H200", "device_kind": "cuda", **environment})
    return Records(run=RUN.model_copy(update={"environment": here, "started": started}), cases=list(cases), gradients=[])


def test_what_records_say_of_layers():
    """The fastest of ours beside torch's, in both modes; nothing of what isn't a whole layer of a cell of torch's, on both sides."""
    slow, fast, theirs = record("stepwise", 3e-3), record("persistent", 2e-3), record("vendor", 1e-3)
    (found,) = runs.find_layers(gpu(slow, fast, theirs), "a-run")
    assert found == replace(measured(), dtype="float16", torch=ENVIRONMENT.torch, triton=ENVIRONMENT.triton)
    others = [
        {"mode": "backward"}, {"input_product": False}, {"aa_repeat": True}, {"matched_params_of": "minimal"}, {"cell": "minimal"},
        {"cell": "mine.py:lstm"},
    ]  # fmt: skip
    for other in others:
        assert not list(runs.find_layers(gpu(record("persistent", 2e-3, **other), record("vendor", 1e-3, **other)), "a-run")), other
    for mode in ("training", "inference"):
        (found,) = runs.find_layers(gpu(record("persistent", 2e-3, mode=mode), record("vendor", 1e-3, mode=mode)), "a-run")
        assert found.mode == mode
    unlike = record("persistent", 2e-3, numerics=WORK.model_copy(update={"tf32_recurrent": True}))
    failed = fast.model_copy(update={"status": "incorrect"})
    for without in (
        (theirs,),
        (fast,),
        (unlike, theirs),
        (failed, theirs),
        (record("resident-low", 2e-3), theirs),
        (record("eager", 2e-3), theirs),
    ):
        assert not list(runs.find_layers(gpu(*without), "a-run"))


RIVALS = {"minimal": ("persistent", "stepwise"), "mingru": ("scan",)}


@pytest.mark.parametrize("name", RIVALS)
def test_what_records_say_of_newton(name):
    """It counts where all that "auto" takes otherwise was timed beside it, and none of that is longer for the host's sake."""
    rivals = [record(rival, 2e-3 + k / 1e3, cell=name) for k, rival in enumerate(RIVALS[name])]
    for taken, fastest in ((1e-3, "newton"), (3e-3, rivals[0].case.backend)):
        (found,) = runs.find_layers(gpu(*rivals, record("newton", taken, cell=name)), "a-run")
        assert (found.fastest, found.theirs, found.cell) == (fastest, None, name)
    alone = record("newton", 1e-3, cell=name)
    hosted = record(rivals[0].case.backend, 3.5e-2, host=HEAD_START_CYCLES / CLOCK + 3.4e-2, cell=name)
    for others in ((), rivals[1:], (*rivals[1:], hosted)):
        assert not [found for found in runs.find_layers(gpu(alone, *others), "a-run") if found.schedule == "newton"]
    assert not list(runs.find_layers(gpu(*rivals), "a-run"))


def test_newton_beside_torch():
    """A cell that torch has is stored with torch's time alone, as the fastest of all."""
    ours = [record("persistent", 2e-3), record("stepwise", 2e-3), record("newton", 1e-3)]
    assert not list(runs.find_layers(gpu(*ours), "a-run"))
    for taken, fastest in ((5e-4, "torch"), (15e-4, "newton")):
        (found,) = runs.find_layers(gpu(*ours, record("vendor", taken)), "a-run")
        assert found.fastest == fastest


@pytest.mark.parametrize("ours, known", [(2e-2, False), (3.5e-2, False), (4e-2, True)])
def test_a_host_is_no_evidence_against_torch(ours, known):
    """A time that the host set may be less on a GPU: nothing is known, unless torch was faster even so."""
    theirs = record("vendor", 3.5e-2, host=HEAD_START_CYCLES / CLOCK + 3.4e-2)
    found = list(runs.find_layers(gpu(record("persistent", ours), theirs), "a-run"))
    assert [layer.theirs < layer.ours for layer in found] == [True] * known


def test_the_command(bench, tmp_path, folder):
    """The latest of several runs counts, in whichever order they are named; what it wrote is what `auto` reads."""
    for name, taken, started in (("first", 1e-3, "2026-03-01T12:00:00Z"), ("second", 3e-3, "2026-03-02T12:00:00Z")):
        (tmp_path / name).mkdir()
        found = gpu(record("persistent", 2e-3), record("vendor", taken), started=started)
        (tmp_path / name / "records.jsonl").write_text(lines(found))
    given = ("--layers", tmp_path / "second", "--layers", tmp_path / "first" / "records.jsonl", "--out", tmp_path / "out")
    code, out, err = bench("tune", *given)
    assert (code, out) == (0, "") and "1 layers into" in err and "of which torch ran 1 faster" in err
    (layer,) = tuning.read_entries(folder / "nvidia-h200.layers.json", MeasuredLayer)
    assert (layer.source, layer.theirs) == ("second", 3e-3)
    assert (tmp_path / "out" / "nvidia-h200.layers.json").read_bytes() == (folder / "nvidia-h200.layers.json").read_bytes()


def test_a_run_on_a_cpu_is_one_line(bench, tmp_path, folder):
    (tmp_path / "records.jsonl").write_text(lines(gpu(record("persistent", 2e-3), record("vendor", 1e-3), device_kind="cpu")))
    code, out, err = bench("tune", "--layers", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1) and "it ran on a CPU" in err and not folder.exists()
    code, out, err = bench("tune", "--layers", tmp_path / "none")
    assert (code, out, err.count("\n")) == (2, "", 1) and "can't be read" in err


def test_the_table_of_the_h200_is_what_its_runs_say():
    """Written again from the published records, byte by byte; it is of the equations as they are."""
    published = [ROOT / "reports" / f"2026-11-28-nvidia-h200-{name}" for name in ("headline", "first-contact", "deepbench")]
    assert len(list(runs.store_layers(published))) == 3
    written = measured_layers.table_path("nvidia-h200").read_bytes()
    kept = TABLES / measured_layers.table_path("nvidia-h200").name
    assert written == kept.read_bytes()
    known = tuning.read_entries(kept, MeasuredLayer)
    assert {layer.step for layer in known} <= {tuning.fingerprint(plan(cells.load(layer.cell))) for layer in known}
