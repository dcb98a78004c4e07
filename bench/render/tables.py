"""Builds the tables of cases other than times and speeds."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.analysis.summary import is_timed
from bench.records import FAILURES, CaseRecord, Environment
from bench.render.case_grid import Grid, Row, find_size
from bench.render.formatting import describe_size, describe_task, format_count, format_mib, format_number, format_power, label_cell
from bench.render.speed_tables import list_key, make_key_columns
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, drop_empty, make_word_column

ERRORS = (
    Column("output error", "output_error", "", format_power), Column("largest gradient error", "gradient_error", "", format_power),
    make_word_column("worst_gradient", "of the gradient of"), Column("detectable scale error", "scale_error", "percent", "{:.1%}".format),
    Column("residual", "residual", "", format_power),
)  # fmt: skip
"""The errors against float64: of the outputs, of the worst gradient, the name of that gradient, and the smallest error of a gradient's
scale that can be detected beside rounding. Then the residual of a backend that iterates."""


def list_errors(record: CaseRecord) -> list[Any]:
    """Returns the values of ERRORS."""
    if record.errors is None:
        return ["not checked", "not checked", None, None, None]
    found = record.errors
    return [found.output, "not checked" if found.gradient is None else found.gradient, found.worst or None, found.scale, found.residual]


def make_memory_table(grid: Grid, rows: Sequence[Row]) -> Table:
    """Returns the table of the weights, and of saved and peak memory for each backend."""
    backends = [backend for backend in grid.backends if any(backend in grid.timed_records(row) for row in rows)]
    made = []
    for row in rows:
        weights = [record.memory.weights for record in grid.timed_records(row).values() if record.memory]
        if weights:
            made.append([*list_key(row, grid.keys), weights[0], *(find_memory(grid.find_entry(row, backend)) for backend in backends)])
    parts = (Column("", "saved", "mib"), Column("", "peak", "mib"))
    columns = [
        *make_key_columns(grid.keys), Column("weights", "weights", "mib", format_mib),
        *(Column(b, show=lambda pair: f"{format_mib(pair[0])} / {format_mib(pair[1])}", at=b, parts=parts) for b in backends),
    ]  # fmt: skip
    caption = f"{describe_size(grid.common)}. Saved / peak of a training step including the input projection, in MiB (2^20 bytes)."
    return Table("Memory", columns, made, caption, across="backend", grouped=True)


def find_memory(found: CaseRecord | str) -> Any:
    return found if isinstance(found, str) else (found.memory.saved, found.memory.peak) if found.memory else "not measured"


def make_parameter_table(cases: Sequence[CaseRecord]) -> Table:
    """Returns the table of parameter counts and flops."""
    real = (r for r in cases if r.parameters and r.status != "verified" and not r.case.aa_repeat)
    known = {(r.case.matched_params_of, r.case.cell, r.case.D, r.case.H): r for r in real}
    ordered = sorted(known.values(), key=lambda r: (r.case.matched_params_of, r.case.cell))
    counts = ["parameters", "layer_parameters", "flops"]
    if not any(r.layer_parameters for r in ordered):  # older records
        counts.remove("layer_parameters")
    rows = [[label_cell(r.case), r.formula, r.case.D, r.case.H, *(getattr(r, name) for name in counts)] for r in ordered]
    heads = {"parameters": "parameters", "layer_parameters": "in a layer", "flops": "flops per step"}
    columns = [CELL, make_word_column("formula"), *SIZES[2:]]
    columns += [Column(heads[name], name.replace("flops", "flops_per_step"), "", format_count) for name in counts]
    caption = "Flops per step: one forward step of one sequence."
    if "layer_parameters" in counts:
        caption += " Parameters are those of the equations; a layer of a cell of torch.nn has torch's second biases too."
    return Table("Parameters", columns, rows, caption)


def make_verified_table(cases: Sequence[CaseRecord]) -> Table:
    """Returns the table of cases that were checked without a time."""
    found = [record for record in cases if record.status == "verified"]
    columns = [CELL, BACKEND, *SIZES, *map(make_word_column, ("dtype", "where")), *ERRORS]
    rows = [[*list_case(r), r.case.dtype, r.reason or None, *list_errors(r)] for r in found]
    return Table("Checked without a time", *drop_empty(columns, rows))


def list_case(record: CaseRecord) -> list[Any]:
    """Returns cell, backend, T, B, D and H."""
    case = record.case
    return [case.cell, case.backend, case.T, case.B, case.D, case.H]


def make_failure_table(cases: Sequence[CaseRecord]) -> Table:
    """Returns the table of failed cases, one row each."""
    columns = [CELL, BACKEND, make_word_column("task"), *SIZES, *map(make_word_column, ("status", "reason"))]
    found = [record for record in cases if record.status in FAILURES]
    rows = [[label_cell(r.case), r.case.backend, describe_task(r.case), *list_case(r)[2:], r.status, r.reason] for r in found]
    return Table("Failed", columns, rows)


def make_untimed_table(cases: Sequence[CaseRecord]) -> Table:
    """Returns the table of cases that have no time and were not verified. Cases with the same backend, status and reason share a row."""
    several = len({find_size(record.case) for record in cases if is_timed(record) and not record.case.matched_params_of}) > 1
    groups: dict[tuple[str, str, str], list[CaseRecord]] = {}
    for record in cases:
        if not is_timed(record) and record.status != "verified":
            reason = record.reason or ("no samples" if record.status == "ok" else "no reason was recorded")
            groups.setdefault((record.status, record.case.backend, reason), []).append(record)
    rows = []
    for (status, backend, reason), group in sorted(groups.items()):
        cells, tasks = join_unique(label_cell(r.case) for r in group), join_unique(describe_task(r.case).lower() for r in group)
        sizes = join_unique(f"T={r.case.T} {describe_size(r.case)}" if several else str(r.case.T) for r in group)
        rows.append([status, backend, cells, tasks, sizes, reason, len(group)])
    words = ("status", "backend", "cells", "tasks", "size" if several else "T", "reason")
    return Table("Not timed", [*map(make_word_column, words), Column("cases", "cases")], rows, "Cases without a time, and the reason.")


def join_unique(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return ("; " if any("," in name for name in found) else ", ").join(found)


CPU_ROWS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("cpus", "CPUs of the machine", str), ("load", "CPUs that other processes kept busy at the start", "{:.2f}".format),
    ("load_average", "load average over a minute", "{:.2f}".format), ("governor", "governor of the CPUs' clock", str),
    ("turbo", "turbo", str), ("smt", "two CPUs on a core (SMT)", str),
)  # fmt: skip
"""The state of the CPUs, which older records don't have."""
CPU_STATE = [name for name, *_ in CPU_ROWS]


def make_environment_table(here: Environment) -> Table:
    """Returns the table of the environment of a run."""
    given = here.model_dump(exclude={"device_kind", "sgemm_flops", "constants", "memory_bytes", "dirty", "packages", *CPU_STATE})
    rows = [[name.replace("_", " "), str(value) or "none"] for name, value in given.items()]
    rows += [[name, version] for name, version in here.packages.items()]
    rows += [
        ["memory", f"{here.memory_bytes / 2**30:.1f} GiB" if here.memory_bytes else "not known"],
        ["uncommitted changes", "yes" if here.dirty else "no"],
        *([words, show(value)] for (name, words, show) in CPU_ROWS if (value := getattr(here, name)) not in (None, "")),
        *list_constants(here),
    ]
    return Table("Environment", [make_word_column("what", "property"), make_word_column("value")], rows)


def list_constants(here: Environment) -> list[list[str]]:
    """Returns a row per peak rate of the device; for an older record only its float32 product."""
    known = here.constants
    if known is None:
        return [["product, float32", f"{format_number(here.sgemm / 1e9)} Gflop/s" if here.sgemm else "not measured"]]
    barriers = ", ".join(f"{1e6 * seconds:.2f} ({programs})" for programs, seconds in known.barriers.items())
    return [
        *([f"product, {name}", f"{format_number(rate / 1e9)} Gflop/s"] for name, rate in known.products.items()),
        ["copy (bytes read and written)", f"{format_number(known.copy_rate / 1e9)} GB/s"],
        ["capacity of all caches", "not known" if known.cache is None else f"{format_mib(known.cache)} MiB"],
        *([["shared memory and registers of a multiprocessor", f"{known.chip / 1024:,.0f} KiB"]] if known.chip else []),
        *([["grid-wide barrier (programs)", f"{barriers} µs"]] if barriers else []),
        *([name, f"{1e6 * seconds:.2f} µs"] for name, seconds in (
            ("load from L2", known.l2), ("empty kernel in a graph", known.launch), ("tiny product in a graph", known.product_launch),
        ) if seconds is not None),
    ]  # fmt: skip
