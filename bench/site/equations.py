"""Renders the equations of a cell as MathML from its source; nothing is imported or run.

States have a time index: h on the right side is h_{t-1} until the step assigns it, and prev(x) is x_{t-1}. `W.name(v)` is a matrix W_name
times v, `b.name` and `p.name` are vectors, `s.name` is a number, and the product of two vectors is elementwise. A cell of second order in
time is shown as the equation of its field, whose source is W_source x.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from markupsafe import Markup, escape

GREEK = {
    "theta": "θ", "eta": "η", "phi": "φ", "alpha": "α", "beta": "β", "gamma": "γ", "rho": "ρ", "sigma": "σ", "tau": "τ", "zeta": "ζ",
    "nu": "ν",
}  # fmt: skip
NAMES = {"sigmoid": "σ", "maximum": "max", "minimum": "min", "absolute": "abs", "lap": "∇²"}
FIELD = {
    "rate": "<mfrac><mrow><mo>∂</mo><mi>u</mi></mrow><mrow><mo>∂</mo><mi>t</mi></mrow></mfrac>",
    "lap": "<mrow><msup><mo>∇</mo><mn>2</mn></msup><mi>u</mi></mrow>",
}
"""The arguments of a cell of second order."""
TWICE = "<msup><mo>∂</mo><mn>2</mn></msup>"
FORCE = f"<mfrac><mrow>{TWICE}<mi>u</mi></mrow><mrow><mo>∂</mo><msup><mi>t</mi><mn>2</mn></msup></mrow></mfrac>"
BEFORE = "<mi>t</mi><mo>−</mo><mn>1</mn>"
SIGNS = {ast.Add: "+", ast.Sub: "−", ast.Lt: "&lt;", ast.LtE: "≤", ast.Gt: "&gt;", ast.GtE: "≥"}


@dataclass(frozen=True)
class Source:
    """A cell in its file: name, first line of the docstring, paper, parameter formula, and the function as text."""

    name: str
    about: str
    paper: str
    formula: str
    text: str

    @property
    def step(self) -> ast.FunctionDef:
        found = ast.parse(self.text).body[0]
        assert isinstance(found, ast.FunctionDef)
        return found


def read_sources(folder: Path) -> list[Source]:
    """Returns the cells in a folder by name: functions with the decorator `cell`, and those passed to a `Cell` in their file."""
    found = []
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        about = (ast.get_docstring(tree) or "").partition("\n")[0]
        for node in ast.walk(tree):
            call = find_call(node, tree, path.stem) if isinstance(node, ast.FunctionDef) else None
            if isinstance(node, ast.FunctionDef) and call:
                given = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
                lines = dedent("\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]))
                found.append(Source(node.name, about, str(given.get("paper", "")), str(given.get("parameters", "")), lines))
    return found


def find_call(step: ast.FunctionDef, tree: ast.Module, name: str) -> ast.Call | None:
    """Returns the call that makes a function a cell and names its paper, or None: its decorator (also that of second order), or
    Cell(function, …) or second_order(function, …) if the function has the name of the file."""
    for call in step.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call).startswith(("cell(", "partial(second_order,")):
            return call
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) in ("Cell", "second_order") and n.args)
    return next((call for call in calls if step.name == name == ast.unparse(call.args[0])), None)


def render_equations(step: ast.FunctionDef) -> Markup:
    """Returns every line of a step as a row of MathML."""
    return Markup("").join(Markup('<math display="block">{}</math>').format(Markup(row)) for row in Reader(step).rows())


class Reader:
    """Reads a step line by line and tracks which states it has assigned."""

    def __init__(self, step: ast.FunctionDef):
        self.step = step
        arguments = [argument.arg for argument in step.args.args]
        self.states = arguments[: arguments.index("x")] if "x" in arguments else []
        self.time = dict.fromkeys(self.states, BEFORE) | {"x": "<mi>t</mi>"}

    def rows(self) -> Iterator[str]:
        for line in self.step.body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                name, value = line.targets[0].id, self.read(line.value)
                self.time[name] = "<mi>t</mi>"
                yield f"{self.name(name)}<mo>=</mo>{value}"
            elif isinstance(line, ast.Return) and line.value is not None and not self.states:
                yield f"{FORCE}<mo>=</mo>{self.read(line.value)}<mo>+</mo><mi>source</mi>"
            elif isinstance(line, ast.Return) and line.value is not None:
                parts = line.value.elts if isinstance(line.value, ast.Tuple) else [line.value]
                values = [self.read(part) for part in parts]
                for state, part, value in zip(self.states, parts, values, strict=True):
                    if not (isinstance(part, ast.Name) and part.id == state):
                        yield f"{self.sub(state, '<mi>t</mi>')}<mo>=</mo>{value}"

    def name(self, name: str) -> str:
        if not self.states and name in FIELD:
            return FIELD[name]
        return self.sub(name, self.time[name]) if name in self.time else render_letter(name)

    @staticmethod
    def sub(name: str, time: str) -> str:
        base, _, mark = name.partition("_")
        marked = f"<mtext>{escape(mark)}</mtext><mo>,</mo>" if mark else ""
        return f"<msub>{render_letter(base)}<mrow>{marked}{time}</mrow></msub>"

    def read(self, node: ast.expr, tight: int = 0) -> str:
        """Returns an expression, in brackets if it binds less than `tight`: 1 in a product, 2 under a sign."""
        match node:
            case ast.Name(id=name):
                return self.name(name)
            case ast.Constant(value=value):
                return f"<mn>{value!r}</mn>"
            case ast.Attribute(value=ast.Name(id=kind), attr=mark):
                return f"<msub><mi>{kind}</mi>{render_index(mark)}</msub>"
            case ast.Call(func=ast.Attribute(attr=mark), args=[value]):
                return f"<mrow><msub><mi>W</mi>{render_index(mark)}</msub><mo>&#x2062;</mo>{self.read(value, 2)}</mrow>"
            case ast.Call(func=ast.Name(id="prev"), args=[ast.Name(id=name)]):
                return self.sub(name, BEFORE)
            case ast.Call(func=ast.Name(id="where"), args=[test, one, other]):
                rows = ((one, "<mtext>if </mtext>" + self.read(test)), (other, "<mtext>else</mtext>"))
                cells = "".join(f"<mtr><mtd>{self.read(value)}</mtd><mtd>{when}</mtd></mtr>" for value, when in rows)
                return f'<mrow><mo>{{</mo><mtable columnalign="left">{cells}</mtable></mrow>'
            case ast.Call(func=ast.Name(id=function), args=arguments):
                inside = "<mo>,</mo>".join(self.read(argument) for argument in arguments)
                return f"<mrow><mi>{NAMES.get(function, function)}</mi><mo>&#x2061;</mo>{add_brackets(inside)}</mrow>"
            case ast.UnaryOp(op=ast.USub(), operand=value):
                return add_brackets(f"<mo>−</mo>{self.read(value, 2)}", tight > 1)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                sign = "&#x2062;" if isinstance(left, ast.Constant) else "⊙"
                return add_brackets(f"{self.read(left, 1)}<mo>{sign}</mo>{self.read(right, 1)}", tight > 1)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return f"<mfrac><mrow>{self.read(left)}</mrow><mrow>{self.read(right)}</mrow></mfrac>"
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return f"<msup>{self.read(left, 2)}{self.read(right)}</msup>"
            case ast.BinOp(left=left, op=op, right=right):
                after = 1 if isinstance(op, ast.Sub) and isinstance(right, ast.BinOp) and isinstance(right.op, (ast.Add, ast.Sub)) else 0
                return add_brackets(f"{self.read(left)}<mo>{SIGNS[type(op)]}</mo>{self.read(right, after)}", tight > 0)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return f"{self.read(left)}<mo>{SIGNS[type(op)]}</mo>{self.read(right)}"
        return f"<mtext>{escape(ast.unparse(node))}</mtext>"


def render_letter(name: str) -> str:
    return f"<mi>{GREEK.get(name, escape(name))}</mi>"


def render_index(mark: str) -> str:
    """Returns the index of a matrix: θ h for theta_h."""
    return f"<mrow>{''.join(render_letter(part) for part in mark.split('_'))}</mrow>"


def add_brackets(inside: str, needed: bool = True) -> str:
    tall = "" if "<mfrac>" in inside else ' stretchy="false"'
    return f"<mrow><mo{tall}>(</mo>{inside}<mo{tall}>)</mo></mrow>" if needed else f"<mrow>{inside}</mrow>"
