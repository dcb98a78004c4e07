"""The nodes of a graph as SymPy expressions, in which leaves and matrix products are real symbols."""

import operator
from collections.abc import Callable
from typing import Any

import sympy

from kernels.derive.graph import Node

SYMPY_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cos": sympy.cos,
    "erf": sympy.erf,
    "exp": sympy.exp,
    "log": sympy.log,
    "power": lambda a, b: a**b,
    "sigmoid": lambda v: 1 / (1 + sympy.exp(-v)),
    "sin": sympy.sin,
    "softplus": lambda v: sympy.log(1 + sympy.exp(v)),
    "sqrt": sympy.sqrt,
    "tanh": sympy.tanh,
}
"""The functions in SymPy. Functions with a kink stay opaque: SymPy's derivative there differs."""


def to_sympy(node: Node) -> Any:
    """Returns a node as a SymPy expression."""
    a = [to_sympy(arg) for arg in node.args] if node.op != "product" else []
    match node.op:
        case "add" | "sub" | "mul" | "div" | "neg":
            return getattr(operator, node.op.replace("div", "truediv"))(*a)
        case "const":
            return sympy.nsimplify(node.label, rational=True)
        case "call" if node.label in SYMPY_FUNCTIONS:
            return SYMPY_FUNCTIONS[node.label](*a)
        case "stencil" | "call":
            return sympy.Function(node.label, real=True)(*a)
    return sympy.Symbol(f"{node.op}_{node.label}", real=True)
