"""Writes one layer of a step as C: its constants, and the function that reads its input and updates its states."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cells.grammar.parameters import find_matrix
from kernels.derive.graph import Node
from kernels.derive.plan_types import Pointwise
from kernels.derive.step_program import Operand, Products, StencilSum, StepProgram, Sum
from kernels.layer.c_export.c_dialect import CDialect
from kernels.layer.input_products import GraphEvaluator

COLUMNS = 4
"""Columns of a panel that are multiplied at once."""


class Block(NamedTuple):
    """A matrix, and its first row and column in the one that it is a part of."""

    row: int
    column: int
    matrix: Tensor


class CLayer:
    """A layer as C.

    Args:
        dialect: the dialect.
        program: the program of the cell.
        weights: the parameters by their names in the equations.
        layer: the number of the layer.
        D: the width of its input.
        H: the width of its states.

    Attributes:
        constants: the definitions of its constants.
        lines: the body of its function.
        stack_bytes: the size of the arrays that it declares.
    """

    def __init__(self, dialect: CDialect, program: StepProgram, weights: Mapping[str, Tensor], layer: int, D: int, H: int):
        self.dialect, self.weights, self.layer, self.D, self.H = dialect, weights, layer, D, H
        self.constants: list[str] = []
        self.lines: list[str] = []
        self.stack_bytes = 0
        self.matrices: dict[tuple[str, ...], str] = {}
        self.arrays: dict[Node, tuple[str, int]] = {}
        """The arrays that hold the results of instructions, and where they begin there."""
        values = GraphEvaluator({}, weights)
        for leaf, value in program.vectors.items():
            self.arrays[leaf] = self.add_constant(leaf.label, values[value].expand(self.width(leaf))), 0
        for number, instruction in enumerate(program.instructions):
            if isinstance(instruction, Operand):
                self.compute_operand(instruction, number)
            elif isinstance(instruction, Products):
                self.multiply(instruction, number)
            elif isinstance(instruction, Sum):
                self.reduce(instruction, number)
            else:
                self.apply_stencil(instruction, number)
        self.update_states(program)

    def write_function(self) -> str:
        """Returns the definition of `NAME_layer<k>(state, x)`."""
        name, body = self.dialect.name, "".join(f"    {line}\n" for line in self.lines)
        return f"static void {name}_layer{self.layer}({name}_state *state, const {self.dialect.real} *x)\n{{\n{body}}}\n"

    def add_constant(self, label: str, values: Tensor) -> str:
        """Adds a constant array and returns its name."""
        self.constants.append(self.dialect.write_array(f"{label}_l{self.layer}", values))
        return f"{self.dialect.name}_{label}_l{self.layer}"

    def locate(self, leaf: Node) -> tuple[str, int]:
        """Returns the array that holds a leaf, and where it begins there."""
        if leaf.op in ("x", "time"):
            return "x" if leaf.op == "x" else "state->time", 0
        if leaf.op in ("state", "before"):
            return f"state->{leaf.label if leaf.op == 'state' else 'x'}_l{self.layer}", 0
        return self.arrays[leaf]

    def read(self, leaf: Node) -> str:
        """Returns the expression of the value of a leaf at unit j."""
        array, start = self.locate(leaf)
        return f"{array}[{f'{start} + ' if start else ''}{'j' if leaf.width else '0'}]"

    def width(self, leaf: Node) -> int:
        """Returns the number of units of a leaf."""
        return {"": 1, "D": self.D}.get(leaf.width, self.H)

    def declare(self, array: str, size: int) -> str:
        """Declares a local array and returns its name."""
        self.stack_bytes += size * self.dialect.dtype.itemsize
        self.lines.append(f"{self.dialect.real} {array}[{size}];")
        return array

    def add_loop(self, width: int, *body: str) -> None:
        """Adds a loop over units j."""
        head = f"for (int j = 0; j < {width}; j++)"
        self.lines += [f"{head} {body[0]}"] if len(body) == 1 else [f"{head} {{", *(f"    {line}" for line in body), "}"]

    def evaluate(self, function: Pointwise, width: int, arrays: Sequence[str]) -> None:
        """Adds a loop that evaluates a function at each unit, and stores its outputs in arrays."""
        arguments = ", ".join([*map(self.read, function.inputs), "out"])
        stores = (f"{array}[j] = out[{k}];" for k, array in enumerate(arrays))
        self.add_loop(width, f"{self.dialect.real} out[{len(arrays)}];", f"{self.dialect.name}_{function.name}({arguments});", *stores)

    def compute_operand(self, operand: Operand, number: int) -> None:
        """Adds the computation of an operand."""
        width = self.width(operand.result)
        array = self.declare(f"operand{number}", width)
        self.evaluate(operand.function, width, [array])
        self.arrays[operand.result] = array, 0

    def multiply(self, products: Products, number: int) -> None:
        """Adds the products with an operand, block by block."""
        blocks = split_blocks([find_matrix(self.weights, f"W.{name}") for name in products.matrices])
        key, panels = tuple(products.matrices), self.dialect.panels
        if key not in self.matrices:
            packed = [pack(panel) for block in blocks for panel in split_panels(block.matrix, panels)]
            self.matrices[key] = self.add_constant(f"matrix{number}", torch.cat(packed))
        (x, start), y, position = self.locate(products.operand), f"products{number}", 0
        calls = []
        for block in blocks:
            rows, columns = round_up(len(block.matrix), panels[-1]), block.matrix.shape[1]
            places = ((self.matrices[key], position), (x, start + block.column), (y, block.row))
            pointers = ", ".join(f"{array} + {at}" if at else array for array, at in places)
            calls.append(f"{self.dialect.name}_multiply({rows}, {columns}, {pointers});")
            position += rows * round_up(columns, COLUMNS)
        self.declare(y, blocks[-1].row + round_up(len(blocks[-1].matrix), panels[-1]))
        self.lines += calls
        self.arrays |= {leaf: (y, k * self.H) for k, leaf in enumerate(products.results)}

    def reduce(self, applied: Sum, number: int) -> None:
        """Adds a reduction over the units of each head; every unit has a copy of the result of its head, if there are several."""
        (x, start), heads, name = self.locate(applied.operand), applied.reduction.heads, self.dialect.name
        n, y = self.width(applied.operand) // heads, self.declare(f"sum{number}", self.width(applied.result))
        function = f"{name}_{'largest' if applied.reduction.kind == 'max' else 'sum'}"
        divided = f" / {n}" if applied.reduction.kind == "mean" else ""
        pieces = f"for (int k = 0; k < {heads}; k++) " if heads > 1 else ""
        where = f"{x} + {start} + k * {n}" if heads > 1 else f"{x} + {start}"
        result = f"const {self.dialect.real} found = {function}({n}, {where}){divided};"
        stores = f"for (int j = 0; j < {n}; j++) {y}[k * {n} + j] = found;" if heads > 1 else f"{y}[0] = found;"
        self.lines.append(f"{pieces}{{ {result} {stores} }}")
        self.arrays[applied.result] = y, 0

    def apply_stencil(self, applied: StencilSum, number: int) -> None:
        """Adds the sums of a stencil over a copy of its operand with zeros at both ends."""
        width, stencil = self.width(applied.result), applied.stencil
        offsets, weights = stencil.offsets(width), stencil.weights(torch.empty(width, dtype=self.dialect.dtype))
        reach = max(map(abs, offsets))
        taps = self.add_constant(f"stencil{number}", weights)
        padded, result = self.declare(f"padded{number}", width + 2 * reach), self.declare(f"stencil{number}", width)
        self.add_loop(reach, f"{padded}[j] = {padded}[{width + reach} + j] = 0;")
        self.add_loop(width, f"{padded}[{reach} + j] = {self.read(applied.operand)};")
        terms = (f"{taps}[{k * width} + j] * {padded}[{reach + offset} + j]" for k, offset in enumerate(offsets))
        self.add_loop(width, f"{result}[j] = {' + '.join(terms)};")
        self.arrays[applied.result] = result, 0

    def update_states(self, program: StepProgram) -> None:
        """Adds the computation of the next states, which replace the states once all are computed."""
        results = program.step.results
        arrays = [self.declare(f"next{k}", self.H) for k in range(len(results))]
        self.evaluate(program.step, self.H, arrays)
        for state, array in zip(results, arrays, strict=True):
            self.add_loop(self.H, f"state->{state}_l{self.layer}[j] = {array}[j];")
        if program.uses_prev:
            self.add_loop(self.D, f"state->x_l{self.layer}[j] = x[j];")
        if not program.uses_input:
            self.lines.append("(void)x;")


def round_up(n: int, multiple: int) -> int:
    """Returns the least multiple that is at least n."""
    return -(-n // multiple) * multiple


def split_blocks(weights: Sequence[Tensor]) -> list[Block]:
    """Returns the blocks of matrices (H, K) of one operand, one below the other: a single one, or those of each if one has heads."""
    if all(weight.dim() == 2 for weight in weights):
        return [Block(0, 0, torch.cat([*weights]))]
    found: list[Block] = []
    for weight in weights:
        for head, matrix in enumerate(weight if weight.dim() == 3 else weight[None]):
            row = found[-1].row + len(found[-1].matrix) if found else 0
            found.append(Block(row, head * matrix.shape[1], matrix))
    return found


def split_panels(matrix: Tensor, panels: Sequence[int]) -> list[Tensor]:
    """Returns the panels of a matrix (N, K), each with as many rows as one of `panels`, largest first; rows past N are zero."""
    found, rest = [], F.pad(matrix, (0, 0, 0, -len(matrix) % panels[-1]))
    for rows in panels:
        while len(rest) >= rows:
            found.append(rest[:rows])
            rest = rest[rows:]
    return found


def pack(panel: Tensor) -> Tensor:
    """Returns the elements of a panel (N, K) column by column, with columns of zeros up to a multiple of COLUMNS."""
    return F.pad(panel, (0, -panel.shape[1] % COLUMNS)).t().flatten()
