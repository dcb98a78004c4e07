"""pytest-benchmark's place: `pytest --benchmark-only` runs cell × backend at small sizes through the harness's own cases.

A group has every schedule and peer that the machine times by default, and torch's GRU where torch has no such cell. A wrong kernel is
not timed, the device is synchronised inside the timed call, and the environment stands in the JSON (`--benchmark-json FILE`). Numbers that
people quote come from `python -m bench all`, where calls of the backends are interleaved.
"""

import pytest
import torch

import cells
from bench.measure import gate
from bench.measure.backends import Unsupported, build_workload
from bench.measure.problem import make_problem
from bench.records.backend_table import find_backend, list_defaults
from bench.records.tolerance import find_tolerance

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = DEVICE == "cpu"
"""Triton's interpreter runs the kernels of a GPU here, and its time says nothing."""
BACKENDS = [name for name in list_defaults(DEVICE) if not (find_backend(name).apart or (INTERPRETED and find_backend(name).interpreted))]
MEMBERS = [(group, group, backend) for group in cells.DEFAULT for backend in BACKENDS]
MEMBERS += [(group, "gru", "vendor") for group in cells.DEFAULT if cells.load(group).torch_equivalent is None]
SIZE = {"T": 32, "B": 16, "D": 64, "H": 64}


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize(("group", "cell", "backend"), MEMBERS, ids=lambda word: word)
def test_speed(benchmark, group, cell, backend, mode):
    given = make_problem(cell, **SIZE, dtype="float32", device=DEVICE, seed=0)
    try:
        work = build_workload(backend, given)
    except Unsupported as reason:
        pytest.skip(str(reason))
    errors, wrong = gate.compare_answer(given, work.answer(), find_tolerance("float32", "ieee"))
    assert not wrong, wrong
    call = work.train if mode == "training" else work.infer
    benchmark.group = f"{mode} {group}"
    benchmark.extra_info |= {**SIZE, "cell": cell, "backend": backend, "dtype": "float32", "device": DEVICE, **errors.model_dump()}

    def synchronised() -> None:
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    benchmark(synchronised)
