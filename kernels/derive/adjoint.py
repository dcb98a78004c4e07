"""The adjoint of a pointwise function, by the chain rule over its graph, and both as source text.

`source(f, TRITON)` and `source(f, CPP)` print the same operations in the same order; only the frame differs.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cells.grammar.functions import FUNCTIONS
from kernels.derive.graph import ARITHMETIC, LEAVES, Node, walk
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise


@cache
def adjoint(f: Pointwise) -> Pointwise:
    """The function that takes f's inputs and the gradient of each of its outputs to the gradient of each input.

    Reverse accumulation, node by node: an expression nested eight deep stays as small as its graph.
    """
    graph = f.outputs[0].graph
    upstream = tuple(graph.leaf("upstream", f"d_{name}") for name in f.results)
    gradient: dict[Node, Node] = {}

    def accumulate(node: Node, value: Node) -> None:
        gradient[node] = value if node not in gradient else gradient[node] + value

    for node, d in zip(f.outputs, upstream, strict=True):
        accumulate(node, d)
    for node in reversed(list(walk(f.outputs))):
        if node.op in LEAVES or node not in gradient:
            continue
        d = gradient[node]
        if node.name and d.op not in LEAVES and not d.name:
            d.name = f"d_{node.name}"
        for arg, part in zip(node.args, node.vjp(d), strict=True):
            if arg.op != "const":
                accumulate(arg, part)
    zero = graph.wrap(0.0)
    outputs = tuple(gradient.get(n, zero) for n in f.inputs)
    return Pointwise(f"{f.name}_adjoint", f.inputs + upstream, outputs, tuple(f"d_{n.label}" for n in f.inputs))


@cache
def is_affine(step: Pointwise) -> bool:
    """Whether a step's results are affine in its states, with coefficients that no state reaches: no derivative by a state has one.

    It is told from the adjoint as it stands, where nothing cancels: a step may be affine without being written so.
    """
    slopes = (d for leaf, d in zip(step.inputs, adjoint(step).outputs, strict=False) if leaf.op == "state")
    return not any(node.op == "state" for node in walk(slopes))


@cache
def list_read_states(plan: Plan) -> tuple[int, ...]:
    """The states that a step reads, by their places."""
    read = set(walk(plan.step.outputs))
    return tuple(s for s, leaf in enumerate(plan.states) if leaf in read)


@dataclass(frozen=True)
class Language:
    """How a pointwise function is framed, a number written and a name kept apart from the language's own words."""

    prefix: str
    number: Callable[[float], str]
    frame: Callable[[str, list[str], list[tuple[str, str]], list[str]], str]


def _python(name: str, inputs: list[str], lines: list[tuple[str, str]], outputs: list[str]) -> str:
    body = "".join(f"    {target} = {value}\n" for target, value in lines)
    return f"def {name}({', '.join(inputs)}):\n{body}    return ({', '.join(outputs)},)\n"


def _triton(*parts: Any) -> str:
    return f"@triton.jit\n{_python(*parts)}"


def _cpp(name: str, inputs: list[str], lines: list[tuple[str, str]], outputs: list[str]) -> str:
    reads = "".join(f"    const V {v} = in[{k}];\n" for k, v in enumerate(inputs))
    body = "".join(f"    const V {target} = {value};\n" for target, value in lines)
    writes = "".join(f"    out[{k}] = {v};\n" for k, v in enumerate(outputs))
    return f"inline void {name}(const V* in, V* out) {{\n{reads}{body}{writes}}}\n"


PYTHON = Language("", repr, _python)
TRITON = Language("", repr, _triton)
CPP = Language("v_", lambda number: f"splat({number!r})", _cpp)

RESERVED = {"in", "out", "V", "splat", "tl", "triton", "lambda", "for", "if", "is", "or", "and", "not", *FUNCTIONS}
TIGHTER = {"add": 1, "sub": 1, "neg": 2, "mul": 2, "div": 2}


def print_source(f: Pointwise, language: Language) -> str:
    """`f` as a function in `language`: a line for whatever the cell names or several operations use."""
    nodes = list(walk((*f.inputs, *f.outputs)))
    uses = Counter(a for n in nodes for a in n.args) + Counter(f.outputs)
    names: dict[Node, str] = {}

    def name(node: Node, wanted: str) -> str:
        wanted = language.prefix + wanted
        while wanted in RESERVED or wanted in names.values():
            wanted += "_"
        names[node] = wanted
        return wanted

    def text(node: Node, around: int = 0, right: bool = False) -> str:
        if node in names:
            return names[node]
        if node.value is not None:
            return language.number(node.value)
        if node.op == "call":
            return f"{node.label}({', '.join(map(text, node.args))})"
        level = TIGHTER[node.op]
        if node.op == "neg":
            result = f"-{text(node.args[0], level, right=True)}"
        else:
            a, b = node.args
            result = f"{text(a, level)} {ARITHMETIC[node.op]} {text(b, level, right=True)}"
        loose = level < around or (level == around and right) or (node.op == "neg" and around > 0)
        return f"({result})" if loose else result

    inputs = [name(n, n.label) for n in f.inputs]
    lines: list[tuple[str, str]] = []
    for node in nodes:
        if node.op not in LEAVES and (node.name or uses[node] > 1):
            value = text(node)
            lines.append((name(node, node.name or f"t{len(lines)}"), value))
    return language.frame(f.name, inputs, lines, [text(n) for n in f.outputs])
