"""Runs the ONNX model of a cell in ONNX Runtime and in OpenVINO: inference, with as many threads as torch, and new outputs in each call."""

from collections.abc import Sequence
from typing import Any

import torch

from bench.measure.foreign_workload import ForeignCalls, ForeignWorkload
from bench.measure.onnx_model import write_model
from bench.measure.problem import Problem
from bench.measure.workload import Unsupported, Workload
from kernels.derive.plan import plan


def check_model(problem: Problem) -> None:
    """Raises Unsupported if there is no model of a case."""
    if problem.dtype != torch.float32:
        raise Unsupported("takes float32")
    if any(n.op == "stencil" for n in plan(problem.cell).ordered_nodes):
        raise Unsupported("has no operator for a cell whose units read their neighbours")


def build_onnxruntime(problem: Problem) -> Workload:
    """Builds a session of ONNX Runtime."""
    import onnxruntime

    check_model(problem)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    session = onnxruntime.InferenceSession(write_model(problem), options, providers=["CPUExecutionProvider"])
    names = ["x", *(f"initial.{name}" for name in problem.cell.states)]

    def run(x: Any, states: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        y, *final = session.run(None, dict(zip(names, (x, *states), strict=True)))
        return y, final

    return ForeignWorkload(problem, ForeignCalls(run, to_numpy, torch.from_numpy))


def build_openvino(problem: Problem) -> Workload:
    """Builds a compiled model of OpenVINO, in float32: left to itself it computes in bfloat16 where the processor can."""
    import openvino

    check_model(problem)
    core = openvino.Core()
    chosen = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    try:
        compiled = core.compile_model(core.read_model(write_model(problem)), "CPU", chosen)
    except RuntimeError as error:
        raise Unsupported(f"can't convert the cell's Scan: {find_cause(error)}") from None

    def run(x: Any, states: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        y, *final = compiled([x, *states]).values()
        return y, final

    return ForeignWorkload(problem, ForeignCalls(run, to_numpy, torch.from_numpy))


def find_cause(error: RuntimeError) -> str:
    """Returns the line of OpenVINO's error message that names the cause, or its first."""
    lines = str(error).splitlines()
    return next((line for line in lines if line.startswith("While validating")), lines[0])


def to_numpy(tensor: torch.Tensor) -> Any:
    return tensor.numpy().copy()
