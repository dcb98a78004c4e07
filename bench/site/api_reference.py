"""Reads the public interface from the source with griffe; nothing is imported or run."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import griffe

PACKAGES = ("cells", "kernels", "bench")
WIDTH = 100
"""The longest signature on one line, in letters."""


@dataclass(frozen=True)
class Entry:
    """A public name.

    Attributes:
        code: Its signature, or the assignment of a value.
        about: Its docstring.
        fields: The fields of a class: name, type, default.
        members: The members of a class that have a docstring.
        others: The signatures of the other members.
    """

    name: str
    kind: str
    code: str
    about: str
    fields: Sequence[tuple[str, str, str]] = ()
    members: Sequence["Entry"] = ()
    others: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A module: its docstring and its entries."""

    module: str
    about: str
    entries: Sequence[Entry]


@cache
def load_packages(root: Path) -> griffe.ModulesCollection:
    loader = griffe.GriffeLoader(search_paths=[root], allow_inspection=False)
    for package in PACKAGES:
        loader.load(package, try_relative_path=False)
    return loader.modules_collection


def read_section(root: Path, module: str, names: Sequence[str] = ()) -> Section:
    """Returns a module under `root`, with the given names or all public ones.

    Raises:
        LookupError: The module lacks a name.
    """
    found = load_packages(root)[module]
    missing = [name for name in names if name not in found.members]
    if missing:
        raise LookupError(f"{module} has no {missing[0]}")
    return Section(module, read_docstring(found), [read_entry(found[name]) for name in names or list_public(found)])


def list_public(module: griffe.Object | griffe.Alias) -> list[str]:
    """Returns the names in `__all__`; without it, all names defined in the module without a leading underscore."""
    own = [n for n, member in module.members.items() if not member.is_alias and not member.is_module and not n.startswith("_")]
    return own if module.exports is None else [str(name) for name in module.exports]


def read_docstring(found: griffe.Object | griffe.Alias) -> str:
    return found.docstring.value if found.docstring else ""


def read_entry(found: griffe.Object | griffe.Alias, owner: str = "") -> Entry:
    found = found.final_target if isinstance(found, griffe.Alias) else found
    name = f"{owner}.{found.name}" if owner else found.name
    if isinstance(found, griffe.Class):
        return read_class(found)
    if isinstance(found, griffe.Function):
        return Entry(name, "method" if owner else "function", format_signature(found), read_docstring(found))
    if "property" in found.labels:
        return Entry(name, "property", format_signature(found), read_docstring(found))
    if isinstance(found, griffe.Attribute) and str(found.value).startswith("Function("):
        return read_applied_function(found)
    return Entry(name, "value", found.source.strip(), read_docstring(found))


def read_class(found: griffe.Class) -> Entry:
    bases = ", ".join(map(str, found.bases))
    code = [f"class {found.name}({bases})" if bases else f"class {found.name}"]
    if "__init__" in found.members and "dataclass" not in found.labels:
        code.append(wrap_signature(found.signature()))
    functions = {n: m for n, m in found.all_members.items() if m.is_function or "property" in m.labels}
    if "forward" in functions:
        code.append(format_signature(functions["forward"]))
    shown = [m for n, m in functions.items() if is_public(n, m)]
    members = [read_entry(member, found.name) for member in shown if read_docstring(member)]
    others = [format_signature(member) for member in shown if not read_docstring(member) and member.name != "forward"]
    return Entry(found.name, "class", "\n\n".join(code), read_docstring(found), [*read_fields(found)], members, others)


def is_public(name: str, found: griffe.Object | griffe.Alias) -> bool:
    """Returns whether a member is called by users. A validator is called only by pydantic."""
    validates = isinstance(found, griffe.Function) and any("model_validator" in str(d.value) for d in found.decorators)
    return not validates and (not name.startswith("_") or (name == "__call__" and bool(read_docstring(found))))


def read_fields(found: griffe.Class) -> Iterator[tuple[str, str, str]]:
    for name, member in found.members.items():
        if isinstance(member, griffe.Attribute) and member.annotation is not None and "property" not in member.labels:
            yield name, str(member.annotation), read_default(member.value)


def read_default(value: str | griffe.Expr | None) -> str:
    """Returns a default value: "[]" for `Field(default_factory=list)`, "" for a `Field` without default."""
    if isinstance(value, griffe.ExprCall) and str(value.function) in ("Field", "field"):
        keywords = {a.name: str(a.value) for a in value.arguments if isinstance(a, griffe.ExprKeyword)}
        maker = keywords.get("default_factory")
        return {"list": "[]", "dict": "{}"}.get(maker, f"{maker}()") if maker else ""
    return "" if value is None else str(value)


def format_signature(found: griffe.Object | griffe.Alias) -> str:
    if isinstance(found, griffe.Function):
        return wrap_signature(found.signature())
    return f"{found.name}: {found.annotation}" if isinstance(found, griffe.Attribute) and found.annotation else found.name


def wrap_signature(line: str) -> str:
    """Returns a signature on one line, or with one argument per line if it is long."""
    if len(line) <= WIDTH:
        return line
    start, _, rest = line.partition("(")
    parts, depth = [""], 1
    for at, letter in enumerate(rest):
        depth += (letter in "([{") - (letter in ")]}")
        if not depth:
            return "\n".join([f"{start}(", *(f"    {part.strip()}," for part in parts), rest[at:]])
        if letter == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += letter
    raise ValueError(f"{line!r} is no signature")


def read_applied_function(found: griffe.Attribute) -> Entry:
    """Returns a function that a cell may apply: its arguments, and its derivatives in terms of them and of its value y."""
    call = ast.parse(str(found.value), mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.args[2], ast.Lambda)
    *arguments, _ = (argument.arg for argument in call.args[2].args.args)
    body = call.args[2].body
    parts = body.elts if isinstance(body, ast.Tuple) else []
    about = ", ".join(f"`{ast.unparse(part)}`" for part in parts) or "half for each at a tie, else those of the one taken"
    value = any(isinstance(node, ast.Name) and node.id == "y" for node in ast.walk(body))
    about = f"Derivative{'s' * (len(arguments) > 1)}: {about}{', y its value' * value}."
    return Entry(found.name, "function", f"{found.name}({', '.join(arguments)})", about)
