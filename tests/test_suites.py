"""Suites: their lists, and how their cases are grouped."""

import dataclasses
import itertools
from collections import Counter

import pytest

import cells
from bench.commands.all import default_backends
from bench.harness import suites
from bench.harness.cases import timing_groups
from bench.harness.settings import Settings
from bench.harness.suites import DEVICE, SERVER, SUITES, TRAINING, Shape, expand_sizes
from bench.measure.scan_peers import SCANS
from tests.command_line import bench

__all__ = ["bench"]

ASKED = Settings(cells.names(), ("stepwise", "persistent", "vendor"), (), (), (), 0, "", "ieee", "cuda", 0, False)


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
    product = itertools.product(suites.CELLS, (512, 1024, 2048), (1, 16, 32, 64, 128), (256, 512, 1024), ("float16", "bfloat16"))
    assert {(s.cell, s.T, s.B, s.H, s.dtype) for s in found[4:]} == set(product)
    assert all(shape.D == shape.H for shape in found) and {shape.T for shape in found[4:40]} == {1024}


@pytest.mark.parametrize("name", SUITES)
def test_what_is_compared_is_measured_together(name):
    """No case is in two groups; a group is of one size; the vendor's same cell, or its GRU twice, is in it."""
    found = timing_groups(suite(name))
    assert max(Counter(case for group in found for case in group.cases).values()) == 1
    assert len({group.name for group in found}) == len(found)
    for group in found:
        plain, present = [case for case in group.cases if not case.matched_params_of], {*group.cases}
        assert len({(c.T, c.B, c.D, c.H, c.dtype) for c in plain}) == 1
        for c in plain:
            if c.input_product and cells.load(c.cell).torch_equivalent is None:
                assert c.model_copy(update={"cell": "gru", "backend": "vendor"}) in present
                assert any(o.matched_params_of == c.cell and o.mode == c.mode for o in group.cases)
            else:
                assert c.model_copy(update={"backend": "vendor", "input_product": True}) in present


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
        (["--backends", "onnxruntime", "--modes", "training"], "onnxruntime has no such pass: --modes inference"),
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


@pytest.mark.parametrize("name", suites.CPU_SUITES)
def test_a_suite_of_a_cpu(bench, name):
    """Runs on one without --quick, in its own dtypes; what runs inference alone has no training."""
    code, out, _ = bench("all", "--suite", name, "--backends", "vendor,onnxruntime", "--dry-run")
    assert code == 0 and ("bfloat16" in out) == (name == "cpu")
    assert not [line for line in out.splitlines() if "onnxruntime" in line and "training" in line]
    assert {(shape.T, shape.B) for shape in SUITES["latency"]} == {(1, 1), (1, 4), (16, 1), (16, 4)}


@pytest.mark.full
def test_scans_run_their_own_cells_beside_every_peer(bench):
    """Without being asked for: with torch's scan and those of packages, in no suite that has no cell for them."""
    code, out, _ = bench("all", "--suite", "scans", "--dry-run")
    assert code == 0 and all(name in out for name in (*suites.SCANNED, "vendor", "scan", *SCANS)) and "eager" not in out
    assert [name for name in SUITES if set(SCANS) & set(default_backends("cuda", name, tuple(s.cell for s in SUITES[name])))] == ["scans"]


def test_names_of_groups_without_a_suite_are_their_length():
    settings = dataclasses.replace(ASKED, seq_lens=(4, 16), batch=(2,), hidden=(8,), input=8, dtype="float32")
    assert [group.name for group in timing_groups(settings)] == ["T=4", "T=16"]
