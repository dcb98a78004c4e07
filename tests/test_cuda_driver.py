"""What reaches the CUDA driver: Triton's own driver class and launchers, on a stand-in for it, in a process of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import standin

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(shutil.which(standin.COMPILER) is None, reason=f"needs {standin.COMPILER}"),
]
SCRIPT = Path(__file__).with_name("standin_launches.py")
DIRECTIONS = pytest.mark.parametrize("direction", ["forward", "backward"])
OCCUPANCY, OPTIN = "cuOccupancyMaxActiveBlocksPerMultiprocessor", 8
"""What the driver is asked, and its attribute of a function that allows more than 48 KiB of shared memory."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in is."""
    return standin.build(tmp_path_factory.mktemp("standin")).parent


def ran(scenario: str, folder: Path) -> Any:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, str(SCRIPT), scenario, str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def launches(folder: Path) -> Any:
    return ran("launches", folder)


@pytest.fixture(scope="module")
def limits(folder: Path) -> Any:
    return ran("limits", folder)


@pytest.fixture(scope="module")
def bare(folder: Path) -> Any:
    return ran("bare", folder)


def launch(found: dict[str, Any]) -> dict[str, Any]:
    (one,) = [call for call in found["calls"] if call["call"] == "cuLaunchKernelEx"]
    return one


@DIRECTIONS
@pytest.mark.parametrize(("name", "programs", "grid"), [("one program", 1, 1), ("several", 4, 8), ("much shared memory", 4, 4)])
def test_a_launch(launches, name, programs, grid, direction):
    """Its grid; cooperative where programs meet, and only there; the pointers of its tensors and its sizes, as they are in the call."""
    for T in (1, 3):
        found = launches[f"{name} {direction} {T}"]
        one = launch(found)
        assert (found["programs"], found["grid"]) == (programs, grid) and one["grid"] == grid
        assert one["function"] == direction and one["threads"] == 128 and one["stream"] == 7
        assert one["cooperative"] == (programs > 1) and one["attributes"] == ([2] if programs > 1 else [])
        values = [int.from_bytes(bytes.fromhex(value), "little") for value in one["values"]]
        assert values == [*found["values"], 0, 0], "behind them, Triton's own scratch memory, of which there is none"


@DIRECTIONS
def test_shared_memory_beyond_48_kib_is_asked_for(launches, direction):
    for name in ("one program", "several", "much shared memory"):
        found = launches[f"{name} {direction} 1"]
        asked = [call["value"] for call in found["calls"] if call["call"] == "cuFuncSetAttribute" and call["attribute"] == OPTIN]
        shared = launch(found)["shared"]
        assert (shared > 48 * 1024) == (name == "much shared memory")
        assert (asked != []) == (shared > 48 * 1024) and all(value >= shared for value in asked)


@DIRECTIONS
def test_another_length_is_the_same_kernel(launches, direction):
    for name in ("one program", "several", "much shared memory"):
        assert [call["call"] for call in launches[f"{name} {direction} 3"]["calls"]] == ["cuLaunchKernelEx"]


def test_a_shared_grid_takes_as_many_sequences_as_the_driver_has_room_for(launches):
    """Of three programs each, on seven multiprocessors with one each: two, two and one. It is asked once."""
    assert launches["stencil"] == [[6, True], [6, True], [3, True]]
    assert launches["stencil again"] == ["cuLaunchKernelEx"] * 3
    assert launches["stencil refused"] == "wave on 3000 units takes 3 programs at once, and this device has room for 2: use stepwise"


def test_the_stand_in_refuses_a_launch_that_does_not_fit_at_once(launches):
    assert "too many blocks in cooperative launch" in launches["persistent refused"]


@pytest.mark.full
def test_on_the_whole_device_nothing_is_compiled_to_choose(limits):
    assert limits["all"] == {"auto": "kernels.schedules.persistent.persistent", "named": [], "asked": [], "again": 0, "stencil": None}


@pytest.mark.full
def test_on_a_part_of_a_device_the_driver_is_asked_once(limits):
    found = limits["enough"]
    assert found["auto"] == "kernels.schedules.persistent.persistent" and not found["named"]
    assert OCCUPANCY in found["asked"] and found["again"] == 0


@pytest.mark.parametrize(("name", "part"), [("too few", 3), ("none at once", 40)])
def test_what_does_not_fit_a_part_of_a_device_runs_step_by_step(limits, name, part):
    """`auto` does; who named the backend is told why, in one line."""
    found = limits[name]
    assert found["auto"] == "kernels.schedules.stepwise.stepwise" and found["again"] == 0
    assert found["named"] == [
        "the backend 'persistent' needs more shared memory or more co-resident programs for vanilla at B=16 H=512 in float16 than this "
        f"GPU offers, of whose 132 multiprocessors this process may use {part}: use stepwise; vanilla runs by torch's own operator "
        "instead"
    ]
    assert (OCCUPANCY in found["asked"]) == (name == "none at once")


def test_a_grid_is_shared_out_among_the_multiprocessors_that_there_are(limits):
    expected = "holds a grid of up to 3072 units, 1024 on each multiprocessor that this process may use, and not 40000: use stepwise"
    assert limits["too few"]["stencil"] == expected and limits["enough"]["stencil"] is None


@DIRECTIONS
@pytest.mark.parametrize("least", [False, True], ids=["training", "bare"])
def test_the_kernel_that_was_checked_is_the_one_that_runs(bare, direction, least):
    """With the loop's terms and dy, and without: each loads a kernel of its own to be checked, and its launch loads no other."""
    found = bare[f"{direction} {least}"]
    assert found["asked"] > 0 and found["launched"] == ["cuLaunchKernelEx"]


def test_spills_are_seen_and_no_numbers_are_drawn(bare):
    """Eight bytes a thread are two registers, of either kernel; a first call leaves the random numbers of the next ones as they were."""
    assert bare["spills"] == [2, 2] and not bare["draws"]
