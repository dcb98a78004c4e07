"""The contestants: for each backend, how a problem becomes something to run. Add one by adding a function."""

import contextlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.measure import conv2d_loop, eager_loop, linear_recurrence
from bench.measure.clock import Contestant
from bench.measure.problem import Answer, Problem
from bench.measure.scan_peers import SCANS
from bench.measure.torchrecurrent_cells import PEERS
from bench.records import Mode
from kernels import RNN
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.layer.autograd import Recurrence
from kernels.layer.input_products import hoist
from kernels.layer.select import SCHEDULES


class Unsupported(Exception):
    """A backend can't run a case; the message is the reason."""


@dataclass
class Workload:
    """A case, ready to run. `forward(*inputs, states)` gives y and the final states; `learned` are its learned tensors,
    `named` their gradients by the cell's names. `inputs` is x, or the rows in front of the loop where those are given; then
    `rows` computes them, for the check alone."""

    problem: Problem
    forward: Callable[[list[Tensor], list[Tensor]], tuple[Tensor, tuple[Tensor, ...]]]
    inputs: list[Tensor]
    learned: list[Tensor]
    name_gradients: Callable[[list[Tensor]], dict[str, Tensor]]
    check: Callable[[], Answer] | None = None

    def __post_init__(self) -> None:
        self.states = [s.clone() for s in self.problem.states]  # its own: no backend can spoil another's
        self.dy = self.problem.dy.clone()

    def infer(self) -> Tensor:
        with torch.no_grad():
            return self.forward(self.inputs, self.states)[0]

    def train(self) -> tuple[Tensor, ...]:
        return self.differentiate(self.forward(self.inputs, self.states)[0])

    def differentiate(self, y: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, [*self.inputs, *self.learned], self.dy, allow_unused=True)

    def contestant(self, mode: Mode) -> Contestant:
        """Return what a mode times: for "backward", each call gets a forward pass of its own before it, untimed."""
        if mode != "backward":
            return Contestant(self.infer if mode == "inference" else self.train)
        waiting: list[Tensor] = []
        return Contestant(lambda: self.differentiate(waiting.pop()), lambda: waiting.append(self.forward(self.inputs, self.states)[0]))

    def roll_batch(self, rows: int) -> None:
        """Move all sequences and states along the batch, in place: what comes out moves along with them, or isn't computed."""
        sequences = [t for t in (*self.inputs, self.dy) if t.dim() == 3]
        with torch.no_grad():
            for tensor, batch in [*((t, 1) for t in sequences), *((s, 0) for s in self.states)]:
                tensor.copy_(tensor.roll(rows, batch))

    def answer(self) -> Answer:
        """Return outputs and every gradient, through y and the final states, to compare with the reference."""
        if self.check:
            return self.check()
        states = [s.clone().requires_grad_() for s in self.problem.states]
        y, final = self.forward(self.inputs, states)
        leaves = [*self.inputs, *states, *self.learned]
        upstream = [self.problem.dy, *self.problem.d_final]
        gradients = list(torch.autograd.grad([y, *final], leaves, upstream, allow_unused=True, materialize_grads=True))
        names = ["x", *(f"{s}_0" for s in self.problem.cell.states)]
        found = dict(zip(names, gradients, strict=False)) | self.name_gradients(gradients[len(names) :])
        return Answer([y.detach(), *(f.detach() for f in final)], found)


def build_workload(backend: str, problem: Problem, input_product: bool = True) -> Workload:
    """The workload of a case. Raises Unsupported with the reason where there is none."""
    if not input_product:
        if SCHEDULES.get(backend) is None and not (backend == "eager" and eager_loop.has_eager_loop(plan(problem.cell))):
            raise Unsupported("always computes the input product")
        return loop_only(backend, problem)
    if ":" in backend:
        return load_user_backend(backend)(replace(problem))  # drawn anew from its seed: what it does to it is done to it alone
    if backend == "vendor":
        return vendor_backend(problem)
    if backend == "torchrecurrent":
        return torchrecurrent_backend(problem)
    if backend in SCANS:
        return scan_backend(backend, problem)
    if backend == "conv2d":
        return conv2d_backend(problem)
    return rnn_backend(backend, problem)


@cache
def load_user_backend(name: str) -> Callable[[Problem], Workload]:
    """A backend of a user's: the function NAME of "FILE.py:NAME", which makes the workload of a problem, or raises Unsupported."""
    file, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise Unsupported(f"{file} has no function {function}")
    return getattr(module, function)


def rnn_backend(backend: str, problem: Problem) -> Workload:
    """`kernels.RNN` on one of its schedules, with low memory where the name ends so, or the eager reference."""
    rnn = make_layer(backend, problem)
    weights = rnn.weights()
    return Workload(
        problem, lambda inputs, states: unpack_result(rnn(inputs[0], pack_states(states))), [requires_grad_copy(problem.x)],
        list(weights.values()), lambda gradients: dict(zip(weights, gradients, strict=True)),
    )  # fmt: skip


def make_layer(backend: str, problem: Problem, dtype: torch.dtype | None = None) -> RNN:
    """`kernels.RNN` with a problem's weights, in its dtype or another. Raises Unsupported where a schedule can't run it."""
    name, _, memory = backend.partition("-")
    check_supported(name, problem)
    if name == "auto" and problem.device.type == "cpu" and why_not_compiled(problem, dtype or problem.dtype):
        name = "eager"  # as "auto" would, which warns: here a record says what ran
    chosen: dict[str, Any] = {
        "backend": name,
        "memory": memory or "full",
        "device": problem.device,
        "dtype": dtype or problem.dtype,
    }
    rnn = RNN(problem.cell, problem.D, problem.H, **chosen)
    rnn.derived = True
    with torch.no_grad():
        for name, parameter in rnn.weights().items():
            parameter.copy_(problem.weights[name])
    return rnn


def why_not_compiled(problem: Problem, dtype: torch.dtype) -> str | None:
    """Why a CPU's default can't run a problem; None where it can."""
    return SCHEDULES["compiled"].unsupported_reason(plan(problem.cell), dtype, problem.device, problem.B, problem.H)


def loop_only(backend: str, problem: Problem) -> Workload:
    """A schedule's loop alone, or one of eager torch: what runs in front of it is given."""
    check_supported(backend, problem)
    made, schedule = plan(problem.cell), SCHEDULES.get(backend)
    weights = {name: requires_grad_copy(value) for name, value in problem.weights.items()}
    projections = layout(made).projections

    def rows(x: Tensor) -> list[Tensor | None]:
        tensors = hoist(made, x, problem.H, weights)
        values = tensors[3 * len(projections) :]
        for k, projection in enumerate(projections):
            v, W, bias = tensors[3 * k : 3 * k + 3]
            given = values[projection.value] if projection.value >= 0 else v
            assert given is not None and W is not None
            tensors[3 * k : 3 * k + 3] = [F.linear(given, W, bias), None, None]
        return tensors

    given = [None if t is None else requires_grad_copy(t) for t in rows(problem.x)]
    inputs = [t for t in given if t is not None]

    def forward(inputs: list[Tensor], states: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        take = iter(inputs)
        tensors = [None if t is None else next(take) for t in given]
        if schedule is None:
            return eager_loop.eager_loop(made, tensors, states)
        y, *final = Recurrence.apply(made, schedule, torch.is_grad_enabled(), problem.T, *tensors, *states)
        return y, tuple(final)

    def check() -> Answer:
        x = requires_grad_copy(problem.x)
        whole = Workload(problem, lambda _, states: forward([t for t in rows(x) if t is not None], states), [x],
                         list(weights.values()), lambda gradients: dict(zip(weights, gradients, strict=True)))  # fmt: skip
        return whole.answer()

    return Workload(problem, forward, inputs, [], lambda _: {}, check)


def vendor_backend(problem: Problem) -> Workload:
    """torch.nn: cuDNN on a GPU, torch's own kernels on a CPU."""
    twin = problem.cell.torch_equivalent
    if twin is None:
        raise Unsupported("torch.nn has no such cell")
    module = twin.build(problem.D, problem.H, device=problem.device, dtype=problem.dtype)
    flatten_weights(module)
    twin.write(problem.weights, module)
    names = [name.removesuffix("_l0") for name, _ in module.named_parameters()]

    def forward(inputs: list[Tensor], states: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        module.training = torch.is_grad_enabled()  # in training cuDNN writes what its backward pass needs, whoever asks
        return unpack_result(module(inputs[0], pack_states(states)))

    return Workload(
        problem, forward, [requires_grad_copy(problem.x)],
        list(module.parameters()), lambda gradients: twin.split(dict(zip(names, gradients, strict=True))),
    )  # fmt: skip


def flatten_weights(module: nn.RNNBase) -> None:
    """Put the weights into one block, as cuDNN takes them. torch does so itself, but not in bfloat16 (torch.backends.cudnn takes it
    for a dtype that cuDNN doesn't have): there it would copy all weights in every call. Where cuDNN can't, nothing changes."""
    weight = module.weight_hh_l0
    if weight.is_cuda and weight.dtype == torch.bfloat16 and torch.backends.cudnn.is_available():
        mode = torch.backends.cudnn.rnn.get_cudnn_mode(module.mode)
        sizes = module.input_size, mode, module.hidden_size, 0, module.num_layers, module.batch_first, module.bidirectional
        with torch.no_grad(), torch.cuda.device_of(weight), contextlib.suppress(RuntimeError):
            torch._cudnn_rnn_flatten_weight(list(module.parameters()), 4, *sizes)


def torchrecurrent_backend(problem: Problem) -> Workload:
    """The package of that name: cells in eager torch."""
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
        problem, lambda inputs, states: unpack_result(module(inputs[0], pack_states(states))), [requires_grad_copy(problem.x)],
        [parameters[key] for key in names], named,
    )  # fmt: skip


def scan_backend(backend: str, problem: Problem) -> Workload:
    """A scan of torch's or of a package's, over the coefficients of a cell that is affine in one state."""
    made, scan = plan(problem.cell), SCANS[backend]
    if not linear_recurrence.is_linear_recurrence(made):
        raise Unsupported(f"takes a step that is affine in one state, and without a product: {problem.cell.name}'s isn't")
    if why := scan.unsupported(problem.device, problem.dtype):
        raise Unsupported(why)
    if scan.positive and not linear_recurrence.has_positive_slopes(made, problem.x, problem.H, problem.weights):
        raise Unsupported(f"takes the logarithm of a in h = a·h + b: {problem.cell.name} has some here that aren't above 0")
    weights = {name: requires_grad_copy(value) for name, value in problem.weights.items()}
    return Workload(
        problem, lambda inputs, states: linear_recurrence.unroll(made, scan.run, inputs[0], states, weights),
        [requires_grad_copy(problem.x)], list(weights.values()), lambda gradients: dict(zip(weights, gradients, strict=True)),
    )  # fmt: skip


def conv2d_backend(problem: Problem) -> Workload:
    """The waves of the tree in a loop over torch's conv2d."""
    if problem.name != "wave":
        raise Unsupported("is a loop for the cell wave alone")
    weights = {name: requires_grad_copy(value) for name, value in problem.weights.items()}
    return Workload(
        problem, lambda inputs, states: conv2d_loop.conv2d_loop(inputs[0], states, weights), [requires_grad_copy(problem.x)],
        list(weights.values()), lambda gradients: dict(zip(weights, gradients, strict=True)),
    )  # fmt: skip


def check_supported(backend: str, problem: Problem) -> None:
    if schedule := SCHEDULES.get(backend):
        reason = schedule.unsupported_reason(plan(problem.cell), problem.dtype, problem.device, problem.B, problem.H)
        if reason:
            raise Unsupported(reason)


def requires_grad_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def pack_states(states: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """States (B, H) as nn.LSTM takes them: (1, B, H), a tuple where there are several."""
    packed = tuple(s.unsqueeze(0) for s in states)
    return packed if len(packed) > 1 else packed[0]


def unpack_result(result: tuple[Tensor, Any]) -> tuple[Tensor, tuple[Tensor, ...]]:
    y, final = result
    return y, tuple(s.squeeze(0) for s in (final if isinstance(final, tuple) else (final,)))
