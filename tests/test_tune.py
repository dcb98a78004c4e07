"""Tuning on a CPU: stand-ins for the GPU, the interpreter for the kernels, and real tables."""

import contextlib
import json
from concurrent.futures import Future

import pytest
import torch

from bench.harness import tune
from bench.harness.suites import GPU_SUITES, SUITES
from bench.harness.tune import PassKey
from kernels.schedules.persistent import persistent, tuning
from kernels.schedules.persistent.tiling import H100, Tiles

pytest.importorskip("triton")

WORK = [PassKey(cell, direction, 3, 17, "float32") for cell in ("minimal", "gru_reset_before") for direction in ("forward", "backward")]
CUTS = (Tiles(16, 32, 16, 4), Tiles(16, 32, 32, 4, True), Tiles(16, 32, 16, 8, False, 2))


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU that the interpreter stands in for, with three cuts for every pass, and an empty table."""
    monkeypatch.setattr(tuning, "FOLDER", tmp_path)
    monkeypatch.setattr(tune, "T", 3)
    monkeypatch.setattr(tune, "current_gpu", lambda: (torch.device("cpu"), H100, 90))
    monkeypatch.setattr(tune, "rank_tilings", lambda work, chip: CUTS)
    monkeypatch.setattr(tune, "make_pool", lambda processes: contextlib.nullcontext(Pool()))
    for cached in (tuning.load_table, tuning.order_tilings, tuning.persistent_or_stepwise):
        cached.cache_clear()
    yield tmp_path
    for cached in (tuning.load_table, tuning.order_tilings, tuning.persistent_or_stepwise):
        cached.cache_clear()


class Pool:
    """Says of every kernel that it spills nothing, but for one cut."""

    spills = CUTS[2]

    def submit(self, call: object, name: PassKey, tiles: Tiles, capability: int) -> Future:
        done: Future = Future()
        done.set_result(8 if tiles == self.spills else 0)
        return done


def entries() -> list[tuning.TuningEntry]:
    return [e for found in tuning.load_table(H100).values() for e in found.values()]


def test_every_pass_gets_its_fastest_cut_and_stepwise(gpu):
    said: list[str] = []
    tune.tune_passes(60, said.append, WORK[1:3])
    assert len(entries()) == 4 and len(said) == 3
    for entry in entries():
        assert 0 < entry.seconds < 10 and entry.tried == 2, said
        assert entry.tiles in CUTS[:2] if entry.schedule == "persistent" else entry.tiles is None
    assert all("1 excluded: ValueError" in line and "spills 8 bytes" in line for line in said[1:])


def test_kernels_that_are_never_compiled_take_no_more_than_the_budget(gpu, monkeypatch):
    monkeypatch.setattr(Pool, "submit", lambda *work: Future())
    said: list[str] = []
    tune.tune_passes(0.1, said.append, WORK)
    assert "the budget is spent: 4 passes are left out" in said[-1] and not entries()


@pytest.mark.full
def test_it_goes_on_where_it_stopped(gpu):
    said: list[str] = []
    tune.tune_passes(0, said.append, WORK)
    assert not entries() and "4 passes are left out" in said[-1]
    tune.tune_pass(WORK[0], tune.submit_compilations(Pool(), WORK[0], H100, 90, 16), torch.device("cpu"), H100)
    tune.tune_passes(60, said.append, WORK)
    assert "3 passes to tune" in said[2] and len(entries()) == 2 * len(WORK)


@pytest.mark.parametrize("fault", ["wrong", "raises"])
def test_a_cut_that_is_wrong_is_out(gpu, monkeypatch, fault):
    """Off in one number, or with an error: it has no time, and the rest has."""
    run = persistent.forward

    def broken(loop, tiles):
        found = run(loop, tiles=tiles)
        if tiles == CUTS[0] and fault == "raises":
            raise RuntimeError("no such kernel")
        found.history[0][-1, 0, 0] += 0.1 * (tiles == CUTS[0])
        return found

    monkeypatch.setattr(persistent, "forward", broken)
    said, _ = tune.tune_pass(WORK[0], tune.submit_compilations(Pool(), WORK[0], H100, 90, 16), torch.device("cpu"), H100)
    assert "2 excluded" in said
    assert {e.tiles for e in entries() if e.schedule == "persistent"} == {CUTS[1]}


def test_no_cut_that_runs_is_no_cut(gpu, monkeypatch):
    monkeypatch.setattr(tune, "rank_tilings", lambda work, chip: CUTS[2:])
    said, _ = tune.tune_pass(WORK[0], tune.submit_compilations(Pool(), WORK[0], H100, 90, 16), torch.device("cpu"), H100)
    assert "no tile configuration" in said
    assert {(e.schedule, e.seconds < float("inf")) for e in entries()} == {("stepwise", True), ("persistent", False)}


def test_a_lost_gpu_leaves_the_table_alone(gpu, monkeypatch):
    """Then everything fails, and nothing was measured."""
    monkeypatch.setattr(tune, "is_gpu_lost", lambda device: True)
    with pytest.raises(RuntimeError, match="the GPU is lost"):
        tune.tune_passes(60, lambda line: None, WORK)
    assert not entries()


@pytest.mark.full
def test_the_times_of_all_cuts_are_kept(gpu, tmp_path):
    """A line for each cut that ran, with the model's time, and one for stepwise; and a copy of the table."""
    tune.tune_passes(60, lambda line: None, WORK[:2], out=tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "tilings.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 3 and all(line["seconds"] > 0 for line in lines)
    assert all((line["tiles"] is None) == (line["model"] is None) for line in lines)
    assert (tmp_path / "out" / tuning.table_path(H100).name).read_bytes() == tuning.table_path(H100).read_bytes()


def test_so_many_cuts_are_tried(gpu):
    tune.tune_passes(60, lambda line: None, WORK[:1], tried=1)
    assert {entry.tried for entry in entries()} == {1}


def test_in_one_dtype_alone():
    found = list(tune.suite_passes(["headline"], "float16"))
    assert {name.dtype for name in found} == {"float16"} and len(found) == len(set(found))


def test_the_passes_of_the_suites_are_each_there_once():
    found = list(tune.suite_passes(GPU_SUITES))
    assert len(found) == len(set(found)) > 100
    assert found[0] == PassKey("lstm", "forward", 16, 768, "float16")
    assert PassKey("lstm", "backward", 16, 2048, "float16") in found
    assert PassKey("lstm", "backward", 4, 2048, "float16") not in found, "inferred only"
    assert not {name.cell for name in found} & {shape.cell for shape in SUITES["scans"]}, "nothing to keep on chip"
