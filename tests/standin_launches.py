"""Launch kernels on the stand-in for the CUDA driver, and print what it was called with as JSON: a program of its own.

    standin_launches.py launches FOLDER     persistent and stencil kernels: what reaches the driver, beside what should
    standin_launches.py limits FOLDER       what is chosen where a process may use only some of the multiprocessors
    standin_launches.py bare FOLDER         the kernels of calls that keep nothing, or go back from the final states alone

FOLDER has the stand-in.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

import cells
from kernels.derive.plan import plan
from kernels.layer import select
from kernels.schedules.persistent import occupancy, persistent
from kernels.schedules.persistent.tiling import DIRECTIONS, H100, Pass, Tiles
from kernels.schedules.stencil import stencil
from tests import standin

FOLDER = Path(sys.argv[2])
RECORD = FOLDER / f"{sys.argv[1]}.jsonl"
CUDA = torch.device("cuda", 0)
for module in (occupancy, persistent):
    module.get_chip = lambda index: H100  # type: ignore[attr-defined]


def limit(**settings: int) -> None:
    """Have the driver answer so from now on, and forget what it said."""
    for name in ("CONTEXT_MULTIPROCESSORS", "BLOCKS", "SPILLS"):
        os.environ.pop(f"STANDIN_{name}", None)
    os.environ |= {f"STANDIN_{name}": str(value) for name, value in settings.items()}
    for function in (occupancy.count_multiprocessors, occupancy.usable_chip, persistent.first_without_spills, persistent.can_launch):
        function.cache_clear()
    stencil._resident_programs.clear()


def since(before: int) -> list[dict[str, Any]]:
    return standin.calls(RECORD)[before:]


def flat(value: Any) -> list[int]:
    """The pointers of a kernel's arguments, in their order."""
    if isinstance(value, torch.Tensor):
        return [value.data_ptr()]
    return [pointer for item in value for pointer in flat(item)] if isinstance(value, (tuple, list)) else []


def launched(work: Pass, tiles: Tiles, T: int) -> dict[str, Any]:
    """What a pass calls the driver with, and the values that its kernel should be given."""
    loop, name = persistent.random_inputs(work, T, torch.device("cpu")), f"{work.direction}_arguments"
    made, arguments = getattr(persistent, name), []
    setattr(persistent, name, lambda *given: arguments.append(made(*given)) or arguments[-1])
    before = len(standin.calls(RECORD))
    if work.direction == "forward":
        persistent.forward(loop, tiles)
    else:
        trajectory = persistent.Launch(loop, tiles).allocate_result()
        persistent.backward(loop, trajectory, trajectory.history[0], loop.states, tiles)
    setattr(persistent, name, made)
    values = [*flat(arguments[0]), T, work.B]
    return {"calls": since(before), "values": values, "programs": tiles.programs(work.H), "grid": tiles.grid(work.B, work.H)}


def wave(B: int, H: int) -> stencil.Launch:
    work = Pass(plan(cells.load("wave")), "forward", B, H, torch.float32)
    return stencil.Launch(persistent.random_inputs(work, 2, torch.device("cpu")), 1024)


def swept(launch: stencil.Launch) -> None:
    trajectory, stored = stencil.allocate_history(launch.inputs)
    launch.launch_kernel(stencil.stencil_kernels.forward, stencil.forward_arguments(launch, trajectory, stored), stored)


def launches() -> dict[str, Any]:
    passes = [
        ("one program", "vanilla", 1, 64, Tiles(16, 64, 64, 4)), ("several", "vanilla", 20, 64, Tiles(16, 16, 64, 4)),
        ("much shared memory", "lstm", 16, 256, Tiles(16, 64, 64, 4)),
    ]  # fmt: skip
    found: dict[str, Any] = {
        f"{name} {direction} {T}": launched(Pass(plan(cells.load(cell)), direction, B, H, torch.float16), tiles, T)
        for name, cell, B, H, tiles in passes
        for direction in DIRECTIONS
        for T in (1, 3)
    }
    limit(CONTEXT_MULTIPROCESSORS=7, BLOCKS=1)
    before = len(standin.calls(RECORD))
    swept(wave(5, 3000))
    found["stencil"] = [(call["grid"], call["cooperative"]) for call in since(before) if call["call"] == "cuLaunchKernelEx"]
    before = len(standin.calls(RECORD))
    swept(wave(5, 3000))
    found["stencil again"] = [call["call"] for call in since(before)]
    limit(CONTEXT_MULTIPROCESSORS=2, BLOCKS=1)
    for name, run in (("stencil", lambda: swept(wave(5, 3000))), ("persistent", lambda: launched(several(), Tiles(16, 16, 64, 4), 2))):
        try:
            run()
        except RuntimeError as error:
            found[f"{name} refused"] = str(error)
    return found


def several() -> Pass:
    return Pass(plan(cells.load("vanilla")), "forward", 20, 64, torch.float16)


def limits() -> dict[str, Any]:
    persistent.ATTEMPTS = 2
    found: dict[str, Any] = {}
    for name, settings in (
        ("all", {}), ("enough", {"CONTEXT_MULTIPROCESSORS": 40}), ("too few", {"CONTEXT_MULTIPROCESSORS": 3}),
        ("none at once", {"CONTEXT_MULTIPROCESSORS": 40, "BLOCKS": 0}),
    ):  # fmt: skip
        limit(**settings)
        size = plan(cells.load("vanilla")), torch.float16, CUDA, 16, 512
        before = len(standin.calls(RECORD))
        auto, named = select.select_schedule("auto", *size), []
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            select.select_schedule("persistent", *size)
            named = [str(warning.message) for warning in said]
        first = len(since(before))
        select.select_schedule("auto", *size)
        grid = stencil.unsupported_reason(plan(cells.load("wave")), torch.float32, CUDA, 1, 40_000)
        found[name] = {
            "auto": auto.__name__ if auto else None, "named": named, "asked": [call["call"] for call in since(before)][:first],
            "again": len(since(before)) - first, "stencil": grid,
        }  # fmt: skip
    return found


def bare() -> dict[str, Any]:
    persistent.ATTEMPTS = 2
    found: dict[str, Any] = {}
    for direction in DIRECTIONS:
        work = Pass(plan(cells.load("vanilla")), direction, 16, 512, torch.float16)
        for least in (False, True):
            before = len(standin.calls(RECORD))
            tiles = persistent.tiling_for(work, CUDA, least)
            kernels = len(since(before))
            loop = persistent.random_inputs(work, 3, torch.device("cpu"))
            trajectory = persistent.Launch(loop, tiles).allocate_result()
            before = len(standin.calls(RECORD))
            if direction == "forward":
                loop.terms = [] if least else loop.terms
                persistent.forward(loop, tiles)
            else:
                persistent.backward(loop, trajectory, None if least else trajectory.history[0], loop.states, tiles)
            found[f"{direction} {least}"] = {"asked": kernels, "launched": [call["call"] for call in since(before)]}
    before = torch.get_rng_state()
    limit(SPILLS=8)
    work = Pass(plan(cells.load("vanilla")), "forward", 16, 256, torch.float16)
    found["spills"] = [
        persistent.compile_and_count_spills(work, persistent.tiling_for(work, CUDA, least), least) for least in (False, True)
    ]
    found["draws"] = not torch.equal(before, torch.get_rng_state())
    return found


if __name__ == "__main__":
    standin.activate(FOLDER / "libcuda.so.1", RECORD)
    print(json.dumps({"launches": launches, "limits": limits, "bare": bare}[sys.argv[1]]()))
