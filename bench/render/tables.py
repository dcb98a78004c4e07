"""The tables of cases that aren't about speed."""

from collections.abc import Iterable, Sequence
from typing import Any

from bench.analysis.summary import is_timed
from bench.records import FAILURES, CaseRecord, Environment
from bench.render.case_grid import Grid, Row, size_of
from bench.render.formatting import (
    describe_size,
    describe_task,
    format_count,
    format_mib,
    format_number,
    format_power,
    label_cell,
)
from bench.render.speed_tables import key_columns, row_keys
from bench.render.table import Column, Table

SIZES = tuple(Column(key, key) for key in ("T", "B", "D", "H"))
ERRORS = (
    Column("error of outputs", "output_error", "", format_power),
    Column("of the worst gradient", "gradient_error", "", format_power),
    Column("which is of", "worst_gradient", words=True),
)
"""The errors against float64: of the outputs, of the worst gradient, and which that is."""
CELL, BACKEND = Column("cell", "cell", words=True), Column("backend", "backend", words=True)


def list_errors(record: CaseRecord) -> list[Any]:
    """The values of ERRORS."""
    if record.errors is None:
        return ["not checked", "not checked", None]
    found = record.errors
    return [found.output, "not checked" if found.gradient is None else found.gradient, found.worst or None]


def memory_table(grid: Grid, rows: Sequence[Row]) -> Table:
    """The weights, then for each backend what it saves for the backward pass, and its peak."""
    backends = [backend for backend in grid.backends if any(backend in grid.timed_records(row) for row in rows)]
    made = []
    for row in rows:
        weights = [record.memory.weights for record in grid.timed_records(row).values() if record.memory]
        if weights:
            made.append([*row_keys(row, grid.keys), weights[0], *(memory_of(grid.entry(row, backend)) for backend in backends)])
    parts = (Column("", "saved", "mib"), Column("", "peak", "mib"))
    columns = [
        *key_columns(grid.keys), Column("weights", "weights", "mib", format_mib),
        *(Column(b, show=lambda pair: f"{format_mib(pair[0])} / {format_mib(pair[1])}", at=b, parts=parts) for b in backends),
    ]  # fmt: skip
    caption = f"{describe_size(grid.common)}. Saved / peak of a training step including the input projection, in MiB (2^20 bytes)."
    return Table("Memory", columns, made, caption, across="backend", grouped=True)


def memory_of(found: CaseRecord | str) -> Any:
    return found if isinstance(found, str) else (found.memory.saved, found.memory.peak) if found.memory else "not measured"


def parameter_table(cases: Sequence[CaseRecord]) -> Table:
    real = (r for r in cases if r.parameters and r.status != "verified" and not r.case.aa_repeat)
    known = {(r.case.matched_params_of, r.case.cell, r.case.D, r.case.H): r for r in real}
    rows = [
        [label_cell(r.case), r.formula, r.case.D, r.case.H, r.parameters, r.flops]
        for r in sorted(known.values(), key=lambda r: (r.case.matched_params_of, r.case.cell))
    ]
    columns = [
        CELL, Column("formula", "formula", words=True), *SIZES[2:], Column("parameters", "parameters", "", format_count),
        Column("flops per step", "flops_per_step", "", format_count),
    ]  # fmt: skip
    return Table("Parameters", columns, rows, "Flops are of one forward step of one sequence.")


def verified_table(cases: Sequence[CaseRecord]) -> Table:
    found = [record for record in cases if record.status == "verified"]
    columns = [CELL, BACKEND, *SIZES, Column("dtype", "dtype", words=True), Column("where", "where", words=True), *ERRORS]
    rows = [[*list_case(r), r.case.dtype, r.reason or None, *list_errors(r)] for r in found]
    return Table("Checked without a time", columns, rows)


def list_case(record: CaseRecord) -> list[Any]:
    """Cell, backend, T, B, D and H."""
    case = record.case
    return [case.cell, case.backend, case.T, case.B, case.D, case.H]


def failure_table(cases: Sequence[CaseRecord]) -> Table:
    """The cases that failed, one by one."""
    columns = [CELL, BACKEND, Column("task", "task", words=True), *SIZES, *map(word_column, ("status", "reason"))]
    found = [record for record in cases if record.status in FAILURES]
    rows = [[label_cell(r.case), r.case.backend, describe_task(r.case), *list_case(r)[2:], r.status, r.reason] for r in found]
    return Table("Failed", columns, rows)


def word_column(name: str) -> Column:
    return Column(name, name, words=True)


def untimed_table(cases: Sequence[CaseRecord]) -> Table:
    """Every case that has no time and wasn't verified. One row holds those that share backend, status and reason."""
    several = len({size_of(record.case) for record in cases if is_timed(record) and not record.case.matched_params_of}) > 1
    groups: dict[tuple[str, str, str], list[CaseRecord]] = {}
    for record in cases:
        if not is_timed(record) and record.status != "verified":
            reason = record.reason or ("no samples" if record.status == "ok" else "no reason was recorded")
            groups.setdefault((record.status, record.case.backend, reason), []).append(record)
    rows = [
        [
            status, backend, join_unique(label_cell(r.case) for r in group), join_unique(describe_task(r.case).lower() for r in group),
            join_unique(f"T={r.case.T} {describe_size(r.case)}" if several else str(r.case.T) for r in group), reason, len(group),
        ]
        for (status, backend, reason), group in sorted(groups.items())
    ]  # fmt: skip
    words = ("status", "backend", "cells", "tasks", "size" if several else "T", "reason")
    return Table("Not timed", [*map(word_column, words), Column("cases", "cases")], rows, "Every other case without a time, and why.")


def join_unique(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return ("; " if any("," in name for name in found) else ", ").join(found)


def environment_table(here: Environment) -> Table:
    given = here.model_dump(exclude={"device_kind", "sgemm_flops", "constants", "memory_bytes", "dirty", "packages"})
    rows = [[name.replace("_", " "), str(value) or "none"] for name, value in given.items()]
    rows += [[name, version] for name, version in here.packages.items()]
    rows += [
        ["memory", f"{here.memory_bytes / 2**30:.1f} GiB" if here.memory_bytes else "not known"],
        ["commit has changes", "yes" if here.dirty else "no"],
        *list_constants(here),
    ]
    return Table("Environment", [Column("", "what", words=True), Column("", "value", words=True)], rows)


def list_constants(here: Environment) -> list[list[str]]:
    """What the device does at its best, a row for each; of an older record its float32 product alone."""
    known = here.constants
    if known is None:
        return [["product, float32", f"{format_number(here.sgemm / 1e9)} Gflop/s" if here.sgemm else "not measured"]]
    barriers = ", ".join(f"{1e6 * seconds:.2f} ({programs})" for programs, seconds in known.barriers.items())
    return [
        *([f"product, {name}", f"{format_number(rate / 1e9)} Gflop/s"] for name, rate in known.products.items()),
        ["copy, read and written", f"{format_number(known.copy_rate / 1e9)} GB/s"],
        ["all caches hold", "not known" if known.cache is None else f"{format_mib(known.cache)} MiB"],
        *([["a multiprocessor holds", f"{known.chip / 1024:,.0f} KiB"]] if known.chip else []),
        *([["barrier (among programs)", f"{barriers} µs"]] if barriers else []),
        *([name, f"{1e6 * seconds:.2f} µs"] for name, seconds in (
            ("load from L2", known.l2), ("empty kernel in a graph", known.launch), ("tiny product in a graph", known.product_launch),
        ) if seconds is not None),
    ]  # fmt: skip
