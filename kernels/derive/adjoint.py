"""Derives the adjoint (VJP) of a pointwise function by reverse accumulation over its graph, and prints both as source code.

`print_source(f, TRITON)` and `print_source(f, CPP)` print the same operations in the same order; only the syntax differs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from cells.grammar.functions import FUNCTIONS
from cells.grammar.reductions import KINDS, Reduction
from kernels.derive.graph import ARITHMETIC, LEAVES, Node, walk
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise


@cache
def adjoint(f: Pointwise) -> Pointwise:
    """Derives the adjoint of a pointwise function by reverse accumulation, node by node, so that it stays as small as the graph.

    Args:
        f: y = f(v), with inputs v_1, … and outputs y_1, …

    Returns:
        The function (v_1, …, dL/dy_1, …) → (dL/dv_1, …).
    """
    graph = f.outputs[0].graph
    upstream = tuple(graph.leaf("upstream", f"d_{name}") for name in f.results)
    gradient = accumulate_gradients(f.outputs, upstream)
    for node in reversed(list(walk(f.outputs))):
        if node.op not in LEAVES and node in gradient:
            d = gradient[node]
            if node.name and d.op not in LEAVES and not d.name:
                d.name = f"d_{node.name}"
    zero = graph.wrap(0.0)
    outputs = tuple(gradient.get(n, zero) for n in f.inputs)
    return Pointwise(f"{f.name}_adjoint", f.inputs + upstream, outputs, tuple(f"d_{n.label}" for n in f.inputs))


def accumulate_gradients(outputs: Sequence[Node], upstream: Sequence[Node]) -> dict[Node, Node]:
    """Returns the gradient of every node that the outputs depend on, by reverse accumulation from those of the outputs."""
    gradient: dict[Node, Node] = {}

    def accumulate(node: Node, value: Node) -> None:
        gradient[node] = value if node not in gradient else gradient[node] + value

    for node, d in zip(outputs, upstream, strict=True):
        accumulate(node, d)
    for node in reversed(list(walk(outputs))):
        if node.op in LEAVES or node not in gradient:
            continue
        for arg, part in zip(node.args, node.vjp(gradient[node]), strict=True):
            if arg.op != "const":
                accumulate(arg, part)
    return gradient


@cache
def is_affine(step: Pointwise) -> bool:
    """Returns whether a step is affine in its states: no derivative with respect to a state depends on a state.

    The derivatives are not simplified, so a step that is affine only after cancellation counts as not affine. Nor does one count with sums
    over units, whose units are not affine each on its own.
    """
    if step.reductions:
        return False
    slopes = (d for leaf, d in zip(step.inputs, adjoint(step).outputs, strict=False) if leaf.op == "state")
    return not any(node.op == "state" for node in walk(slopes))


@cache
def list_read_states(plan: Plan) -> tuple[int, ...]:
    """Returns the indices of the states that a step reads."""
    read = set(walk(plan.step.outputs))
    return tuple(s for s, leaf in enumerate(plan.states) if leaf in read)


@dataclass(frozen=True)
class Language:
    """The syntax of a programming language.

    Attributes:
        prefix: the prefix of all names, to keep them apart from the language's own.
        write_number: writes a constant.
        write_function: writes a function from its name, inputs, assignments (target, value) and outputs.
        function_prefix: the prefix of the functions of a cell ("tanh").
        reduction_arguments: further arguments of a reduction over units, behind its value and its heads. Then they are arguments of the
            function too.
    """

    prefix: str
    write_number: Callable[[float], str]
    write_function: Callable[[str, list[str], list[tuple[str, str]], list[str]], str]
    function_prefix: str = ""
    reduction_arguments: str = ""


def _write_python(name: str, inputs: list[str], lines: list[tuple[str, str]], outputs: list[str]) -> str:
    body = "".join(f"    {target} = {value}\n" for target, value in lines)
    return f"def {name}({', '.join(inputs)}):\n{body}    return ({', '.join(outputs)},)\n"


def _write_triton(*parts: Any) -> str:
    return f"@triton.jit\n{_write_python(*parts)}"


def _write_cpp(name: str, inputs: list[str], lines: list[tuple[str, str]], outputs: list[str]) -> str:
    reads = "".join(f"    const V {v} = in[{k}];\n" for k, v in enumerate(inputs))
    body = "".join(f"    const V {target} = {value};\n" for target, value in lines)
    writes = "".join(f"    out[{k}] = {v};\n" for k, v in enumerate(outputs))
    return f"inline void {name}(const V* in, V* out) {{\n{reads}{body}{writes}}}\n"


PYTHON = Language("", repr, _write_python)
TRITON = Language("", repr, _write_triton, reduction_arguments=", unit_index, unit_count")
CPP = Language("v_", lambda value: f"splat({value!r})", _write_cpp)

RESERVED = {
    "in", "out", "V", "splat", "tl", "triton", "lambda", "for", "if", "is", "or", "and", "not", *FUNCTIONS,
    "unit_sum", "unit_mean", "unit_max", "unit_index", "unit_count",
}  # fmt: skip
PRECEDENCE = {"add": 1, "sub": 1, "neg": 2, "mul": 2, "div": 2}


def print_source(f: Pointwise, language: Language) -> str:
    """Prints `f` as a function in `language`, with one assignment for each value that the cell names or several operations use."""
    nodes = list(walk((*f.inputs, *f.outputs)))
    uses = Counter(a for n in nodes for a in n.args) + Counter(f.outputs)
    names: dict[Node, str] = {}

    def name(node: Node, preferred: str) -> str:
        chosen = language.prefix + preferred
        while chosen in RESERVED or chosen in names.values():
            chosen += "_"
        names[node] = chosen
        return chosen

    def expression(node: Node, outer: int = 0, right: bool = False) -> str:
        if node in names:
            return names[node]
        if node.value is not None:
            return language.write_number(node.value)
        if node.op == "reduce":
            reduction = node.graph.reductions[node.label]
            return f"unit_{reduction.kind}({expression(node.args[0])}, {reduction.heads}{language.reduction_arguments})"
        if node.op == "call":
            return f"{language.function_prefix}{node.label}({', '.join(map(expression, node.args))})"
        level = PRECEDENCE[node.op]
        if node.op == "neg":
            result = f"-{expression(node.args[0], level, right=True)}"
        else:
            a, b = node.args
            result = f"{expression(a, level)} {ARITHMETIC[node.op]} {expression(b, level, right=True)}"
        parenthesized = level < outer or (level == outer and right) or (node.op == "neg" and outer > 0)
        return f"({result})" if parenthesized else result

    inputs = [name(n, n.label) for n in f.inputs]
    lines: list[tuple[str, str]] = []
    for node in nodes:
        if node.op not in LEAVES and (node.name or uses[node] > 1):
            value = expression(node)
            lines.append((name(node, node.name or f"t{len(lines)}"), value))
    if f.reductions and language.reduction_arguments:
        inputs += language.reduction_arguments.strip(", ").split(", ")
    return language.write_function(f.name, inputs, lines, [expression(n) for n in f.outputs])


@cache
def compile_pointwise(function: Pointwise) -> Callable[..., Any]:
    """Returns a pointwise function as a Python function of tensors."""
    space: dict[str, Any] = FUNCTIONS | {f"unit_{kind}": partial(reduce_units, kind) for kind in KINDS}
    exec(print_source(function, PYTHON), space)
    made: Callable[..., Any] = space[function.name]
    return made


def reduce_units(kind: str, v: Any, heads: int) -> Any:
    """Computes a reduction over the units of each head of a value."""
    return Reduction(kind, heads)(v)
