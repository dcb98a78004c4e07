"""Writes a cell at a size as an ONNX model: an LSTM, GRU or RNN operator for a cell of torch.nn, else a Scan over the cell's graph.

Its inputs are x (T, B, D) and the initial states (B, H), its outputs y (T, B, H) and the final states (B, H), all in float32 and of fixed
shapes. The weights are constants. Sources: the operators' definitions at onnx.ai, LSTM-14, GRU-14, RNN-14 and Scan-16.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.measure.cell_graph import CellGraph, Group
from bench.measure.problem import Problem
from cells.grammar.reductions import Reduction
from kernels.derive.graph import Node
from kernels.derive.plan import plan

OPSET, FORMAT = 18, 10
"""The versions of the operators and of the file format that are written: those of 2023, which all later programs read."""

GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""The places of ONNX's gates among torch's: i, o, f, c of LSTM and z, r, h of GRU."""
OPERATORS = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
    "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "relu": "Relu", "maximum": "Max", "minimum": "Min", "less": "Less",
    "at_most": "LessOrEqual", "where": "Where", "floor": "Floor", "sin": "Sin", "cos": "Cos", "erf": "Erf", "power": "Pow",
}  # fmt: skip


def write_model(problem: Problem) -> bytes:
    """Returns the model of a cell without stencils, serialised."""
    from onnx import TensorProto, helper

    T, B, D, H = problem.T, problem.B, problem.D, problem.H
    shapes = {"x": (T, B, D)} | {f"initial.{name}": (B, H) for name in problem.cell.states}
    ends = {"y": (T, B, H)} | {f"{name}_final": (B, H) for name in problem.cell.states}
    writer = GraphWriter({})
    (write_operator if problem.cell.torch_equivalent else write_scan)(writer, problem, list(ends))
    given, found = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in named.items()] for named in (shapes, ends))
    graph = helper.make_graph(writer.nodes, problem.name, given, found, list(writer.constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT).SerializeToString()


def write_operator(writer: "GraphWriter", problem: Problem, ends: Sequence[str]) -> None:
    """Writes a cell of torch.nn as ONNX's operator of that name."""
    twin = problem.cell.torch_equivalent
    assert twin is not None
    packed = twin.pack(problem.weights)

    def order(tensor: Tensor) -> Tensor:
        gates = tensor.chunk(len(twin.gates))
        return torch.cat([gates[k] for k in GATES[twin.module]])

    W, R, *biases = (order(value) for value in packed.values())
    options: dict[str, Any] = {"linear_before_reset": 1} if twin.module == "GRU" else {}
    if twin.module == "RNN":
        options["activations"] = ["Relu" if twin.mode == "RNN_RELU" else "Tanh"]
    zero = writer.add_constant("axis", np.array([0]))
    weights = [writer.add_tensor("W", W[None]), writer.add_tensor("R", R[None]), writer.add_tensor("bias", torch.cat(biases)[None])]
    states = [writer.add("Unsqueeze", f"initial.{name}", zero) for name in problem.cell.states]
    names = ["outputs", *(f"{name}_all" for name in problem.cell.states)]
    writer.add(twin.module, "x", *weights, "", *states, outputs=names, hidden_size=problem.H, **options)
    writer.add("Squeeze", names[0], writer.add_constant("direction", np.array([1])), outputs=[ends[0]])
    for name, end in zip(names[1:], ends[1:], strict=True):
        writer.add("Squeeze", name, zero, outputs=[end])


def write_scan(writer: "GraphWriter", problem: Problem, ends: Sequence[str]) -> None:
    """Writes a cell as what depends on no state, followed by a Scan over the rest."""
    from onnx import TensorProto, helper

    graph, states = CellGraph(plan(problem.cell)), problem.cell.states
    for name, value in graph.join_weights(problem.weights).items():
        writer.add_tensor(name, value.mT if name.startswith("W.") else value)
    known: dict[Any, str] = {n: f"{n.op}.{n.label}" for n in graph.before if n.op in ("b", "p", "s")}
    known |= {n: "x" for n in graph.before if n.op == "x"}
    known |= {n: writer.add_previous(problem) for n in graph.before if n.op == "before"}
    numbers = np.arange(problem.T, dtype=np.float32).reshape(-1, 1, 1)
    known |= {n: writer.add_constant("time", numbers) for n in graph.before if n.op == "time"}
    graph.evaluate(graph.before, known, writer)
    body = GraphWriter(writer.constants, "in_loop_")
    here = {n: known[n] for n in graph.constants} | {n: f"row_{k}" for k, n in enumerate(graph.rows)}
    here |= {n: f"{n.label}_before" for n in graph.inside if n.op == "state"}
    graph.evaluate(graph.inside, here, body)
    shape = body.add_constant("state_shape", np.array([problem.B, problem.H]))
    after = [f"{name}_after" for name in states]
    for n, name in zip(graph.outputs, after, strict=True):
        body.add(*("Expand", here[n], shape) if n in graph.constants else ("Identity", here[n]), outputs=[name])
    body.add("Identity", after[0], outputs=["y_here"])
    taken, given = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, (f"B_{name}", f"H_{name}")) for name in names] for names in (
        [*(f"{name}_before" for name in states), *(here[n] for n in graph.rows)], [*after, "y_here"],
    ))  # fmt: skip
    step = helper.make_graph(body.nodes, "step", taken, given)
    rows = [known[n] for n in graph.rows]
    initial = [f"initial.{name}" for name in states]  # a state may be called as anything else of the model
    writer.add("Scan", *initial, *rows, outputs=[*ends[1:], ends[0]], body=step, num_scan_inputs=len(rows))


class GraphWriter:
    """The nodes of an ONNX graph, as the operations of a cell: a value is its name.

    Args:
        constants: The constants of the model, by name. They are those of its outermost graph.
        prefix: The beginning of the names of the graph's values.
    """

    def __init__(self, constants: dict[str, Any], prefix: str = ""):
        self.constants, self.prefix, self.nodes, self.split = constants, prefix, list[Any](), set[str]()

    def add(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Adds a node and returns the name of its first output."""
        from onnx import helper

        names = list(outputs) or [f"{self.prefix}v{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0]

    def add_constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def add_tensor(self, name: str, value: Tensor) -> str:
        return self.add_constant(name, value.detach().numpy())

    def add_previous(self, problem: Problem) -> str:
        """Adds x of the step before."""
        first = self.add_constant("first_before", np.zeros((1, problem.B, problem.D), dtype=np.float32))
        ends = [self.add_constant(f"end_{k}", np.array([k])) for k in (0, -1)]
        return self.add("Concat", first, self.add("Slice", "x", *ends, self.add_constant("axis", np.array([0]))), axis=0)

    def apply(self, node: Node, arguments: list[str]) -> str:
        if node.op == "const":
            return self.add_constant(f"number_{node.label}", np.float32(node.label))
        if node.op == "reduce":
            return self.reduce(node.graph.reductions[node.label], *arguments)
        name = node.label if node.op == "call" else node.op
        if name == "hard_tanh":
            limits = [self.add_constant(f"number_{k}.0", np.float32(k)) for k in (-1, 1)]
            return self.add("Clip", *arguments, *limits)
        if name == "hard_sigmoid":
            return self.add("HardSigmoid", *arguments, alpha=1 / 6, beta=0.5)
        return self.add(OPERATORS[name], *arguments)

    def product(self, group: Group, operand: str) -> str:
        name = f"W.{group[0]}"
        blocks = self.constants[name].dims
        if len(blocks) == 2:
            return self.add("MatMul", operand, name)
        shape = self.add_constant(f"{name}.heads", np.array([0, blocks[0], 1, blocks[1]]))
        flat = self.add_constant("flat", np.array([0, -1]))
        return self.add("Reshape", self.add("MatMul", self.add("Reshape", operand, shape), name), flat)

    def reduce(self, reduction: Reduction, value: str) -> str:
        """Adds a reduction over the units of each head; every unit has a copy of the result of its head, if there are several."""
        axis = self.add_constant("last_axis", np.array([-1]))
        operator = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[reduction.kind]
        if reduction.heads == 1:
            return self.add(operator, value, axis, keepdims=1)
        parts = [self.part(value, k, reduction.heads) for k in range(reduction.heads)]
        return self.add(
            "Concat", *(self.add("Expand", self.add(operator, p, axis, keepdims=1), self.add("Shape", p)) for p in parts), axis=-1
        )

    def part(self, value: str, index: int, count: int) -> str:
        names = [f"{value}_part{k}" for k in range(count)]
        if count > 1 and value not in self.split:
            self.split.add(value)
            self.add("Split", value, outputs=names, axis=-1, num_outputs=count)
        return names[index] if count > 1 else value
