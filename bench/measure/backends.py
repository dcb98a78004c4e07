"""Builds the workload of a problem for each backend. To add a backend, add a function."""

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.measure import conv2d_loop, eager_loop, linear_recurrence
from bench.measure.pararnn_peer import build_pararnn
from bench.measure.peer_process import PEER_BUILDERS, RemoteWorkload
from bench.measure.problem import Answer, Problem
from bench.measure.scan_peers import SCANS
from bench.measure.torchrecurrent_cells import PEERS
from bench.measure.workload import LayerForward, Result, Unsupported, Workload, copy_weights, requires_grad_copy, wrap, wrap_layer
from kernels import RNN
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.layer.autograd import Recurrence
from kernels.layer.input_products import recurrence_operands
from kernels.layer.select import SCHEDULES, backend_names


def build_workload(backend: str, problem: Problem, input_product: bool = True) -> Workload:
    """Builds the workload of a case.

    Args:
        backend: The name of a backend, or "FILE.py:NAME" for a user's.
        problem: The problem.
        input_product: Whether the input projection is part of the call.

    Raises:
        Unsupported: The backend can't run the case.
    """
    if problem.masks is not None and (not input_product or (":" not in backend and not runs_cells(backend))):
        raise Unsupported("has no masks of zoneout and dropout, which only layers that include the input projection have")
    if not input_product:
        if SCHEDULES.get(backend) is None and not (backend == "eager" and eager_loop.has_eager_loop(plan(problem.cell))):
            raise Unsupported("always computes the input product")
        return build_loop_only(backend, problem)
    if ":" in backend:
        return load_user_backend(backend)(replace(problem))  # a copy with its own tensors, so that the function can change only those
    if backend in PEER_BUILDERS:
        return RemoteWorkload(backend, problem)
    build = {
        "vendor": build_vendor, "torchrecurrent": build_torchrecurrent, "pararnn": build_pararnn, "conv2d": build_conv2d,
        "int8": build_int8,
    }.get(backend)  # fmt: skip
    if build:
        return build(problem)
    return build_scan(backend, problem) if backend in SCANS else build_rnn(backend, problem)


def runs_cells(backend: str) -> bool:
    """Returns whether `kernels.RNN` has a backend of that name, or with low memory."""
    return backend.removesuffix("-low") in {*backend_names()} - {"torch"}


@cache
def load_user_backend(name: str) -> Callable[[Problem], Workload]:
    """Loads a user's backend: the function NAME of "FILE.py:NAME", which returns the workload of a problem or raises Unsupported."""
    file, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise Unsupported(f"{file} has no function {function}")
    return getattr(module, function)


def build_rnn(backend: str, problem: Problem) -> Workload:
    """Builds `kernels.RNN` on one of its schedules (with low memory if the name ends in "-low"), or the eager reference."""
    rnn = make_layer(backend, problem)
    work = wrap_layer(problem, rnn, rnn.tensors(), rnn.gradients_of_weights)
    rnn.draw_masks = lambda x: {"drawn": work.masks[0]} if work.masks and rnn.training else {}  # type: ignore[method-assign]
    return work


def make_layer(backend: str, problem: Problem, dtype: torch.dtype | None = None) -> RNN:
    """Builds `kernels.RNN` with the weights of a problem, in its dtype or another. Raises Unsupported if the schedule can't run it."""
    name, _, memory = backend.partition("-")
    check_supported(name, problem)
    if name == "auto" and problem.device.type == "cpu" and explain_unsupported("compiled", problem, dtype):
        name = "eager"  # as "auto" would, which warns: here a record says what ran
    chosen: dict[str, Any] = {"backend": name, "memory": memory or "full", "device": problem.device, "dtype": dtype or problem.dtype}
    rnn = RNN(problem.cell, problem.D, problem.H, **chosen)
    rnn.exclude_torch_operator = True
    rnn.set_weights(problem.weights)
    return rnn


def build_int8(problem: Problem) -> Workload:
    """Builds `kernels.RNN` with its matrices in 8 bits, on the loop of a CPU; it has outputs and no gradients."""
    if problem.dtype != torch.float32:
        raise Unsupported("quantizes layers in float32")
    rnn = make_layer("compiled", problem).quantize()
    work = wrap_layer(problem, rnn, {}, dict)

    @torch.no_grad()
    def check() -> Answer:
        y, final = work.forward([problem.x], problem.states)
        return Answer([y, *final], {})

    return replace(work, check=check)


def explain_unsupported(backend: str, problem: Problem, dtype: torch.dtype | None = None) -> str | None:
    """Returns why a schedule can't run a problem, or None. A backend that is no schedule has no reason."""
    schedule = SCHEDULES.get(backend)
    size = problem.device, problem.B, problem.H
    return schedule.unsupported_reason(plan(problem.cell), dtype or problem.dtype, *size) if schedule else None


def build_loop_only(backend: str, problem: Problem) -> Workload:
    """Builds the loop of a schedule, or one of eager torch, with the input projection precomputed."""
    check_supported(backend, problem)
    made, schedule = plan(problem.cell), SCHEDULES.get(backend)
    weights, projections = copy_weights(problem), layout(made).projections

    def rows(x: Tensor) -> list[Tensor | None]:
        tensors = recurrence_operands(made, x, problem.H, weights)
        values = tensors[3 * len(projections) :]
        for k, projection in enumerate(projections):
            v, W, bias = tensors[3 * k : 3 * k + 3]
            given = values[projection.operand_index] if projection.operand_index >= 0 else v
            assert given is not None and W is not None
            tensors[3 * k : 3 * k + 3] = [F.linear(given, W, bias), None, None]
        return tensors

    given = [None if t is None else requires_grad_copy(t) for t in rows(problem.x)]

    def forward(inputs: Sequence[Tensor], states: Sequence[Tensor]) -> Result:
        take = iter(inputs)
        tensors = [None if t is None else next(take) for t in given]
        if schedule is None:
            return eager_loop.run_eager_loop(made, tensors, states)
        y, *final = Recurrence.apply(made, schedule, torch.is_grad_enabled(), problem.T, *tensors, *states)
        return y, tuple(final)

    check = wrap(problem, lambda x, states, _: forward([t for t in rows(x) if t is not None], states), weights).answer
    return Workload(problem, forward, [t for t in given if t is not None], [], lambda _: {}, check)


def build_vendor(problem: Problem) -> Workload:
    """Builds the layer of torch.nn: cuDNN on a GPU, torch's own kernels on a CPU."""
    twin = problem.cell.torch_equivalent
    if twin is None:
        raise Unsupported("torch.nn has no such cell")
    module = twin.build(problem.D, problem.H, device=problem.device, dtype=problem.dtype)
    flatten_weights(module)
    module.load_state_dict({f"{key}_l0": value for key, value in twin.pack(problem.weights).items()})
    tensors: dict[str, Tensor] = {name.removesuffix("_l0"): parameter for name, parameter in module.named_parameters()}
    return wrap_layer(problem, module, tensors, lambda packed: {name: twin.rows_of(name, packed)[0] for name in problem.weights})


def flatten_weights(module: nn.RNNBase) -> None:
    """Puts the weights into one block, as cuDNN needs them. torch does not do this for bfloat16, because torch.backends.cudnn doesn't list
    that dtype, and would copy all weights in every call. Does nothing where cuDNN can't."""
    weight = module.weight_hh_l0
    if weight.is_cuda and weight.dtype == torch.bfloat16 and torch.backends.cudnn.is_available():
        mode = torch.backends.cudnn.rnn.get_cudnn_mode(module.mode)
        sizes = module.input_size, mode, module.hidden_size, 0, module.num_layers, module.batch_first, module.bidirectional
        with torch.no_grad(), torch.cuda.device_of(weight), contextlib.suppress(RuntimeError):
            torch._cudnn_rnn_flatten_weight(list(module.parameters()), 4, *sizes)


def build_torchrecurrent(problem: Problem) -> Workload:
    """Builds a cell of the package torchrecurrent, in eager torch."""
    if importlib.util.find_spec("torchrecurrent") is None:
        raise Unsupported("torchrecurrent is not installed: pip install torchrecurrent")
    import torchrecurrent as package

    if problem.name not in PEERS:
        raise Unsupported("torchrecurrent has no such cell")
    name, options, names = PEERS[problem.name]
    module = getattr(package, name)(problem.D, problem.H, **options).to(problem.device, problem.dtype)
    parameters = dict(module.cells[0].named_parameters())
    with torch.no_grad():
        for key, parts in names.items():
            parameters[key].copy_(torch.cat([problem.weights[part] for part in parts]))

    def named(gradients: list[Tensor]) -> dict[str, Tensor]:
        found = dict(zip(names, gradients, strict=True))
        return {p: part for k, parts in names.items() for p, part in zip(parts, found[k].chunk(len(parts)), strict=True)}

    return Workload(
        problem, LayerForward(module), [requires_grad_copy(problem.x)],
        [parameters[key] for key in names], named,
    )  # fmt: skip


def build_scan(backend: str, problem: Problem) -> Workload:
    """Builds a solver of torch or of a package for a cell that is affine in one state."""
    made, scan = plan(problem.cell), SCANS[backend]
    if not linear_recurrence.is_linear_recurrence(made):
        raise Unsupported(f"takes a step that is affine in one state and has no product: that of {problem.cell.name} isn't")
    if why := scan.explain_unsupported(problem.device, problem.dtype):
        raise Unsupported(why)
    if scan.positive and not linear_recurrence.has_positive_slopes(made, problem.x, problem.H, problem.weights):
        raise Unsupported(f"takes the logarithm of a in h = a·h + b: {problem.cell.name} has an a here that isn't positive")
    return wrap(problem, partial(linear_recurrence.run_recurrence, made, scan.run), copy_weights(problem))


def build_conv2d(problem: Problem) -> Workload:
    """Builds the loop over torch's conv2d for the cell `wave`."""
    if problem.name != "wave":
        raise Unsupported("is a loop for the cell wave alone")
    return wrap(problem, conv2d_loop.run_conv2d_loop, copy_weights(problem))


def check_supported(backend: str, problem: Problem) -> None:
    if reason := explain_unsupported(backend, problem):
        raise Unsupported(reason)
