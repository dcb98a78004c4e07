"""The kernels that measure a GPU's latencies do what they are timed for, and hold on to it when compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from bench.measure import latency
from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE
from tests import forked
from tests.sampling import in_full

CPU = torch.device("cpu")
interpreted = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter")


@interpreted
def test_one_program_arrives_as_often_as_it_is_told():
    counter = torch.full((COUNTER_STRIDE.value,), 7, dtype=torch.int32)
    latency.run_barriers(counter, 1, 5)
    assert counter.tolist() == [5] + [0] * (COUNTER_STRIDE.value - 1)


@interpreted
@pytest.mark.parametrize("programs", [2, in_full(4)])
def test_programs_wait_for_each_other(programs):
    counter = torch.zeros(COUNTER_STRIDE.value, dtype=torch.int32).share_memory_()
    forked.run(programs, lambda grid: latency.cross_barriers[grid](counter, 50, programs))
    assert counter[0] == 50 * programs
    with pytest.raises(TimeoutError):
        forked.run(programs, lambda grid: latency.cross_barriers[grid](counter.zero_(), 1, programs + 1), seconds=2.0)


def test_a_ring_goes_through_every_line_once():
    successors, at, seen = latency.make_ring(64), 0, []
    for _ in range(64):
        seen.append(at)
        at = int(successors[at])
    assert at == 0 and sorted(seen) == list(range(0, 64 * COUNTER_STRIDE.value, COUNTER_STRIDE.value))
    assert seen != sorted(seen), "an order that a prefetcher could guess"


@interpreted
@pytest.mark.parametrize("steps", [1, 2, 63, 64])
def test_the_chase_ends_where_the_ring_leads(steps):
    successors, end, at = latency.make_ring(64), torch.zeros(1, dtype=torch.int32), 0
    for _ in range(steps):
        at = int(successors[at])
    latency.follow_ring(successors, end, steps)
    assert end.item() == at


def test_a_step_is_what_a_long_call_takes_over_a_short_one(monkeypatch):
    """10 µs around 3 µs a step."""
    times = {10: [2.0, 1e-5 + 10 * 3e-6, 5.0], 110: [1e-5 + 110 * 3e-6, 9.0, 9.0]}
    monkeypatch.setattr(latency, "time_fastest", lambda call, device, samples: (call(), min(times[calls[-1]]))[1])
    calls: list[int] = []
    assert latency.time_per_step(calls.append, CPU, (10, 110)) == pytest.approx(3e-6)
    assert calls == [10, 110]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_latencies_of_a_gpu():
    device = torch.device("cuda")
    found = latency.measure_barriers(device)
    assert all(1e-7 < seconds < 1e-4 for seconds in found.values()) and found[max(found)] > 0.5 * found[1]
    assert 5e-8 < latency.measure_l2(device) < 5e-6
    assert all(1e-7 < seconds < 1e-4 for seconds in latency.measure_launches(device))


@pytest.mark.full
def test_compiled_for_an_h100():
    """The loop has its release, its acquire and the barriers around them; the chase loads one after another, and not from L1."""
    script = Path(__file__).with_name("offline_latency.py")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"PYTHONPATH": str(script.parents[1])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {name: used["spills"] for name, used in found.items()} == {"cross_barriers": 0, "follow_pointers": 0, "empty_kernel": 0}
    meet, chase = found["cross_barriers"], found["follow_pointers"]
    assert (meet["marks"].count("release"), meet["marks"].count("acquire")) == (1, 1) and meet["ordered"]
    assert chase["cached"] and set(chase["cached"]) == {"ld.global.cg.b32"}
    assert "load" not in found["empty_kernel"]["marks"]
