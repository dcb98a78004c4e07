"""Writes a layer as C files: one step of a stream, its header, and an example."""

import inspect
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch

from cells.grammar.cell import Cell
from kernels.derive.adjoint import print_source
from kernels.derive.step_program import Operand, make_program
from kernels.layer.c_export.c_dialect import CDialect, fill_in
from kernels.layer.c_export.c_layer import CLayer
from kernels.layer.layer_parameters import LayerParameters

Field = tuple[str, int, float]
"""A field of the state: its name, its size, and what it is at the beginning of a sequence."""
HERE = Path(__file__).parent
DTYPES = (torch.float32, torch.float64)
START = """\
/* One time step of a stream: ABOUT.

   The weights are those of ORIGIN. C99, which C++ reads too; NAME_main.c is an example:

       cc -O3 -march=native -c NAME.c

   It allocates nothing, takes no lock and calls no library. A step needs about STACK KiB of stack.

EQUATIONS */
#include <stdint.h>
MATH
#include "NAME.h"

#if defined(__GNUC__)
#define NAME_INLINE static inline __attribute__((always_inline))
#define NAME_PREFETCH(address) __builtin_prefetch((const void *)(address))  /* a matrix past the caches is read page by page */
#elif defined(_MSC_VER)
#define NAME_INLINE static __forceinline
#else
#define NAME_INLINE static inline
#endif
#ifndef NAME_PREFETCH
#define NAME_PREFETCH(address) (void)(address)
#endif

CODE"""
CONSTANTS = "#include <math.h>  /* the constants INFINITY and NAN: none of its functions is called */\n"


def export(layer: LayerParameters, folder: Path, name: str, origin: str) -> tuple[Path, ...]:
    """Writes a layer as C; `RNN.export_c` describes the files and its arguments."""
    name = name or layer.cell.name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise ValueError(f"a name in C has at most 40 letters, digits and underscores, and begins with a letter: not {name!r}")
    if layer.bidirectional:
        raise ValueError("a stream has one direction: a bidirectional layer can't be exported as a step")
    dtypes = {parameter.dtype for parameter in layer.parameters()} or {torch.get_default_dtype()}
    if len(dtypes) > 1 or not dtypes <= {*DTYPES}:
        found = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise ValueError(f"a step in C computes in float32 or float64, not in {found}: convert the layer, layer.float()")
    texts = make_files(layer, CDialect(name, dtypes.pop()), origin)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return tuple(folder / file for file in texts)


@torch.no_grad()
def make_files(layer: LayerParameters, dialect: CDialect, origin: str) -> dict[str, str]:
    """Returns the texts of the files by their names."""
    D, H, name, cell = layer.input_size, layer.hidden_size, dialect.name, layer.cell
    program, numbers = make_program(layer.plan), range(layer.num_layers)
    widths = [D, *[H] * (layer.num_layers - 1)]
    parts = [CLayer(dialect, program, layer.weights(f"_l{k}"), k, widths[k], H) for k in numbers]
    fields = [(f"{state}_l{k}", H, cell.start.get(state, 0.0)) for k in numbers for state in cell.states]
    fields += [(f"x_l{k}", widths[k], 0.0) for k in numbers if program.uses_prev]
    fields += [("time", 1, 0.0)] * program.uses_time
    functions = [i.function for i in program.instructions if isinstance(i, Operand)] + [program.step]
    code = "\n".join([
        *(print_source(function, dialect.language) for function in functions),
        *(constant for part in parts for constant in part.constants), *(part.write_function() for part in parts),
        write_reset(dialect, fields), write_step(dialect, D, H, [f"{cell.states[0]}_l{k}" for k in numbers], program.uses_time),
    ])  # fmt: skip
    code = f"{dialect.functions(code)}\n{code}"
    tokens = {
        "ABOUT": f"{cell.name}, {layer.num_layers} layer{'s' * (layer.num_layers > 1)}, {D} inputs, {H} outputs, {dialect.real}",
        "NAME": name, "GUARD": name.upper(), "real": dialect.real,
        "INPUTS": str(D), "OUTPUTS": str(H), "LAYERS": str(layer.num_layers),
        "FIELDS": escape("\n".join(f"    {dialect.real} {field}[{width}];" for field, width, _ in fields)),
        "MATH": CONSTANTS * bool(re.search("INFINITY|NAN", code)), "CODE": escape(code),
        "STACK": str(max(part.stack_bytes for part in parts) // 1024 + 1),
        "ORIGIN": quote(origin), "EQUATIONS": textwrap.indent(quote(describe_equations(cell)), "   "),
        "SCAN": "%f" if dialect.real == "float" else "%lf", "PRINT": "%.9g" if dialect.real == "float" else "%.17g",
    }  # fmt: skip
    templates = {f"{name}.c": START, f"{name}.h": read_template("header.h"), f"{name}_main.c": read_template("main.c")}
    return {file: fill_in(template, tokens) for file, template in templates.items()}


def read_template(file: str) -> str:
    """Returns the text of a template."""
    return (HERE / file).read_text(encoding="utf-8")


def write_reset(dialect: CDialect, fields: Sequence[Field]) -> str:
    """Writes the function that sets the states with which a sequence begins."""
    numbers = dialect.write_numbers(torch.tensor([start for _, _, start in fields], dtype=torch.float64))
    body = (
        f"    for (int j = 0; j < {width}; j++) state->{field}[j] = {number};\n"
        for (field, width, _), number in zip(fields, numbers, strict=True)
    )
    return f"void {dialect.name}_reset({dialect.name}_state *state)\n{{\n{''.join(body)}}}\n"


def write_step(dialect: CDialect, D: int, H: int, outputs: Sequence[str], uses_time: bool) -> str:
    """Writes the function of a step; `outputs` are the fields of the layers' outputs. With `uses_time` it counts the steps."""
    name, inputs = dialect.name, ["x", *(f"state->{field}" for field in outputs)]
    calls = "".join(f"    {name}_layer{k}(state, {x});\n" for k, x in enumerate(inputs[:-1]))
    count = "    state->time[0] += 1;\n" * uses_time
    return (
        f"void {name}_step({name}_state *state, const {dialect.real} x[{D}], {dialect.real} y[{H}])\n{{\n{calls}"
        f"    for (int j = 0; j < {H}; j++) y[j] = {inputs[-1]}[j];\n{count}}}\n"
    )


def describe_equations(cell: Cell) -> str:
    """Returns the equations of a cell as its paper and as its function write them, as far as their text is known."""
    module = sys.modules.get(cell.step.__module__)
    documented = module if cell.step.__module__.startswith("cells.") else cell.step
    try:
        source = textwrap.dedent(inspect.getsource(cell.step))
    except (OSError, TypeError):  # made by exec, or in a console
        source = ""
    return f"{inspect.getdoc(documented) or ''}\n\n{source}".strip()


def quote(text: str) -> str:
    """Returns a text that can be part of a comment."""
    return text.replace("*/", "* /").replace("/*", "/ *")


def escape(code: str) -> str:
    """Returns C with names in ASCII: a cell may call a value θ."""
    return re.sub(r"[^\x00-\x7f]", lambda found: f"u{ord(found[0]):x}_", code)
