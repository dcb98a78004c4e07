"""A run as tables for a terminal, which wraps them to its own width."""

import re
from collections.abc import Iterator, Sequence
from io import StringIO

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from bench.analysis.summary import by_cell, host_bound, rate, seconds
from bench.records import FAILURES, CaseRecord, Environment, GradientRecord, Records
from bench.render import chaos_report, jacobian_report, speed_tables, theory_report, training_report, wave_report
from bench.render.case_grid import FASTEST, HOST, HOST_LEGEND, TIED, Grid, grids, measure
from bench.render.formatting import (
    OTHER,
    VERDICTS,
    label,
    mebibytes,
    milliseconds,
    power,
    saved_and_peak,
    size,
    task,
    times,
    two_grus,
    unknown,
)
from bench.render.header import contents, remarks

BLOCKS = "▁▂▃▄▅▆▇█"
DECADES = 8
PICTURE = 14
NAME = 20


def tables(records: Records) -> list[RenderableType]:
    """What ran and what failed, then a table for each task, memory, parameters, gradient norms and trainings; none that would be empty."""
    laid = grids(records.cases)
    return [
        header(records),
        *failures(records.cases),
        *map(times_table, laid),
        *stand_ins(laid),
        *lights(laid, records.run.environment),
        *map(Markdown, wave_report.section(records.cases)),
        *memory(laid),
        *parameters(records.cases),
        *gradients(records.gradients),
        *map(Markdown, dynamics(records)),
        *training_report.tables(records),
    ]


def dynamics(records: Records) -> list[str]:
    """How signals travel, as the report has it, less what is folded there."""
    parts = [
        *jacobian_report.section(records.jacobians),
        *theory_report.section(records.theory),
        *chaos_report.section(records.maps, records.decays),
    ]
    return [part for part in parts if part and not part.startswith("<details>")]


def screenshot(records: Records) -> str:
    """The head and the first table as SVG, as a terminal shows them, without the fonts that rich would fetch from elsewhere."""
    canvas = Console(record=True, width=88, file=StringIO(), force_terminal=True, color_system="truecolor")
    canvas.print(header(records))
    for table in list(map(times_table, grids(records.cases)))[:1]:
        canvas.print(table)
    drawn = canvas.export_svg(title="python -m bench all", unique_id="bench")
    return re.sub(r"@font-face\s*\{[^}]*\}", "", drawn)


def header(records: Records) -> Text:
    here = records.run.environment
    failed = any(record.status in FAILURES for record in records.cases)
    text = Text(f"{here.device}, {here.threads} threads, torch {here.torch}\n")
    text.append(contents(records), style="bold red" if failed else "bold")
    return text.append("".join(f"\n{remark}" for remark in remarks(records)))


def failures(cases: Sequence[CaseRecord]) -> Iterator[Group]:
    failed = [record for record in cases if record.status in FAILURES]
    if failed:
        several = len({measure(record.case) for record in failed}) > 1
        table = columns("case", "T", "status", "reason", left=("case", "status", "reason"))
        for record in failed:
            case = record.case
            T = f"{case.T} {size(case)}" if several else str(case.T)
            table.add_row(f"{case.cell} {case.backend}, {task(case)}", T, Text(record.status, style="red"), Text(record.reason))
        yield titled("Failed", table, "")


def times_table(grid: Grid) -> Group:
    """Milliseconds, and how many times as fast as the vendor; T across where there is but one backend and one size to show."""
    silent = grid.silent if len(grid.silent) < len(grid.backends) else {}
    backends = [backend for backend in grid.backends if backend not in silent]
    title = f"{task(grid.common)}, {size(grid.common)}"
    note = " ".join([f"{backend}: {found}, no time." for backend, found in silent.items()] + [two_grus(grid.cells)])
    if len(backends) == 1 and not grid.several:
        table = columns("cell", *(f"T={T}" for T in grid.lengths))
        for cell in grid.cells:
            rows = (row for row in grid.rows if row.cell == cell)
            table.add_row(cell, *(entry(grid, grid.entry(row, backends[0]), "") for row in rows))
        return titled(f"{title}, {backends[0]}", table, f"Median ms. {note}")
    algorithms = [grid.algorithm(row) for row in grid.rows]
    table = columns(*grid.keys, *backends, *(["cuDNN, expected"] if any(algorithms) else []), left=("cell", "cuDNN, expected"))
    cells = ["", *(row.cell for row in grid.rows), ""]
    for before, after, row, algorithm in zip(cells, cells[2:], grid.rows, algorithms, strict=False):
        marks = grid.marks(row)
        found = {backend: entry(grid, grid.entry(row, backend), marks.get(backend, "")) for backend in backends}
        if (gru := grid.peers(row).width) and "vendor" in found:
            found["vendor"] = Text(f"gru {milliseconds(seconds(gru).value)}", style="dim")
        names = grid.names(row, grid.keys[1:])
        last = [Text(algorithm, style="dim")] if any(algorithms) else []
        table.add_row(row.cell if row.cell != before else "", *names, *found.values(), *last, end_section=row.cell != after)
    caption = "Median ms, and × the vendor's speed."
    if any(grid.marks(row) for row in grid.rows):
        caption += f" {FASTEST} fastest of its row, {TIED} not shown to be slower; {VERDICTS}."
    if grid.host_bound:
        caption += f" {HOST_LEGEND}"
    if any(grid.peers(row).width for row in grid.rows):
        caption += ' "gru 12.3": torch.nn has no such cell, so × is against its gru of the same H.'
    return titled(title, table, f"{caption} {note}")


def entry(grid: Grid, found: CaseRecord | str, mark: str) -> Text:
    if isinstance(found, str):
        return Text(found, style="red" if found in FAILURES else "dim")
    speed = grid.speed(found)
    note = times(speed) if speed else OTHER if grid.unlike(found) else ""
    parts = (mark, milliseconds(seconds(found).value) + HOST * host_bound(found), note)
    return Text(" ".join(filter(None, parts)), style="bold green" if mark == FASTEST else "green" if mark else "")


def stand_ins(laid: Sequence[Grid]) -> Iterator[Group]:
    """Cells that torch.nn doesn't have against its GRU, at the longest T."""
    for grid in laid:
        rows = {row: found for row in grid.longest if (found := grid.peers(row)).width or found.parameters}
        backends = [b for b in grid.backends if b != "vendor" and any(b in grid.timed(row) for row in rows)]
        if not backends:
            continue
        table = columns(*grid.longest_keys, "gru's H", *backends)
        for row, found in rows.items():
            entries = (grid.entry(row, backend) for backend in backends)
            ratios = (
                e if isinstance(e, str) else f"{against(grid, e, found.width)} / {against(grid, e, found.parameters)}" for e in entries
            )
            widths = f"{row.H} / {found.parameters.case.H if found.parameters else 'none'}"
            table.add_row(*grid.names(row, grid.longest_keys), widths, *ratios)
        caption = "× the speed of the vendor's gru: of the same H / of the H that gives it as many parameters."
        title = f"Against torch.nn's gru{grid.at_longest}: {task(grid.common).lower()}"
        yield titled(title, table, f"{caption} {two_grus(row.cell for row in rows)}")


def against(grid: Grid, record: CaseRecord, peer: CaseRecord | None) -> str:
    speed = grid.against(record, peer)
    return times(speed) if speed else unknown(record, peer)


def lights(laid: Sequence[Grid], here: Environment) -> Iterator[Group]:
    """× of light at the longest T, of the first task that has any: the others are in the report."""
    for grid in laid:
        if rows := speed_tables.floors(grid, here):
            table = columns(*rows[0], left=("cell", "set by"))
            for row in rows[1:]:
                table.add_row(*row)
            caption = "Time over the floor, which nothing can beat on this machine, and what sets it; report.md says how."
            notes = filter(None, (caption, speed_tables.caution(rows), two_grus(grid.cells)))
            yield titled(f"× of light{grid.at_longest}: {task(grid.common).lower()}", table, " ".join(notes))
            return


def memory(laid: Sequence[Grid]) -> Iterator[Group]:
    """Of a training step with the input product, at the longest T."""
    for grid in (g for g in laid if g.common.mode == "training" and g.common.input_product):
        weights = {row: r.memory.weights for row in grid.longest for r in grid.timed(row).values() if r.memory}
        if not weights:
            continue
        backends = [backend for backend in grid.backends if any(backend in grid.timed(row) for row in grid.longest)]
        table = columns(*grid.longest_keys, "weights", *backends)
        for row, held in weights.items():
            entries = (saved_and_peak(grid.entry(row, backend)) for backend in backends)
            table.add_row(*grid.names(row, grid.longest_keys), mebibytes(held), *entries)
        caption = "MiB (2^20 bytes): kept between forward and backward / highest during a step, over what was allocated before it."
        place = f"{grid.at_longest} {size(grid.common)}" if grid.at_longest else f", {size(grid.common)}"
        yield titled(f"Memory of training{place}", table, f"{caption} {two_grus(row.cell for row in weights)}")


def parameters(cases: Sequence[CaseRecord]) -> Iterator[Group]:
    real = (r for r in cases if r.parameters and r.status != "verified" and not r.case.aa_repeat)
    known = {(r.case.matched_params_of, r.case.cell, r.case.D, r.case.H): r for r in real}
    if known:
        table = columns("cell", "H", "formula", "parameters", "flops", left=("cell", "formula"))
        for record in sorted(known.values(), key=lambda r: (r.case.matched_params_of, r.case.cell)):
            table.add_row(label(record.case), str(record.case.H), record.formula, f"{record.parameters:,}", f"{record.flops:,}")
        yield titled("Parameters", table, f"flops: of one forward step of one sequence. {two_grus(r.case.cell for r in known.values())}")


def gradients(records: Sequence[GradientRecord]) -> Iterator[Group]:
    if not records:
        return
    lengths, cells = sorted({record.T for record in records}), by_cell(records)
    longest = {cell: found[max(found)] for cell, found in cells.items()}
    low, high = span([norm for record in longest.values() for norm in record.by_lag])
    table = columns("cell", "lag 0 to T", "nats/step", *(f"T={T}" for T in lengths), left=("cell", "lag 0 to T"))
    for cell, found in cells.items():
        slope = rate(longest[cell])
        at_start = (norm_at_start(found[T]) if T in found else "not run" for T in lengths)
        steep = "unknown" if slope is None else f"{slope:+.3f}"
        table.add_row(cell, picture(longest[cell], low, high), steep, *at_start)
    lost = sum(record.non_finite for record in records)
    caption = (
        f"‖∂L/∂s‖ over lag, log scale: █ {power(high)}, ▁ {power(low)} or less, · zero. nats/step: slope of its logarithm. "
        f"By T: the norm at the initial states{f', ! where some of {lost:,} entries were not finite' if lost else ''}. "
        f"{records[0].loss}. {two_grus(cells)}"
    )
    yield titled(f"Gradient norms, longest T={lengths[-1]}", table, caption)


def norm_at_start(record: GradientRecord) -> str:
    return ("!" if record.non_finite else "") + (power(record.by_lag[-1]) if record.by_lag else "none")


def span(norms: Sequence[float]) -> tuple[float, float]:
    """The scale of the pictures: from the smallest norm to the largest, and at most eight decades."""
    positive = [norm for norm in norms if 0 < norm < np.inf] or [1.0]
    return max(min(positive), max(positive) * 10.0**-DECADES), max(positive)


def picture(record: GradientRecord, low: float, high: float) -> str:
    """Norms at even lags as a row of blocks whose height is their logarithm."""
    norms, lags = record.by_lag, record.steps
    if not norms:
        return "none"
    chosen = np.searchsorted(lags, np.linspace(0, lags[-1], min(PICTURE, len(norms))).round())
    room = np.log(high / low) or 1.0
    heights = (len(BLOCKS) - 1) * np.log(np.clip(np.take(norms, chosen), low, high) / low) / room
    return "".join(BLOCKS[round(h)] if norms[k] > 0 else "·" for h, k in zip(heights, chosen, strict=True))


def columns(*names: str, left: Sequence[str] = ("cell",)) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    return table


def titled(title: str, table: Table, caption: str) -> Group:
    """A table under its title and over its caption. Where room is short, columns of numbers wrap before that of short names."""
    table.columns[0].no_wrap = all(len(str(cell)) <= NAME for cell in table.columns[0].cells)
    return Group("", Text(title, style="bold"), table, Text(caption.strip(), style="dim"))
