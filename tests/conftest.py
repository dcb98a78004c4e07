"""What every test stands on: Triton's interpreter where there is no GPU, fresh memory full of NaN, fixed seeds and threads."""

import contextlib
import ctypes
import functools
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read by torch: a thread that waits must not take a core from other tests

import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script; what a test starts would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)

from kernels.layer.select import SCHEDULES
from kernels.schedules.cpu import library
from kernels.schedules.cpu import threads as threads_of_a_pass
from kernels.schedules.interface import SIXTEEN_BIT, ForwardResult, PassInputs, widens_vectors
from tests import interpreter

with contextlib.suppress(ImportError):  # the GPU tests run without it, where nothing can be installed
    from hypothesis import HealthCheck, settings

    # Nor is a busy machine a fault of the examples.
    calm = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("full", calm)
    settings.register_profile("sample", calm, max_examples=30)

M_PERTURB = -6


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="Write the files in tests/golden again, instead of comparing with them.")


def is_sample(config: pytest.Config) -> bool:
    """Returns whether this is `make test`, or another part of the tests, and not `make test-full`."""
    return "not full" in config.getoption("-m")


def pytest_configure(config: pytest.Config) -> None:
    if importlib.util.find_spec("hypothesis"):
        settings.load_profile("sample" if is_sample(config) else "full")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are cores: a quarter of a test's time it waits, for what it has started or on purpose."""
    return min(4, 1 + (os.cpu_count() or 1))


@pytest.fixture(autouse=True, scope="session")
def poison() -> Iterator[None]:
    """What the kernels allocate and don't fill is NaN: their tensors, and with glibc the scratch memory of their C++ too."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((torch, "empty"), (torch, "empty_like"), (Tensor, "new_empty")):
            patch.setattr(owner, name, poisoned(getattr(owner, name)))
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_PERTURB, 0x100)  # malloc fills with the complement of the low byte: 0xFF, a NaN in float and double
        yield
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_PERTURB, 0)


def poisoned(allocate: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`allocate`, filling with NaN what a module of `kernels` asks it for."""

    @functools.wraps(allocate)
    def call(*arguments: object, **options: object) -> Tensor:
        made = allocate(*arguments, **options)
        asker = sys._getframe(1).f_globals.get("__name__", "")
        return made.fill_(float("nan")) if asker.startswith("kernels.") and made.is_floating_point() else made

    return call


@pytest.fixture(autouse=True, scope="session")
def optimised_less(request: pytest.FixtureRequest) -> Iterator[None]:
    """Loops of this process are compiled in half the time; `make test-full`, and every run that a test starts, has them as users do."""
    with pytest.MonkeyPatch.context() as patch:
        if is_sample(request.config):
            patch.setattr(library, "FLAGS", ["-Og" if flag == "-O3" else flag for flag in library.FLAGS])
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_interpreter() -> Iterator[None]:
    """Triton's interpreter patches its language once in a launch, and makes each type once."""
    if os.environ.get("TRITON_INTERPRET") != "1" or not importlib.util.find_spec("triton"):
        yield
        return
    from triton.runtime.interpreter import InterpretedFunction

    with pytest.MonkeyPatch.context() as patch:
        interpreter.patch_once(InterpretedFunction, patch.setattr)
        interpreter.keep_types(patch.setattr)
        yield


@pytest.fixture(autouse=True, scope="session")
def contract() -> Iterator[None]:
    """Tensors of a loop are contiguous and of one dtype but for vectors, as `kernels.schedules.interface` says: loops address memory, and
    may not miss."""
    with pytest.MonkeyPatch.context() as patch:
        for schedule in SCHEDULES.values():
            for name in ("forward", "backward"):
                patch.setattr(schedule, name, held(getattr(schedule, name), widens_vectors(schedule)))
        yield


def held(run: Callable[..., object], wide_vectors: bool) -> Callable[..., object]:
    """A schedule's `run`, given only what it may be given."""

    def tensors(value: object) -> Iterator[Tensor]:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from tensors(item)
        elif isinstance(value, (PassInputs, ForwardResult)):
            used = {key: item for key, item in vars(value).items() if key != "projections" or run.__name__ == "forward"}
            yield from tensors(list(used.values()))

    @functools.wraps(run)
    def call(*arguments: object, **options: object) -> object:
        given = list(tensors(arguments))
        strided = [tuple(t.shape) for t in given if not t.is_contiguous()]
        assert not strided, f"a loop is given tensors that aren't contiguous, of the shapes {strided}"
        vectors = [v for inputs in arguments if isinstance(inputs, PassInputs) for v in inputs.vectors]
        dtypes = {t.dtype for t in given if not any(t is v for v in vectors)}
        assert len(dtypes) == 1, "a loop is given tensors of several dtypes"
        allowed = {*dtypes, torch.float32} if wide_vectors and dtypes < {*SIXTEEN_BIT} else dtypes
        assert {v.dtype for v in vectors} <= allowed, "a loop is given vectors of another dtype"
        return run(*arguments, **options)

    return call


@pytest.fixture(autouse=True, scope="session")
def threads() -> Iterator[None]:
    """Two threads, wherever the tests run and however little there is to do: how rows are dealt out depends on it."""
    torch.set_num_threads(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads_of_a_pass, "MIN_THREADED_FLOP", 0)
        patch.setattr(threads_of_a_pass, "MIN_SHARED_STEP_FLOP", 0)
        yield


@pytest.fixture(autouse=True, scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for temporary files, and one for locks, of each process that runs tests: two may run a benchmark at once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TMPDIR", "RECURRENT_BENCH_LOCKS"):
            patch.setenv(name, str(tmp_path_factory.getbasetemp()))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
