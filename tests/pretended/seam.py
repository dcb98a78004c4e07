"""The one place where a rehearsal of a campaign differs from a campaign: on a CPU, in a process that `site` of this folder is first in.

torch's GPU is pretended (`cuda`). Kernels run in Triton's interpreter, where their results matter, and those that only take time are
launched by Triton's own launcher on the stand-in for the driver (`tests/standin.c`). Sizes, repeats and time limits are small. All else is
as in a campaign.
"""

import ctypes
import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARY, CRASH, FAIL = "PRETENDED_LIBRARY", "PRETENDED_CRASH", "PRETENDED_FAIL"
"""Variables of the environment: the stand-in for the driver, the name of a step that crashes, and that of a test that fails."""

SIZES = {
    "headline": (("lstm", 2, 2, 16, 16, "float16"), ("vanilla", 2, 2, 16, 16, "float16")),
    "deepbench": (("lstm", 1, 2, 16, 16, "float16"),),
    "crossover": (("vanilla", 2, 3, 16, 16, "float16"),),
    "scans": (("mingru", 4, 2, 16, 16, "float32"),),
}
"""Of a suite: cell, T, B, D, H, dtype. One program holds 16 units, whatever its cut: none waits for another, which in the interpreter would
wait forever."""

SECONDS = {"tests": 15.0}
OTHERWISE, ENDING = 120.0, 5.0
"""Of a step: its limit, which "tests" reaches, by name or otherwise; and what it needs to end. The machine may be busy."""

WORDS = {("-n", "12"): "1", ("--seq-lens", "512,2048"): "4", ("--batch", "1,16"): "2", ("--hidden", "256,1024"): "16"}
"""What an option of a step is in place of what it was: the sizes of the step newton too, which no suite has."""


class After:
    """Finds modules as Python does, and changes some once they are imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in CHANGES else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def changed(module: ModuleType) -> None:
            run(module)
            CHANGES[name](module)

        spec.loader.exec_module = changed  # type: ignore[method-assign]
        return spec


def install() -> None:
    ctypes.CDLL(os.environ[LIBRARY], mode=ctypes.RTLD_GLOBAL)
    sys.meta_path.insert(0, After())  # type: ignore[arg-type]


def change_torch(module: ModuleType) -> None:
    from tests.pretended import cuda

    cuda.pretend()


def change_interpreter(module: ModuleType) -> None:
    """Patching its language takes the interpreter longer than a small kernel: once for every module of functions in a launch is enough."""
    from tests import interpreter

    interpreter.patch_once(module.InterpretedFunction, setattr)


def change_suites(module: ModuleType) -> None:
    module.SUITES.update({name: tuple(module.Shape(*size) for size in sizes) for name, sizes in SIZES.items()})


def change_campaign(module: ModuleType) -> None:
    module.STEPS = tuple(changed(step) for step in module.STEPS)
    module.SMOKE, module.test_arguments = said(module.SMOKE), partial(small, module.test_arguments)


def small(made: Callable[..., tuple[str, ...]], *chosen: str) -> tuple[str, ...]:
    return said(made(*chosen))


def changed(step: Any) -> Any:
    arguments = ("tests.pretended.crash",) if step.name == os.environ.get(CRASH) else said(step.arguments)
    return replace(step, limit=SECONDS.get(step.name, OTHERWISE), ending=ENDING, arguments=arguments)


def said(arguments: Iterable[str]) -> tuple[str, ...]:
    words = list(arguments)
    return tuple(WORDS.get((before, word), word) for before, word in zip(["", *words], words, strict=False))


def change_tune(module: ModuleType) -> None:
    ranked = module.rank_tilings
    module.rank_tilings = lambda work, chip: ranked(work, chip)[:1]
    module.T, module.RULE = 1, module.Rule(fewest=2, most=2)


def change_pool(module: ModuleType) -> None:
    """Its processes compile kernels, which no interpreter would."""
    watch = module.watch_parent

    @functools.wraps(watch)
    def watch_parent() -> None:
        os.environ["TRITON_INTERPRET"] = "0"
        watch()

    module.watch_parent = watch_parent


def change_clock(module: ModuleType) -> None:
    few = module.Rule(fewest=2, most=2)
    module.LEAN, module.RULES = few, dict.fromkeys(module.RULES, few)


def change_constants(module: ModuleType) -> None:
    product = module.measure_product_rate
    module.measure_product_rate = lambda dtype, n, device: product(dtype, 64, device)


def change_launches(module: ModuleType) -> None:
    """torch's profiler has nothing to say of a GPU."""
    module.count_launches = lambda call, device: 1


def change_latency(module: ModuleType) -> None:
    """Programs that wait for each other are launched and not run."""
    module.GRAPHS = (2, 8)
    from triton.runtime.jit import JITFunction

    from tests import standin

    standin.activate(Path(os.environ[LIBRARY]), Path(os.devnull))
    os.environ["TRITON_INTERPRET"] = "0"
    try:
        spec = importlib.util.find_spec("kernels.schedules.persistent.grid_barrier")
        assert spec is not None and spec.loader is not None
        compiled = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(compiled)
    finally:
        os.environ["TRITON_INTERPRET"] = "1"
    vars(module).update(arrive=compiled.arrive, wait=compiled.wait)
    vars(module).update({name: JITFunction(vars(module)[name].fn) for name in ("cross_barriers", "follow_pointers", "empty_kernel")})


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "torch": change_torch,
    "triton.runtime.interpreter": change_interpreter,
    "bench.harness.suites": change_suites,
    "bench.harness.campaign": change_campaign,
    "bench.harness.tune": change_tune,
    "bench.harness.compile_pool": change_pool,
    "bench.measure.clock": change_clock,
    "bench.measure.device_constants": change_constants,
    "bench.measure.launches": change_launches,
    "bench.measure.latency": change_latency,
}
