"""Call 2 of a campaign follows from what call 1 left in the folder."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.harness import campaign, second_call
from bench.harness.campaign import OVERDUE, SMOKE, Outcome, select_steps
from kernels.layer import measured_layers
from kernels.schedules.persistent import tuning
from kernels.schedules.persistent.tiling import H100, Tiles
from kernels.schedules.persistent.tuning import TuningEntry

HERE = ("c0ffee", False)
LAYERS = tuning.FOLDER / "nvidia-h200.layers.json"
A, B, C, D = (f"tests/test_gpu.py::test_{name}" for name in ("a[x]", "b[(5, 3)]", "c", "d[on one stream]"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose call 1 went well in all steps."""
    ended(tmp_path, {})
    measured(tmp_path / "headline", {})
    return tmp_path


def ended(folder: Path, otherwise: dict[str, int | None], *absent: str) -> None:
    """Write how the steps of call 1 ended: well, or otherwise."""
    (folder / campaign.OUTCOMES).unlink(missing_ok=True)
    for step in select_steps(1):
        if step.name not in absent:
            campaign.write_outcome(folder, Outcome(step.name, 1, otherwise.get(step.name, 0), 1.0))


def measured(folder: Path, status: dict[str, str], commit: str = "c0ffee") -> None:
    """Write a run's records, with the status of a case by its cell."""
    folder.mkdir(exist_ok=True)
    run = {"kind": "run", "environment": {"commit": commit, "dirty": False}}
    cases = [{"kind": "case", "case": {"cell": c, "backend": "persistent", "T": 3}, "status": s} for c, s in status.items()]
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (run, *cases)) + '{"kind": "ca')


def names(folder: Path) -> list[str]:
    return [step.name for step in second_call.choose_steps(folder, HERE)]


USUAL = [step.name for step in select_steps(2)]


def test_without_a_call_1_it_is_what_everyone_gets(tmp_path):
    assert second_call.choose_steps(tmp_path, HERE) == list(select_steps(2))


def test_after_a_call_that_went_well_too(folder):
    assert names(folder) == USUAL


def test_failed_tests_come_first_and_then_those_that_never_ended(folder):
    lines = [C, f"{A} ", f"[gw0] [ 10%] PASSED {A} ", f"{B} ", f"[gw11] [100%] FAILED {B} ", D, f"FAILED {B} - AssertionError"]
    (folder / "smoke.log").write_text("\n".join(lines))
    step = second_call.choose_steps(folder, HERE)[0]
    assert (step.name, step.arguments[-3:]) == ("failed tests", (B, C, D)) and A not in step.arguments
    (folder / "failed-tests.log").write_text("\n".join(f"[gw0] [ 50%] PASSED {name} " for name in (B, C, D)))
    assert names(folder) == USUAL


def test_steps_that_did_not_end_go_on_after_the_smoke_tests(folder):
    ended(folder, {"tests": OVERDUE, "doctor": 2}, "tilings")
    (folder / "tests.log").write_text(f"[gw0] [  1%] PASSED {A}\n[gw0] [  1%] SKIPPED {C}\n")
    found = second_call.choose_steps(folder, HERE)
    assert [step.name for step in found] == ["smoke again", "doctor", "tilings", "tests", *USUAL[1:]]
    assert found[3].arguments[-4:] == ("--deselect", A, "--deselect", C)


def test_smoke_tests_that_did_not_end_run_once(folder):
    ended(folder, {"smoke": OVERDUE})
    assert names(folder) == USUAL and second_call.choose_steps(folder, HERE)[0].arguments == SMOKE


def test_tests_that_failed_ended(folder):
    ended(folder, {"tests": 1})
    assert names(folder) == USUAL


def test_cases_without_a_time_come_before_others(folder):
    measured(folder / "headline", {"lstm": "ok", "gru": "skipped"})
    assert names(folder) == ["smoke again", "headline", "layers", *USUAL[1:]]


def test_cases_that_failed_are_measured_again_beside_cudnn(folder):
    measured(folder / "headline", {"lstm": "incorrect", "gru": "ok", "vanilla": "crashed"})
    step = next(step for step in second_call.choose_steps(folder, HERE) if step.name == "failed cases")
    assert names(folder).index("failed cases") == 1
    assert {"{folder}/again-1", "lstm,vanilla", "vendor,persistent"} <= set(step.arguments)


def test_other_sources_measure_into_another_folder(folder):
    measured(folder / "headline", {}, commit="beef")
    places = {second_call.result_folder(step) for step in second_call.choose_steps(folder, HERE)}
    assert "headline-2" in places and "headline" not in places and "full" in places


def entry(B: int) -> TuningEntry:
    return TuningEntry(
        cell="lstm", step="0", direction="forward", B=B, H=64, dtype="float16", tf32=False, schedule="persistent",
        tiles=Tiles(16, 16, 64, 4), seconds=B * 1e-6, tried=2, torch="", triton="",
    )  # fmt: skip


def test_what_the_tables_lack_is_added(tmp_path, monkeypatch):
    """Entries that were tuned here stay."""
    monkeypatch.setattr(tuning, "FOLDER", tmp_path / "tuned")
    tuning.load_table.cache_clear()
    tuning.add_entry(H100, entry(1))
    other = asdict(entry(1)) | {"seconds": 7.0}
    (tmp_path / f"{H100.name}.json").write_text(json.dumps([other, asdict(entry(2))]))
    (tmp_path / "nvidia-new.json").write_text(json.dumps([other]))
    assert second_call.add_tables(tmp_path) == 2 and second_call.add_tables(tmp_path) == 0
    assert [e.seconds for e in tuning.read_table(tuning.table_path(H100))] == [1e-6, 2e-6]
    assert len(tuning.read_table(tmp_path / "tuned" / "nvidia-new.json")) == 1
    tuning.load_table.cache_clear()


def test_layers_that_were_not_measured_here_are_added(tmp_path, monkeypatch):
    """Call 1 copies a table of whole layers into the folder, beside that of tile configurations."""
    monkeypatch.setattr(tuning, "FOLDER", tmp_path / "tuned")
    layers = [replace(layer, source="elsewhere") for layer in tuning.read_entries(LAYERS, measured_layers.MeasuredLayer)[:2]]
    tuning.write_entries(tmp_path / LAYERS.name, layers)
    measured_layers.load_table.cache_clear()
    measured_layers.add_layers("nvidia-h200", [replace(layers[0], source="here")])
    assert second_call.add_tables(tmp_path) == 1 and second_call.add_tables(tmp_path) == 0
    assert [layer.source for layer in tuning.read_entries(tmp_path / "tuned" / LAYERS.name, measured_layers.MeasuredLayer)] == [
        "here",
        "elsewhere",
    ]
    measured_layers.load_table.cache_clear()
