"""Runs a cell in JAX: its graph, in a `jax.lax.scan` under `jax.jit`, with gradients by `jax.vjp`.

What depends on no state is computed before the scan, and the matrices of one operand are one product, as a user of JAX would write it.
JAX chooses the number of its threads itself. Compiled code is kept in the user's cache folder.
"""

import operator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from bench.measure.cell_graph import CellGraph, Group
from bench.measure.foreign_workload import ForeignCalls, ForeignWorkload
from bench.measure.problem import Problem
from bench.measure.workload import Workload
from cells.grammar.reductions import Reduction
from kernels.derive.graph import Node
from kernels.derive.plan import Plan, plan
from kernels.schedules.cpu.library import cache_folder

ARITHMETIC: dict[str, Any] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg}
LEARNED = {"b", "p", "s"}


@cache
def import_jax() -> Any:
    """Imports JAX with a cache of compiled code, and with float64."""
    import jax

    jax.config.update("jax_enable_x64", True)  # otherwise it computes in float32 whatever it is given
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return jax


def build_jax(problem: Problem) -> Workload:
    """Builds the scan of a cell and its gradients."""
    jax, made = import_jax(), plan(problem.cell)
    graph = CellGraph(made)
    joined = graph.join_weights(problem.weights)
    learned = {name: to_array(value) for name, value in joined.items()}
    function = partial(run_scan, made, graph)

    def vjp(x: Any, states: Any, weights: Any, dy: Any, d_final: Any) -> Any:
        _, pull = jax.vjp(function, x, states, weights)
        return pull((dy, d_final))

    def train(x: Any, states: Any, weights: Any, dy: Any) -> Any:
        _, pull = jax.vjp(lambda x, weights: function(x, states, weights)[0], x, weights)
        return pull(dy)

    run_compiled, train_compiled, vjp_compiled = jax.jit(function), jax.jit(train), jax.jit(vjp)
    wait = jax.block_until_ready

    def differentiate(x: Any, states: Any, dy: Any, d_final: Any) -> tuple[Any, Any, Any]:
        dx, d_states, d_weights = wait(vjp_compiled(x, tuple(states), learned, dy, tuple(d_final)))
        return dx, d_states, [d_weights[name] for name in joined]

    def call_train(x: Any, states: Any, dy: Any) -> tuple[Any, Any]:
        dx, d_weights = wait(train_compiled(x, tuple(states), learned, dy))
        return dx, [d_weights[name] for name in joined]

    return ForeignWorkload(problem, ForeignCalls(
        run=lambda x, states: wait(run_compiled(x, tuple(states), learned)), train=call_train, differentiate=differentiate,
        to_array=to_array, to_tensor=to_tensor,
        name_gradients=lambda found: graph.split_weights(dict(zip(joined, found, strict=True))),
    ))  # fmt: skip


def run_scan(made: Plan, graph: CellGraph, x: Any, states: tuple[Any, ...], weights: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Runs a cell.

    Args:
        made: The plan of the cell.
        graph: Its graph.
        x: The input (T, B, D).
        states: The initial states, each (B, H).
        weights: The trainable arrays, joined.

    Returns:
        y (T, B, H) and the final states (B, H).
    """
    jnp, operations = import_jax().numpy, JaxOperations(made, weights)
    known: dict[Any, Any] = {n: weights[f"{n.op}.{n.label}"] for n in graph.before if n.op in LEARNED}
    known |= {n: x for n in graph.before if n.op == "x"}
    known |= {n: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]]) for n in graph.before if n.op == "before"}
    known |= {n: jnp.arange(len(x), dtype=x.dtype).reshape(-1, 1, 1) for n in graph.before if n.op == "time"}
    graph.evaluate(graph.before, known, operations)
    fixed = {n: known[n] for n in graph.constants}

    def step(carried: tuple[Any, ...], rows: list[Any]) -> tuple[tuple[Any, ...], Any]:
        here = fixed | dict(zip(graph.rows, rows, strict=True))
        here |= {n: carried[graph.states.index(n.label)] for n in graph.inside if n.op == "state"}
        graph.evaluate(graph.inside, here, operations)
        following = tuple(jnp.broadcast_to(here[n], s.shape).astype(s.dtype) for n, s in zip(graph.outputs, carried, strict=True))
        return following, following[0]

    final, y = import_jax().lax.scan(step, states, [known[n] for n in graph.rows], length=len(x))
    return y, final


class JaxOperations:
    """The operations of JAX, with the trainable arrays of a cell."""

    def __init__(self, made: Plan, weights: dict[str, Any]):
        self.made, self.weights = made, weights

    def apply(self, node: Node, arguments: list[Any]) -> Any:
        if node.op == "const":
            return node.value
        if node.op == "stencil":
            return self.apply_stencil(node.label, arguments[0])
        if node.op == "reduce":
            return reduce_units(node.graph.reductions[node.label], arguments[0])
        return list_functions()[node.label](*arguments) if node.op == "call" else ARITHMETIC[node.op](*arguments)

    def product(self, group: Group, operand: Any) -> Any:
        jnp, W = import_jax().numpy, self.weights[f"W.{group[0]}"]
        if W.ndim == 2:
            return operand @ W.T
        blocks = operand.reshape(*operand.shape[:-1], *W.shape[:2])
        return jnp.einsum("hij,...hj->...hi", W, blocks).reshape(operand.shape)

    def part(self, value: Any, index: int, count: int) -> Any:
        width = value.shape[-1] // count
        return value[..., index * width : (index + 1) * width]

    def apply_stencil(self, name: str, field: Any) -> Any:
        """Applies a stencil of the cell to a field (B, H)."""
        jnp, H = import_jax().numpy, field.shape[-1]
        stencil = self.made.graph.stencils[name]
        offsets, weights = stencil.offsets(H), to_array(stencil.weights(torch.zeros(H, dtype=torch.float64))).astype(field.dtype)
        reach = max(map(abs, offsets))
        around = jnp.pad(field, ((0, 0), (reach, reach)))
        return sum(weights[i] * around[:, reach + k : reach + k + H] for i, k in enumerate(offsets))


def reduce_units(reduction: Reduction, value: Any) -> Any:
    """Computes a reduction over the units of each head of a value."""
    jax = import_jax()
    kinds = {"sum": jax.numpy.sum, "mean": jax.numpy.mean, "max": lambda v, **axis: jax.lax.stop_gradient(jax.numpy.max(v, **axis))}
    parts = value.reshape(*value.shape[:-1], reduction.heads, -1)
    found = kinds[reduction.kind](parts, axis=-1, keepdims=True)
    return found[..., 0] if reduction.heads == 1 else jax.numpy.broadcast_to(found, parts.shape).reshape(value.shape)


@cache
def list_functions() -> dict[str, Any]:
    """Returns the functions of `cells.grammar.functions` in JAX. Where a derivative jumps it is that of JAX, which may differ there."""
    jax = import_jax()
    jnp, nn = jax.numpy, jax.nn
    return {
        "abs": jnp.abs, "exp": jnp.exp, "log": jnp.log, "sqrt": jnp.sqrt, "tanh": jnp.tanh, "sigmoid": nn.sigmoid, "softplus": nn.softplus,
        "relu": nn.relu, "hard_tanh": lambda v: jnp.clip(v, -1, 1), "hard_sigmoid": lambda v: jnp.clip(v + 3, 0, 6) / 6,
        "maximum": jnp.maximum, "minimum": jnp.minimum, "less": lambda a, b: a < b, "at_most": lambda a, b: a <= b, "where": jnp.where,
        "floor": jnp.floor, "sin": jnp.sin, "cos": jnp.cos, "erf": jax.scipy.special.erf, "power": jnp.power,
    }  # fmt: skip


def to_array(tensor: Tensor) -> Any:
    """Returns a JAX array with a copy of a tensor."""
    jnp, tensor = import_jax().numpy, tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return jnp.asarray(tensor.float().numpy()).astype(jnp.bfloat16)
    return jnp.array(tensor.numpy())


def to_tensor(array: Any) -> Tensor:
    """Returns a tensor with a copy of a JAX array."""
    import numpy as np

    if array.dtype == import_jax().numpy.bfloat16:
        return torch.from_numpy(np.array(array.astype("float32"))).bfloat16()
    return torch.from_numpy(np.array(array))
