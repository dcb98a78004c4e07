"""Suites: their lists, how their cases are grouped, and that they are run, budgeted, resumed and rendered as one size is."""

import dataclasses
import itertools
import json
import re
import sys
import time
from collections import Counter

import pytest

import cells
from bench.commands.all import default_backends
from bench.harness import run as session
from bench.harness import runner, suites
from bench.harness.cases import timing_groups
from bench.harness.progress import show_progress
from bench.harness.settings import Settings
from bench.harness.suites import DEVICE, SERVER, SUITES, TRAINING, Shape, expand_sizes
from bench.measure import environment
from bench.measure.scan_peers import SCANS
from bench.records import CaseRecord, Records, read_records
from bench.render import length_plots, run_report
from tests.command_line import bench
from tests.inline import Inline
from tests.records import ENVIRONMENT, RUN, case, timed
from tests.test_console import shown

__all__ = ["bench"]

ASKED = Settings(cells.names(), ("stepwise", "persistent", "vendor"), (), 0, 0, 0, "", "ieee", "cuda", 0, False)


def suite(name: str, **changes: object) -> Settings:
    return dataclasses.replace(ASKED, suite=name, **changes)


def test_deepbench_has_its_53_and_69_and_3_shapes():
    for listed, count in ((TRAINING, 53), (SERVER, 69), (DEVICE, 3)):
        assert len(list(expand_sizes(listed, "training"))) == 2 * count
    kinds = Counter(shape.cell for shape in expand_sizes(TRAINING, "training") if shape.dtype == "float16")
    assert kinds == {"vanilla_relu": 12, "lstm": 22, "gru": 19}
    found = SUITES["deepbench"]
    assert Shape("lstm", 25, 16, 4096, 4096, "float16", ("training",)) in found
    assert Shape("gru", 1500, 4, 2816, 2816, "bfloat16", ("inference",)) in found
    assert {shape.modes for shape in found} == {("training",), ("inference",)}


def test_headline_begins_with_the_published_size_and_has_every_cell_at_every_size():
    found = SUITES["headline"]
    assert [(s.cell, s.T, s.B, s.H) for s in found[:2]] == [("lstm", 1024, 16, 768), ("gru", 1024, 16, 768)]
    product = itertools.product(suites.SEED, (512, 1024, 2048), (1, 16, 32, 64, 128), (256, 512, 1024), ("float16", "bfloat16"))
    assert {(s.cell, s.T, s.B, s.H, s.dtype) for s in found[4:]} == set(product)
    assert all(shape.D == shape.H for shape in found) and {shape.T for shape in found[4:40]} == {1024}


@pytest.mark.parametrize("name", SUITES)
def test_what_is_compared_is_measured_together(name):
    """No case is in two groups; a group is of one size; the vendor's same cell, or its GRU twice, is in it."""
    found = timing_groups(suite(name))
    assert max(Counter(case for group in found for case in group.cases).values()) == 1
    assert len({group.name for group in found}) == len(found)
    for group in found:
        plain = [case for case in group.cases if not case.matched_params_of]
        assert len({(c.T, c.B, c.D, c.H, c.dtype) for c in plain}) == 1
        for c in plain:
            if c.input_product and cells.load(c.cell).twin is None:
                assert c.model_copy(update={"cell": "gru", "backend": "vendor"}) in group.cases
                assert any(o.matched_params_of == c.cell and o.mode == c.mode for o in group.cases)
            else:
                assert c.model_copy(update={"backend": "vendor", "input_product": True}) in group.cases


def test_rules_of_deepbench_and_ours():
    """Without the input product for the schedules alone, with it for all; a training shape trains and a server's infers."""
    first = timing_groups(suite("deepbench"))[0]
    assert {(c.backend, c.input_product) for c in first.cases} == {
        ("stepwise", True), ("persistent", True), ("vendor", True), ("stepwise", False), ("persistent", False),
    }  # fmt: skip
    assert {c.mode for c in first.cases} == {"training"} and {c.dtype for c in first.cases} == {"float16"}


def test_a_dtype_and_cells_narrow_a_suite():
    found = [case for group in timing_groups(suite("deepbench", dtype="float32", cells=("lstm",))) for case in group.cases]
    assert {(c.cell, c.dtype) for c in found} == {("lstm", "float32")}
    assert sum(c.aa_repeat for c in found) == 37, "an A/A pair at every size"
    assert sum(not c.aa_repeat for c in found) == 22 * 5 + 15 * 5, (
        "each size once, though it is listed in two dtypes and, one of them, twice"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--suite", "headlines"], "did you mean headline?"),
        (["--suite", "deepbench", "--device", "cpu"], "needs a GPU: on a CPU, --quick tries its 3 smallest shapes"),
        (
            ["--suite", "deepbench", "--quick", "--batch", "3", "--hidden", "4"],
            "modes of its own: leave out --batch --hidden",
        ),
        (["--budget", "8"], "for example --budget 90s, 8m or 1h"),
        (["--budget", "0m"], "takes a time with its unit"),
        (["--resume"], "name its folder with --out"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(bench, arguments, says):
    code, out, err = bench("all", *arguments)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


def test_a_dry_run_lists_what_a_gpu_would_measure(bench):
    code, out, _ = bench("all", "--suite", "crossover", "--dry-run")
    assert code == 0 and "275 cases, none measured" in out and "persistent" in out


def test_scans_run_their_own_cells_beside_every_peer(bench):
    """Without being asked for: with torch's scan and those of packages, in no suite that has no cell for them."""
    code, out, _ = bench("all", "--suite", "scans", "--dry-run")
    assert code == 0 and all(name in out for name in (*suites.SCANNED, "vendor", "scan", *SCANS)) and "eager" not in out
    assert [name for name in SUITES if set(SCANS) & set(default_backends("cuda", name, tuple(s.cell for s in SUITES[name])))] == ["scans"]


@pytest.fixture
def tiny(monkeypatch):
    """A suite of three sizes, in two groups, that takes no time."""
    sizes = (("lstm", 6, 2, 8), ("minimal", 5, 3, 12), ("gru", 5, 3, 12))
    shapes = tuple(Shape(cell, T, B, H, H, "float16") for cell, T, B, H in sizes)
    monkeypatch.setitem(SUITES, "crossover", shapes)
    monkeypatch.setattr(environment, "read_environment", lambda device: ENVIRONMENT)
    monkeypatch.setattr(session, "Worker", Inline)
    return "all", "--suite", "crossover", "--quick", "--backends", "compiled,vendor", "--device", "cpu"


def outcomes(folder):
    found = read_records(folder).cases
    assert len({r.case for r in found}) == len(found)
    return {r.case: r.status for r in found}


def test_a_suite_from_end_to_end(bench, tiny, tmp_path):
    code, out, err = bench(*tiny, "--out", tmp_path / "run")
    assert code == 0 and "--quick: the 3 smallest shapes of crossover, in float32 on a CPU" in err
    found = outcomes(tmp_path / "run")
    assert {(c.cell, c.T, c.B, c.H) for c in found if not c.matched_params_of} == {
        ("lstm", 6, 2, 8),
        ("minimal", 5, 3, 12),
        ("gru", 5, 3, 12),
    }
    assert set(found.values()) == {"ok", "unsupported"} and not read_records(tmp_path / "run").gradients
    table = (tmp_path / "run" / "report.md").read_text()
    assert "| cell    |   T |   B |   H |" in table and "the geometric mean of 3 cases" in table
    assert re.search(r"^cell +T +B +H +vendor +compiled", out, re.M)


def test_a_budget_leaves_out_and_resume_goes_on(bench, tiny, tmp_path, monkeypatch):
    """Interrupted by its budget and resumed, a run holds what an uninterrupted one does; a third finds nothing to do."""
    assert bench(*tiny, "--out", tmp_path / "whole")[0] == 0
    honest, now = runner.Runner.time_group, [time.monotonic()]

    def slow(self, job):
        honest(self, job)
        now[0] += 7200

    monkeypatch.setattr(runner.Runner, "time_group", slow)
    monkeypatch.setattr(session.time, "monotonic", lambda: now[0])
    code, out, err = bench(*tiny, "--budget", "1h", "--out", tmp_path / "cut")
    assert code == 0 and "left out for lack of time, 15 cases (--resume continues): minimal, gru T=5 B=3 H=12 float32" in err
    assert Counter(outcomes(tmp_path / "cut").values())["skipped"] == 15 and "15 skipped" in out
    text = (tmp_path / "cut" / "report.md").read_text()
    assert "left out: the budget was spent" in text and "minimal" in text
    monkeypatch.setattr(runner.Runner, "time_group", honest)
    first = (tmp_path / "cut" / "records.jsonl").read_bytes()
    assert bench(*tiny, "--resume", "--out", tmp_path / "cut")[0] == 0
    second = (tmp_path / "cut" / "records.jsonl").read_bytes()
    assert second.startswith(first), "records are only appended"
    assert outcomes(tmp_path / "cut") == outcomes(tmp_path / "whole")
    assert bench(*tiny, "--resume", "--budget", "1s", "--out", tmp_path / "cut")[0] == 0
    assert (tmp_path / "cut" / "records.jsonl").read_bytes() == second


def test_a_group_cut_short_is_measured_again_whole(bench, tiny, tmp_path):
    """Its cases are compared round by round: those of two sittings must not be."""
    assert bench(*tiny, "--out", tmp_path / "run")[0] == 0
    path = tmp_path / "run" / "records.jsonl"
    whole, lines = outcomes(tmp_path / "run"), path.read_text().splitlines(keepends=True)
    gone = next(k for k, line in enumerate(lines) if '"cell":"lstm"' in line and '"status":"ok"' in line)
    path.write_text("".join(lines[:gone] + lines[gone + 1 :]))
    assert bench(*tiny, "--resume", "--out", tmp_path / "run")[0] == 0
    added = [json.loads(line)["case"] for line in path.read_text().splitlines()[len(lines) - 1 :] if '"kind":"case"' in line]
    assert {c["cell"] for c in added} == {"lstm"} and len(added) == sum(c.cell == "lstm" for c in whole)
    assert outcomes(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('"quick":true', '"quick":false', 1), "was measured with quick False, not True"),
        (lambda text: text.replace('"torch":"', '"torch":"1.', 1), "was measured with torch 1."),
        (lambda text: text.replace('"settings":{', '"settings":{},"ignored":{', 1).split(',"ignored"')[0] + "}\n", "doesn't say how"),
        (lambda text: text.replace("gates", "ga\n tes", 1), "cut short"),
    ],
)
def test_only_the_same_run_is_resumed(bench, tiny, tmp_path, change, says):
    path = tmp_path / "run" / "records.jsonl"
    assert bench(*tiny, "--cells", "lstm", "--out", path.parent)[0] == 0
    path.write_text(change(path.read_text()))
    before = path.read_bytes()
    code, _, err = bench(*tiny, "--cells", "lstm", "--resume", "--out", path.parent)
    assert code == 2 and says in err.splitlines()[-1] and path.read_bytes() == before


def test_a_run_of_one_size_is_resumed_with_its_gradients(bench, tmp_path):
    quick = ("all", "--quick", "--cells", "vanilla", "--backends", "compiled,stepwise", "--seq-lens", "2,3", "--device", "cpu")
    assert bench(*quick, "--out", tmp_path / "run")[0] == 0
    path = tmp_path / "run" / "records.jsonl"
    whole, lines = read_records(path), path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))
    assert bench(*quick, "--resume", "--out", tmp_path / "run")[0] == 0
    again = read_records(path)
    assert {(r.case, r.status) for r in again.cases} == {(r.case, r.status) for r in whole.cases}
    assert again.gradients == whole.gradients


def test_the_gpu_is_lost_and_the_run_goes_on_without_the_case(bench, tiny, tmp_path, monkeypatch):
    def build(backend, problem, input_product=True):
        if (backend, problem.cell.name, input_product) == ("compiled", "lstm", True):
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
        return honest(backend, problem, input_product)

    honest = runner.build_workload
    monkeypatch.setattr(runner, "build_workload", build)
    monkeypatch.setattr(runner, "is_gpu_lost", lambda device: True)
    assert bench(*tiny, "--out", tmp_path / "run")[0] == 0
    crashed = [r for r in read_records(tmp_path / "run").cases if r.status == "crashed"]
    assert {(r.case.backend, r.case.mode) for r in crashed} == {("compiled", "training"), ("compiled", "inference")}
    assert {r.reason for r in crashed} == {"RuntimeError: CUDA error: an illegal memory access was encountered"}
    assert Counter(outcomes(tmp_path / "run").values())["ok"] > 8


def test_without_what_renders_it_still_measures(bench, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("run_report", "plots", "length_plots"):
        monkeypatch.delitem(sys.modules, f"bench.render.{name}")
        monkeypatch.delattr(f"bench.render.{name}")
    code, _, err = bench(*tiny, "--out", tmp_path / "run")
    assert code == 0 and "matplotlib is not installed here" in err and f"python -m bench report {tmp_path / 'run'}" in err
    assert outcomes(tmp_path / "run")


def test_progress_without_rich(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with show_progress(2) as tell:
        tell("timing", 0)
        tell("lstm", 1)
    assert capsys.readouterr().err == "lstm\n"


def several():
    """A run of two sizes, for the vendor's cells and for one it doesn't have."""
    for B, D, H, algorithm in ((16, 64, 64, "STANDARD"), (32, 128, 128, "PERSIST_STATIC")):
        size = {"B": B, "D": D, "H": H, "dtype": "float16"}
        for cell in ("lstm", "gru"):
            yield timed(case(cell, "vendor", **size), *[4.0 * B] * 6, algorithm=algorithm)
            yield timed(case(cell, "persistent", **size), *[2.0 * B] * 6)
        yield CaseRecord(case=case("minimal", "vendor", **size), status="unsupported", reason="torch.nn has no such cell")
        yield timed(case("minimal", "persistent", **size), *[1.0 * B] * 6)
        yield timed(case("gru", "vendor", **size | {"H": H // 2}, matched_params_of="minimal"), *[3.0 * B] * 6)
        yield CaseRecord(case=case("lstm", "persistent", T=512, **size), status="skipped", reason="left out: the budget was spent")


def test_rows_of_several_sizes_carry_them():
    records = Records(run=RUN, cases=list(several()), gradients=[])
    made = run_report.render(records, [])
    assert "**persistent trains 2.52× as fast as torch.nn**, the geometric mean of 6 cases from 2.00× to 4.00× (6 faster), float16" in made
    table = [line.replace(" ", "").split("|")[1:-1] for line in made.splitlines() if line.startswith("| minimal")]
    assert ["minimal", "128", "32", "128", "nosuchcell", "32,000±0(4.00×gru)", "PERSIST_STATIC"] in table
    assert "torch.nn's gru of the same H" in made and "PERSIST_STATIC" in made and "backends of one size are interleaved" in made
    assert "T=512" in made.partition("## Not timed")[2] and "T=512" not in made.partition("## Not timed")[0]
    text = shown(records)
    assert re.search(r"^cell +T +B +H +vendor +persistent +cuDNN, expected", text, re.M) and "2 skipped" in text


def test_a_size_where_all_failed_keeps_its_row():
    small = [timed(case("lstm", backend, B=8), *[1.0] * 5) for backend in ("vendor", "persistent")]
    failed = [timed(case("lstm", backend, B=64), status="oom", reason="full") for backend in ("vendor", "persistent")]
    text = shown(Records(run=RUN, cases=small + failed, gradients=[]))
    assert [line.split()[-2:] for line in text.splitlines() if line.split()[1:3] == ["64", "256"]] == [["oom", "oom"]]


def test_names_of_groups_without_a_suite_are_their_length():
    settings = dataclasses.replace(ASKED, seq_lens=(4, 16), batch=2, hidden=8, input=8, dtype="float32")
    assert [group.name for group in timing_groups(settings)] == ["T=4", "T=16"]


def test_plots_over_t_are_of_one_size(tmp_path):
    assert length_plots.draw(Records(run=RUN, cases=list(several()), gradients=[]), tmp_path) == []


def test_of_a_case_measured_again_the_last_record_counts_and_failures_stay(tmp_path):
    a, b, c = case("lstm"), case("gru"), case("cfn")
    statuses = [(a, "skipped"), (c, "skipped"), (a, "ok"), (b, "failed"), (b, "ok"), (b, "ok"), (c, "failed")]
    lines = [RUN, *(CaseRecord(case=k, status=status, samples=[1.0] * n) for n, (k, status) in enumerate(statuses))]
    (tmp_path / "records.jsonl").write_text("".join(line.model_dump_json() + "\n" for line in lines))
    found = [(r.case, r.status, len(r.samples)) for r in read_records(tmp_path).cases]
    assert sorted(found, key=str) == sorted([(a, "ok", 2), (b, "failed", 3), (b, "ok", 5), (c, "failed", 6)], key=str)
