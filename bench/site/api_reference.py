"""What is public, read off its source: signatures as they are written, docstrings as they stand. Nothing is imported or run."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef
WIDE = 100
"""Letters that a signature may have in one line."""


@dataclass(frozen=True)
class Entry:
    """Something with a name. `code` is its signature, or a value as it is set; `fields` are a class's, as name, type and default;
    `members` have a docstring each, `others` are the signatures of those without."""

    name: str
    kind: str
    code: str
    about: str
    fields: Sequence[tuple[str, str, str]] = ()
    members: Sequence["Entry"] = ()
    others: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A module, as it is imported: what it says of itself, and what it has."""

    module: str
    about: str
    entries: Sequence[Entry]


def section(root: Path, module: str, names: Sequence[str] = ()) -> Section:
    """Of a module under `root`: these names, or all that are public, which is what its `__all__` has, where it has one.

    Raises LookupError for a name that isn't there."""
    text = file(root, module).read_text(encoding="utf-8")
    return Section(module, ast.get_docstring(ast.parse(text)) or "", [look(root, module, name) for name in names or public(text)])


def file(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public(text: str) -> list[str]:
    found = []
    for node in ast.parse(text).body:
        name = named(node)
        if name == "__all__" and isinstance(node, ast.Assign):
            return [str(entry) for entry in ast.literal_eval(node.value)]
        if name and not name.startswith("_"):
            found.append(name)
    return found


def named(node: ast.stmt) -> str:
    """What a statement defines, or ""."""
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def look(root: Path, module: str, name: str) -> Entry:
    """A name of a module, wherever that imports it from."""
    text = file(root, module).read_text(encoding="utf-8")
    body = ast.parse(text).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and node.module and name in (alias.name for alias in node.names):
            return look(root, node.module, name)
        if named(node) == name:
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            return Reader(text).entry(node, str(ast.literal_eval(after.value)) if said and isinstance(after, ast.Expr) else "")
    raise LookupError(f"{module} has no {name}")


@dataclass(frozen=True)
class Reader:
    """Reads statements of a file."""

    text: str

    def entry(self, node: ast.stmt, said: str = "", owner: str = "") -> Entry:
        """`said` is the string under a value."""
        if isinstance(node, ast.ClassDef):
            return self.type(node)
        if isinstance(node, ast.FunctionDef):
            about, name = ast.get_docstring(node) or "", f"{owner}.{node.name}" if owner else node.name
            kind = ("property" if fixed(node) else "method") if owner else "function"
            return Entry(name, kind, self.signature(node), about)
        value = getattr(node, "value", None)
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "Function":
            return self.applied(named(node), value)
        return Entry(named(node), "value", self.written(node), said)

    def written(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ast.unparse(node)

    def type(self, node: ast.ClassDef) -> Entry:
        bases = ", ".join(map(self.written, node.bases))
        code = f"class {node.name}({bases})" if bases else f"class {node.name}"
        functions = [f for f in node.body if isinstance(f, ast.FunctionDef) and not checks(f)]
        for called in (f for f in functions if f.name in ("__init__", "forward")):
            code += "\n\n" + self.signature(called, node.name if called.name == "__init__" else "")
        shown = [f for f in functions if not f.name.startswith("_") or (f.name == "__call__" and ast.get_docstring(f))]
        members = [self.entry(f, owner=node.name) for f in shown if ast.get_docstring(f)]
        others = [self.signature(f) for f in shown if not ast.get_docstring(f) and f.name != "forward"]
        return Entry(node.name, "class", code, ast.get_docstring(node) or "", [*self.fields(node)], members, others)

    def fields(self, node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                default = self.default(line.value) if line.value else ""
                yield line.target.id, self.written(line.annotation), default

    def default(self, value: ast.expr) -> str:
        """As it is, or what makes it: an empty list for `Field(default_factory=list)`; of a `Field` without one, nothing."""
        if isinstance(value, ast.Call) and ast.unparse(value.func) in ("Field", "field"):
            made = next((word.value for word in value.keywords if word.arg == "default_factory"), None)
            return {"list": "[]", "dict": "{}"}.get(ast.unparse(made), f"{ast.unparse(made)}()") if made else ""
        return self.written(value)

    def signature(self, node: ast.FunctionDef, called: str = "") -> str:
        """In one line where it fits; `called` is what a class is called by."""
        given = node.args
        named = [*given.posonlyargs, *given.args]
        defaults = [*[None] * (len(named) - len(given.defaults)), *given.defaults]
        parts = [self.argument(a, d) for a, d in zip(named, defaults, strict=True) if a.arg not in ("self", "cls")]
        if given.vararg:
            parts.append(f"*{self.written(given.vararg)}")
        elif given.kwonlyargs:
            parts.append("*")
        parts += [self.argument(a, d) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
        parts += [f"**{self.written(given.kwarg)}"] if given.kwarg else []
        returned = f" -> {self.written(node.returns)}" if node.returns and not called else ""
        if fixed(node):
            return f"{node.name}{returned.replace(' -> ', ': ')}"
        start = f"{called or node.name}("
        line = f"{start}{', '.join(parts)}){returned}"
        return line if len(line) <= WIDE else "\n".join([start, *(f"    {part}," for part in parts), f"){returned}"])

    def argument(self, argument: ast.arg, default: ast.expr | None) -> str:
        if default is None:
            return self.written(argument)
        return f"{self.written(argument)}{' = ' if argument.annotation else '='}{self.written(default)}"

    def applied(self, name: str, value: ast.Call) -> Entry:
        """A function that a cell may apply: its arguments, and its derivatives in terms of them and of its value y."""
        partials = value.args[2]
        assert isinstance(partials, ast.Lambda) and isinstance(partials.body, ast.Tuple | ast.Call)
        *arguments, _ = (argument.arg for argument in partials.args.args)
        parts = partials.body.elts if isinstance(partials.body, ast.Tuple) else []
        told = ", ".join(f"`{self.written(part)}`" for part in parts) or "half for each at a tie, else those of the one taken"
        own = any(isinstance(node, ast.Name) and node.id == "y" for node in ast.walk(partials.body))
        said = f"Derivative{'s' * (len(arguments) > 1)}: {told}{', y its value' * own}."
        return Entry(name, "function", f"{name}({', '.join(arguments)})", said)


@cache
def decorators(node: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list)


def fixed(node: ast.FunctionDef) -> bool:
    """Whether it is read like a value."""
    return bool({"property", "cached_property"} & {*decorators(node)})


def checks(node: ast.FunctionDef) -> bool:
    """Whether pydantic calls it, and nobody else."""
    return "model_validator" in decorators(node)
