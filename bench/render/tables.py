"""The tables of a report that aren't about speed. Each is "" where it would have no rows."""

from collections.abc import Iterable, Sequence

from bench.analysis.summary import timed
from bench.records import CaseRecord, Environment
from bench.render.case_grid import Grid, measure
from bench.render.formatting import MIB, NONE, faults, label, mebibytes, number, saved_and_peak, size, task
from bench.render.markdown import table


def memory(grid: Grid) -> str:
    """MiB: the weights, then for each backend what is saved / the peak."""
    rows = []
    shown = [backend for backend in grid.backends if any(backend in grid.timed(row) for row in grid.rows)]
    for row in grid.rows:
        held = [record.memory.weights for record in grid.timed(row).values() if record.memory]
        if held:
            entries = (saved_and_peak(grid.entry(row, backend)) for backend in shown)
            rows.append([*grid.names(row, grid.keys), mebibytes(held[0]), *entries])
    return table([*grid.keys, "weights", *shown], rows)


def parameters(cases: Sequence[CaseRecord]) -> str:
    real = (r for r in cases if r.parameters and r.status != "verified" and not r.case.aa_repeat)
    known = {(r.case.matched_params_of, r.case.cell, r.case.D, r.case.H): r for r in real}
    rows = [
        [label(r.case), r.formula, str(r.case.D), str(r.case.H), f"{r.parameters:,}", f"{r.flops:,}"]
        for r in sorted(known.values(), key=lambda r: (r.case.matched_params_of, r.case.cell))
    ]
    return table(("cell", "formula", "D", "H", "parameters", "flops per step"), rows, left=2)


def verified(cases: Sequence[CaseRecord]) -> str:
    headers = ("cell", "backend", "size", "where", "error of outputs", "of the worst gradient", "which is of")
    found = [record for record in cases if record.status == "verified"]
    return table(
        headers, [[r.case.cell, r.case.backend, f"T={r.case.T} {size(r.case)}", r.reason or NONE, *faults(r)] for r in found], left=4
    )


def not_ok(cases: Sequence[CaseRecord]) -> str:
    """Every case that has no time and wasn't verified. One row holds those that share backend, status and reason."""
    several = len({measure(record.case) for record in cases if timed(record) and not record.case.matched_params_of}) > 1
    groups: dict[tuple[str, str, str], list[CaseRecord]] = {}
    for record in cases:
        if not timed(record) and record.status != "verified":
            reason = record.reason or ("no samples" if record.status == "ok" else "no reason was recorded")
            groups.setdefault((record.status, record.case.backend, reason), []).append(record)
    rows = [
        [
            status, backend, unique(label(r.case) for r in group), unique(task(r.case).lower() for r in group),
            unique(f"T={r.case.T} {size(r.case)}" if several else str(r.case.T) for r in group), reason, str(len(group)),
        ]
        for (status, backend, reason), group in sorted(groups.items())
    ]  # fmt: skip
    return table(("status", "backend", "cells", "tasks", "size" if several else "T", "reason", "cases"), rows, left=6)


def unique(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return ("; " if any("," in name for name in found) else ", ").join(found)


def environment(here: Environment) -> str:
    given = here.model_dump(exclude={"device_kind", "sgemm_flops", "constants", "memory_bytes", "dirty", "packages"})
    rows = [[name.replace("_", " "), str(value) or "none"] for name, value in given.items()]
    rows += [[name, version] for name, version in here.packages.items()]
    rows += [
        ["memory", f"{here.memory_bytes / 1024 / MIB:.1f} GiB" if here.memory_bytes else "not known"],
        ["commit has changes", "yes" if here.dirty else "no"],
        *constants(here),
    ]
    return table(("", ""), rows, left=2)


def constants(here: Environment) -> list[list[str]]:
    """What the device does at its best, a row for each; of an older record its float32 product alone."""
    known = here.constants
    if known is None:
        return [["product, float32", f"{number(here.sgemm / 1e9)} Gflop/s" if here.sgemm else "not measured"]]
    barriers = ", ".join(f"{1e6 * seconds:.2f} ({programs})" for programs, seconds in known.barriers.items())
    return [
        *([f"product, {name}", f"{number(rate / 1e9)} Gflop/s"] for name, rate in known.products.items()),
        ["copy, read and written", f"{number(known.copy_rate / 1e9)} GB/s"],
        ["all caches hold", "not known" if known.cache is None else f"{mebibytes(known.cache)} MiB"],
        *([["a multiprocessor holds", f"{known.chip / 1024:,.0f} KiB"]] if known.chip else []),
        *([["barrier (among programs)", f"{barriers} µs"]] if barriers else []),
        *([name, f"{1e6 * seconds:.2f} µs"] for name, seconds in (
            ("load from L2", known.l2), ("empty kernel in a graph", known.launch), ("tiny product in a graph", known.product_launch),
        ) if seconds is not None),
    ]  # fmt: skip
