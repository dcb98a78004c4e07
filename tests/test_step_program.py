"""A step on its own as a program: every operand is computed once, before it is used, and the whole is the cell."""

import pytest
import torch

import cells
from cells.grammar.functions import FUNCTIONS
from kernels.derive.adjoint import PYTHON, print_source
from kernels.derive.graph import LEAVES
from kernels.derive.plan import plan
from kernels.derive.step_program import Operand, Products, Sum, make_program
from kernels.layer.input_products import GraphEvaluator
from tests import custom
from tests.reference import given_cell
from tests.sampling import sample
from tests.tolerances import TOLERANCE

EVERY = {name: cells.load(name) for name in cells.names()} | custom.CELLS


@pytest.mark.parametrize(
    ("name", "instructions"),
    [
        ("lstm", ["x: ox fx ix gx", "h: oh fh ih gh"]),
        ("minimal", ["h: uh", "x: z", "z_2 =", "z_2: uz"]),
        ("gru_reset_before", ["x: ux nx rx", "h: uh rh", "operand =", "operand: nh"]),
        ("wave", ["lap(u)", "x: source"]),
        ("tied", ["h: u", "c: u", "x: x"]),
    ],
)
def test_instructions(name, instructions):
    found = [
        f"{i.result.label} =" if isinstance(i, Operand)
        else f"{i.operand.label}: {' '.join(i.matrices)}" if isinstance(i, Products)
        else f"{i.stencil.name}({i.operand.label})"
        for i in make_program(plan(EVERY[name])).instructions
    ]  # fmt: skip
    assert found == instructions


@sample("name", [*EVERY])
def test_a_program_is_its_cell(name):
    """Run in float64, instruction by instruction: what an instruction reads is there."""
    p = given_cell(name, 1, 2, 5, 12, dtype=torch.float64)
    program, graph = make_program(plan(p.cell)), plan(p.cell).graph
    x, before = p.given["x"][0], torch.randn_like(p.given["x"][0])
    parameters = GraphEvaluator({}, p.weights)
    known = {("state", s): p.given[s] for s in p.cell.states} | {("x", "x"): x, ("before", "x_before"): before}
    known["time", "time"] = torch.full((1, 1), 3.0, dtype=torch.float64)
    known |= {(leaf.op, leaf.label): parameters[value] for leaf, value in program.vectors.items()}

    def evaluate(function):
        space = dict(FUNCTIONS)
        exec(print_source(function, PYTHON), space)
        return space[function.name](*(known[leaf.op, leaf.label] for leaf in function.inputs))

    for instruction in program.instructions:
        if isinstance(instruction, Operand):
            (known["term", instruction.result.label],) = evaluate(instruction.function)
            continue
        assert instruction.operand.op in LEAVES
        operand = known[instruction.operand.op, instruction.operand.label]
        if isinstance(instruction, Products):
            weights = p.cell.bind_parameters(p.weights)["W"]
            for matrix, leaf in zip(instruction.matrices, instruction.results, strict=True):
                applied = getattr(weights, matrix.removesuffix(".T"))
                known["term", leaf.label] = (applied.T if matrix.endswith(".T") else applied)(operand)
        elif isinstance(instruction, Sum):
            known["term", instruction.result.label] = instruction.reduction(operand)
        else:
            known["term", instruction.result.label] = graph.stencils[instruction.stencil.name](operand)
    expected = p.cell([p.given[s] for s in p.cell.states], x, p.cell.bind_parameters(p.weights), before, known["time", "time"])
    for found, right in zip(evaluate(program.step), expected, strict=True):
        assert (right - found).abs().max() <= TOLERANCE["paper", torch.float64] * right.abs().max()
