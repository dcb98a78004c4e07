"""Defines the experiment of `bench all`, whose cases a worker process measures."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self

import torch

from bench.harness.experiment import Experiment, OpenRun
from bench.harness.jobs import list_work_units
from bench.harness.progress import show_progress
from bench.harness.settings import Settings
from bench.harness.supervisor import Supervisor
from bench.harness.work_unit import WorkUnit
from bench.harness.worker import Worker
from bench.measure.problem import DTYPES
from bench.records import Case, Environment
from bench.records import Plan as RunPlan
from cells import load
from kernels.derive.plan import Plan, plan
from kernels.layer.loop_plan import fuse_inputs
from kernels.schedules.cpu import library
from kernels.schedules.newton import cpu_form

BUILDERS: dict[str, Callable[[Plan, torch.dtype], Path]] = {"loop": library.build_loop, "iteration": cpu_form.build_iteration}


def compile_loops(units: Sequence[WorkUnit]) -> None:
    """Compiles the C++ loops that aren't in the cache yet, one on each core, so that no case waits for its own. What can't be compiled is
    left to its case, which says why.

    Args:
        units: The work units of a run on a CPU.
    """
    needed = dict.fromkeys(build for unit in units for case in unit.cases for build in list_builds(unit.kind, case))
    with contextlib.suppress(RuntimeError, OSError), ThreadPoolExecutor(os.cpu_count()) as pool:
        for dtype in {dtype for _, _, dtype in needed if library.compiler()}:
            library.build_products(dtype)
            for build, made, its in needed:
                if its == dtype:
                    pool.submit(BUILDERS[build], made, dtype)


def list_builds(kind: str, case: Case) -> Iterator[tuple[str, Plan, torch.dtype]]:
    """Yields the builder of each library that a case of a unit loads, its plan and its dtype."""
    backend, dtype = case.backend.removesuffix("-low"), torch.int8 if case.backend == "int8" else DTYPES[case.dtype]
    made = plan(load(case.cell))
    if kind == "gradients" or backend in ("compiled", "int8"):
        runs_layer = kind != "gradients" and case.input_product and "-low" not in case.backend
        chosen = fuse_inputs(made.cell, made.bias, case.T, case.B, case.H, case.mode != "inference") if runs_layer else made
        yield "loop", chosen, dtype
    if backend == "newton":
        yield from ((build, made, library.computed_in(dtype)) for build in ("iteration", "loop"))


class SpeedExperiment(Experiment):
    """Measures the cases of a run in a worker process.

    Args:
        run_settings: The settings of the run.
        case_limit: The seconds that a case's check, and one call of it, may take.
    """

    def __init__(self, run_settings: Settings, case_limit: float):
        super().__init__(run_settings.suite, run_settings.device, asdict(run_settings))
        self.run_settings, self.case_limit = run_settings, case_limit

    def __enter__(self) -> Self:
        with ExitStack() as context:  # kills the worker if planning fails
            worker = Worker(self.run_settings, self.case_limit)  # its process takes seconds to start: those in which this one plans
            context.callback(worker.kill)
            self.units = list_work_units(self.run_settings)
            if self.run_settings.device == "cpu":
                compile_loops(self.units)
            cases = {case for unit in self.units if unit.kind in ("check", "timing group") for case in unit.cases}
            self.plan = RunPlan(unit="case", count=len(cases))
            tell = context.enter_context(show_progress(sum(unit.pieces for unit in self.units)))
            self.supervisor = Supervisor(worker, tell, self.run_settings.rule.builds)
            self.context = context.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def read_environment(self) -> Environment:
        return self.supervisor.read_machine()

    def measure(self, run: OpenRun) -> None:
        try:
            self.supervisor.run_units(self.units, run.emit, run.before, run.until)
            if run.count and time.monotonic() < run.until and not self.run_settings.quick:
                self.constants = self.supervisor.read_machine().constants
        finally:
            skipped = self.supervisor.skipped
            cases, names = sum(len(unit.cases) for unit in skipped), "; ".join(unit.name for unit in skipped)
            self.left_out = [f"{cases} cases: {names}"] if skipped else []
            self.spent, self.failed = self.supervisor.spent, self.supervisor.failed

    def interrupt(self, run: OpenRun) -> None:
        self.supervisor.stop(run.emit)
