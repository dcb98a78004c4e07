"""Times tile configurations of the persistent kernels, and `stepwise`, on this GPU, and writes the fastest to the device's table.

Passes are timed in the order of the suites, each once. A pass in the table is skipped, so a rerun resumes. A tile configuration counts
only if its results equal those of `stepwise` and its kernel spills no registers.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import cells
from bench.harness.compile_pool import make_pool
from bench.harness.suites import SUITES
from bench.measure.clock import Contestant, Rule, interleave
from bench.measure.environment import find_version
from bench.measure.failure import is_gpu_lost
from bench.measure.gate import compute_error
from bench.measure.problem import DTYPES
from bench.records.tolerance import find_tolerance
from kernels.derive.plan import plan
from kernels.schedules import compile_for
from kernels.schedules.interface import ForwardResult, PassInputs
from kernels.schedules.persistent import persistent, tuning
from kernels.schedules.persistent.tiling import DIRECTIONS, Chip, Direction, Pass, Tiles, estimate_seconds, get_chip, rank_tilings
from kernels.schedules.persistent.tuning import Schedule, TuningEntry
from kernels.schedules.stepwise import stepwise

T = 128
"""The time steps of the loops that are timed."""

AHEAD = 4
"""The number of passes whose kernels are compiled while one is timed."""


RULE = Rule(fewest=5, most=15, seconds=0.05)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class PassKey:
    """A pass as plain values, which can be sent to another process.

    Attributes:
        cell: The cell's name.
        direction: "forward" or "backward".
        B: Sequences in a batch.
        H: Hidden width.
        dtype: The data type.
        tf32: Products are in tf32.
    """

    cell: str
    direction: Direction
    B: int
    H: int
    dtype: str
    tf32: bool = False

    @property
    def work(self) -> Pass:
        """Returns the pass itself, with the cell's plan."""
        return Pass(plan(cells.load(self.cell)), self.direction, self.B, self.H, DTYPES[self.dtype], self.tf32)


def suite_passes(names: Iterable[str], dtype: str = "") -> Iterator[PassKey]:
    """Returns the passes of suites, each once, for cells with a product in their loop.

    Args:
        names: The names of the suites.
        dtype: The data type of all passes; "" for those of the suites.
    """
    shapes = [shape for name in names for shape in SUITES[name] if plan(cells.load(shape.cell)).stages]
    found = (
        PassKey(s.cell, d, s.B, s.H, dtype or s.dtype) for s in shapes for d in (DIRECTIONS if "training" in s.modes else DIRECTIONS[:1])
    )
    return iter(dict.fromkeys(found))


def current_gpu() -> tuple[torch.device, Chip, int]:
    """Returns the current GPU, its description and its compute capability (90 for an H100)."""
    index = torch.cuda.current_device()
    major, minor = torch.cuda.get_device_capability(index)
    return torch.device("cuda", index), get_chip(index), 10 * major + minor


def tune_passes(budget: float, tell: Tell, chosen: Iterable[PassKey], tried: int = 16, out: Path | None = None) -> None:
    """Fills the table of this GPU.

    Args:
        budget: The seconds after which no new pass starts, nor waits for its kernels to be compiled.
        tell: Called with a line for each pass.
        chosen: The passes to tune.
        tried: The largest number of tile configurations timed for each pass.
        out: A folder for a copy of the table and for tilings.jsonl, with every measured time and the model's estimate.

    Raises:
        RuntimeError: The GPU is lost to this process.
    """
    end = time.monotonic() + budget
    device, gpu, capability = current_gpu()
    todo = [name for name in chosen if not is_tuned(name, gpu)]
    tell(f"{len(todo)} passes to tune, into {tuning.table_path(gpu)}")
    with make_pool(os.cpu_count() or 1) as pool:
        building: dict[PassKey, dict[Tiles, Future[int]]] = {}
        for number, name in enumerate(todo):
            for after in todo[number : number + AHEAD]:
                if after not in building:
                    building[after] = submit_compilations(pool, after, gpu, capability, tried)
            if wait(building[name].values(), max(0.0, end - time.monotonic())).not_done or time.monotonic() > end:
                tell(f"the budget is spent: {len(todo) - number} passes are left out")
                break
            said, steps = tune_pass(name, building[name], device, gpu)
            tell(f"{number + 1}/{len(todo)} {said}")
            if out:
                append_timings(out, name, gpu, steps)


def append_timings(out: Path, name: PassKey, gpu: Chip, steps: dict[Tiles | None, float]) -> None:
    """Appends the seconds per step of every tile configuration to tilings.jsonl, null being `stepwise`, and copies the table."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "tilings.jsonl").open("a", encoding="utf-8") as stream:
        for tiles, took in steps.items():
            model = estimate_seconds(name.work, gpu, tiles) if tiles else None
            line = {**asdict(name), "tiles": tiles and asdict(tiles), "seconds": took, "model": model, "triton": find_version("triton")}
            stream.write(json.dumps(line) + "\n")
    shutil.copy(tuning.table_path(gpu), out)


def is_tuned(name: PassKey, gpu: Chip) -> bool:
    """Returns whether the table has a pass at exactly this batch size."""
    schedules: tuple[Schedule, ...] = ("persistent", "stepwise")
    found = [tuning.find_entry(name.work, gpu, schedule) for schedule in schedules]
    return all(entry is not None and (entry.B, entry.dtype) == (name.B, name.dtype) for entry in found)


def submit_compilations(pool: ProcessPoolExecutor, name: PassKey, gpu: Chip, capability: int, tried: int) -> dict[Tiles, Future[int]]:
    """Compiles the kernels of a pass in parallel, into Triton's cache on disk. Each future returns the bytes that a kernel spills."""
    return {tiles: pool.submit(compile_kernels, name, tiles, capability) for tiles in rank_tilings(name.work, gpu)[:tried]}


def compile_kernels(name: PassKey, tiles: Tiles, capability: int) -> int:
    """Compiles the kernel of a tile configuration and returns the bytes that it spills."""
    used = compile_for.measure_kernel(capability, lambda: persistent.compile_kernel(name.work, tiles))
    return used.stack + used.local


def tune_pass(name: PassKey, built: dict[Tiles, Future[int]], device: torch.device, gpu: Chip) -> tuple[str, dict[Tiles | None, float]]:
    """Times a pass and adds the fastest tile configuration to the table.

    Args:
        name: The pass.
        built: The bytes that each tile configuration's kernel spills.
        device: The GPU.
        gpu: The GPU's description.

    Returns:
        A line about the pass, and the seconds per step of every tile configuration; None is `stepwise`.

    Raises:
        RuntimeError: The GPU is lost to this process.
    """
    calls, wrong = make_calls(name, built, device)

    def on_error(key: Tiles | None, error: Exception) -> None:
        wrong[f"{type(error).__name__}: {error}"] = key

    taken = interleave({key: Contestant(call) for key, call in calls.items()}, RULE, 0, device, lambda key: None, on_error)
    if is_gpu_lost(device):
        raise RuntimeError(f"the GPU is lost to this process since {name}: {next(iter(wrong), 'no error was raised')}")
    step = {key: min(samples.seconds) / T for key, samples in taken.items()}
    best = min((key for key in step if key is not None), key=lambda key: step[key], default=None)
    entries: list[tuple[Schedule, Tiles | None]] = [("stepwise", None), ("persistent", best)]
    for schedule, tiles in entries:
        took = step.get(tiles, math.inf) if schedule == "stepwise" or tiles else math.inf
        tuning.add_entry(gpu, TuningEntry(
            cell=name.cell, step=tuning.fingerprint(name.work.plan), direction=name.direction, B=name.B, H=name.H, dtype=name.dtype,
            tf32=name.tf32, schedule=schedule, tiles=tiles, seconds=took, tried=len(calls) - 1, torch=torch.__version__,
            triton=find_version("triton"),
        ))  # fmt: skip
    micro = {key: f"{1e6 * value:.2f} µs" for key, value in step.items()}
    found = f"{best} {micro[best]}" if best else "no tile configuration"
    faults = f", {len(wrong)} excluded: {next(iter(wrong))}" if wrong else ""
    return f"{name.cell} {name.direction} B={name.B} H={name.H} {name.dtype}: {found}, stepwise {micro.get(None, 'failed')}{faults}", step


def make_calls(
    name: PassKey, built: dict[Tiles, Future[int]], device: torch.device
) -> tuple[dict[Tiles | None, Callable[[], object]], dict[str, Tiles | None]]:
    """Returns the calls to time, with `stepwise` under None, and the excluded tile configurations by reason."""
    work, forward = name.work, name.direction == "forward"
    loop = persistent.random_inputs(work, T, device)
    dy = torch.randn_like(loop.states[0].expand(T, -1, -1)).contiguous()
    d_final = [torch.randn_like(s) for s in loop.states]
    trajectory = stepwise.forward(loop)

    def call(schedule_backward: Callable[..., object], schedule_forward: Callable[[PassInputs], object]) -> object:
        return schedule_forward(loop) if forward else schedule_backward(loop, trajectory, dy, d_final)

    expected = list_tensors(call(stepwise.backward, stepwise.forward))
    calls: dict[Tiles | None, Callable[[], object]] = {None: partial(call, stepwise.backward, stepwise.forward)}
    wrong: dict[str, Tiles | None] = {}
    for tiles, spills in built.items():
        run = partial(call, partial(persistent.backward, tiles=tiles), partial(persistent.forward, tiles=tiles))
        try:
            if spills.result():
                raise ValueError(f"{tiles} spills {spills.result()} bytes")
            off = max(compute_error(a, b.double()) for a, b in zip(list_tensors(run()), expected, strict=True))
            if not off <= find_tolerance(name.dtype, "ieee"):
                raise ValueError(f"{tiles} is off by {off:.1e}")
        except Exception as fault:
            wrong[f"{type(fault).__name__}: {fault}"] = tiles
        else:
            calls[tiles] = run
    return calls, wrong


def list_tensors(result: object) -> list[Tensor]:
    """Returns the tensors of a pass's result, in the same order for all schedules."""
    groups = (result.history, result.arguments) if isinstance(result, ForwardResult) else vars(result).values()
    return [t for group in groups if group is not None for t in group]
