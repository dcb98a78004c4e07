"""Persistent kernels compiled for a GPU that isn't here: no spills, matrices on chip, tensor cores, the barrier in its order."""

import importlib.util

import pytest
from rich.console import Console
from rich.table import Table

from tests.offline import offline
from tests.sampling import in_full

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")

COLUMNS = (
    "cell", "direction", "B", "H", "dtype", "capability", "tiles", "programs", "skipped", "registers", "spills", "shared", "pointwise",
    "product", "chain", "barriers", "cycles", "faults",
)  # fmt: skip
"""What is printed of a kernel: from `pointwise` on it is what `kernels.schedules.persistent.machine_code.Verdict` says of a step."""


def hold(row: dict) -> None:
    """Hold a compiled kernel to what a persistent kernel is."""
    assert row["spills"] == 0, row
    assert row["weights"] <= row["room"] and row["shared"] <= row["room"], row
    if row["programs"] > 1:
        assert row["shared"] >= row["weights"], f"the matrices are not all in shared memory: {row}"
    assert (row["tensor"] > 0) == (row["dtype"] != "float32"), f"on tensor cores, but for float32 without tf32: {row}"
    meetings = row["meetings"] if row["programs"] > 1 else 0
    assert (row["releases"], row["acquires"]) == (meetings, meetings), row
    assert row["ordered"], f"a block barrier in front of a release or behind an acquire is missing: {row}"
    if row["capability"] == 90:
        assert not row["faults"], f"machine code that `kernels.schedules.persistent.machine_code` finds fault with: {row}"


def show(rows: list[dict]) -> None:
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*(str(row[name]) for name in COLUMNS))
    Console(width=200).print(table)


@pytest.mark.parametrize(("which", "least"), [in_full("few", 11), pytest.param("sample", 30, marks=pytest.mark.gates)])
def test_a_sample(which, least):
    """Kinds of plans and precisions, on an A100, an H100 and a B200."""
    rows = offline(which, script="offline_persistent.py")
    show(rows)
    assert {row["capability"] for row in rows} == {80, 90, 100} and len(rows) >= least
    for row in rows:
        hold(row)


@pytest.mark.parametrize(
    "fault",
    [{"spills": 8}, {"faults": ["loads in a chain"]}, {"faults": ["repeats the pointwise step"]}, {"tensor": 0}, {"ordered": False}],
)
def test_a_bad_kernel_is_told(fault):
    good = {
        "capability": 90, "dtype": "float16", "programs": 4, "meetings": 1, "spills": 0, "weights": 4096, "shared": 8192, "room": 9000,
        "tensor": 8, "releases": 1, "acquires": 1, "ordered": True, "faults": [],
    }  # fmt: skip
    hold(good)
    with pytest.raises(AssertionError):
        hold({**good, **fault})


@pytest.mark.gates
def test_every_pass_of_the_suites():
    """As an H100 would run it. `make gates` prints the table."""
    rows = offline("suites", script="offline_persistent.py")
    show(rows)
    assert len(rows) > 100
    for row in rows:
        hold(row)
