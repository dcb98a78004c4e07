"""A run as report.md and its plots."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean

from bench.analysis.summary import host_bound, timed
from bench.analysis.verdict import Speed, noise
from bench.records import Case, CaseRecord, Environment, Records
from bench.records.backend_table import ROWS
from bench.render import (
    chaos_report,
    csv_tables,
    gradient_report,
    jacobian_report,
    length_plots,
    numerics_table,
    scaling_report,
    speed_plot,
    tables,
    theory_report,
    training_plots,
    training_report,
    wave_report,
)  # fmt: skip
from bench.render import (
    speed_tables as speeds,
)
from bench.render.all_cases import CAPTION, every
from bench.render.case_grid import HOST_LEGEND, Grid, Row, grids
from bench.render.claims import learnt, travelled
from bench.render.console import screenshot
from bench.render.formatting import factor, interval, plural, size, task, two_grus
from bench.render.header import counted, remarks
from bench.render.markdown import code, folded, text
from bench.render.method import GIVEN, LIGHT, TIMES, method
from bench.render.plot_placement import placed

VERBS = {"training": "trains", "inference": "runs", "backward": "differentiates"}
BASELINES = tuple(row.name for row in ROWS if row.kind != "schedule")
"""Backends that are here to be compared with: no headline is about them."""
WORK = (
    "What a call does, and with which numbers: a row for backends that do the same. Cases that differ in outputs, copies, operands or TF32 "
    "are never put in one ratio. torch.nn has two biases for each gate; their sum is one."
)
PAIRS = "Cases measured twice under two names, by turns: what differs here is noise. The largest difference is the noise floor."


def write(folder: Path, records: Records) -> list[Path]:
    """Write report.md, its plots and a picture of its first table into a folder that exists; report.md comes first in what is
    returned."""
    drawn = draw(folder, records)
    return [page(folder, records, drawn), *drawn]


def draw(folder: Path, records: Records) -> list[Path]:
    """The plots."""
    if learns(records):
        return training_plots.draw(records, folder)
    return [
        *speed_plot.draw(records, folder), *length_plots.draw(records, folder), *gradient_report.draw(records.gradients, folder),
        *jacobian_report.draw(records.jacobians, folder), *theory_report.draw(records.theory, folder), *chaos_report.draw(records.maps,
        records.decays, folder),
        *scaling_report.draw(records.scale, folder),
    ]  # fmt: skip


def page(folder: Path, records: Records, drawn: Sequence[Path]) -> Path:
    """report.md, its tables as CSV, and the picture of the first table, whose head says where the time went, drawing included."""
    if records.cases:
        (folder / "table.svg").write_text(screenshot(records), encoding="utf-8")
    path = folder / "report.md"
    said = written(records, [plot.name for plot in drawn])
    path.write_text(said, encoding="utf-8")
    csv_tables.write(folder, said, records)
    return path


def written(records: Records, plots: list[str]) -> str:
    """A run as markdown."""
    return trained(records, plots) if learns(records) else render(records, plots)


def learns(records: Records) -> bool:
    """Whether it is a run of trainings alone."""
    return bool(records.training) and not records.cases


def trained(records: Records, plots: list[str]) -> str:
    """The report of a run of trainings."""
    here, tasks = records.run.environment, dict.fromkeys(record.trial.task for record in records.training)
    parts = [
        f"# Recurrent cells learn: {', '.join(tasks)}",
        learnt(records),
        machine(here),
        *training_report.sections(records),
        "## Environment",
        tables.environment(here),
        "## Method",
        training_report.METHOD,
        *again(records),
    ]
    return "\n\n".join(placed(parts, plots, head=2)) + "\n"


def again(records: Records) -> list[str]:
    started = f"Started {text(records.run.started)} (UTC), seed {records.run.seed}. This runs it again:"
    cases = ", tables/cases.csv the numbers of every case" if records.cases else ""
    drawn = f"In the folder of the report tables/ has each table as CSV{cases}. This draws and writes them all again from the records:"
    return ["## Again", started, code(records.run.command), drawn, code("python -m bench report FOLDER")]


def render(records: Records, plots: list[str]) -> str:
    """The report as markdown. `plots` are the addresses of its plots, as seen from it."""
    here, laid = records.run.environment, grids(records.cases)
    timing = bool(records.cases) or not any(
        (records.jacobians, records.theory, records.maps, records.decays, records.gradients, records.scale)
    )
    said = headline(laid) if timing else travelled(records)
    claim = [f"# Recurrent cells on {text(here.device)}", *([said] if said else [])]
    parts = [
        *claim,
        *([f"{counted(records.cases)}."] if timing else []),
        machine(here),
        *remarks(records),
        *(part for grid in laid for part in speed_section(grid, records)),
        *wave_report.section(records.cases),
        *section("Equal work", numerics_table.work(records.cases), WORK),
        *section("A/A", numerics_table.controls(noise(records.cases)), PAIRS),
        *section("Checked without a time", tables.verified(records.cases)),
        *memory_section(laid),
        *parameter_section(records.cases),
        *in_full("gradients", gradient_report.section(records.gradients), timing),
        *in_full("jacobian", jacobian_report.section(records.jacobians), timing),
        *in_full("theory", theory_report.section(records.theory), timing),
        *in_full("chaos", chaos_report.section(records.maps, records.decays), timing),
        *training_report.sections(records),
        *scaling_report.section(records.scale),
        *section("Not timed", tables.not_ok(records.cases), "Every other case without a time, and why."),
        "## Environment",
        tables.environment(here),
        *(["## Method", method("size" if any(grid.several for grid in laid) else "T")] if timing else []),
        *again(records),
    ]
    return "\n\n".join(placed([part for part in parts if part], plots, head=len(claim))) + "\n"


def in_full(verb: str, parts: Sequence[str], glance: bool) -> list[str]:
    """A section of dynamics, with the verb that does more, where this was a glance in a run of everything."""
    return [*parts, f"In full: `python -m bench {verb}`."] if parts and glance else list(parts)


def headline(laid: Sequence[Grid]) -> str:
    """The speed against torch.nn whose interval begins highest, of the first task and the longest T that have one; of a run of several
    sizes, the mean over all."""
    for grid in laid:
        for T in reversed(grid.lengths):
            found = claims(grid, T)
            if found:
                return overall(grid) if grid.several else claim(grid, T, *max(found, key=best))
    return "**Nothing was timed against torch.nn: there is no claim to make.**"


def best(pair: tuple[CaseRecord, Speed]) -> tuple[bool, float, float]:
    """What is shown to be faster comes first, then whose interval begins highest."""
    _, speed = pair
    return speed.verdict == "faster", speed.ratio.low, speed.ratio.value


def claims(grid: Grid, T: int) -> list[tuple[CaseRecord, Speed]]:
    records = (record for row in grid.rows if row.T == T for record in grid.timed(row).values() if record.case.backend not in BASELINES)
    return [(record, speed) for record in records if (speed := grid.speed(record))]


def baselines(grid: Grid, T: int, backend: str) -> list[CaseRecord]:
    """What the cases of a backend are compared with."""
    found = (grid.peers(Row(r.case.cell, T, r.case.B, r.case.D, r.case.H)).first for r, _ in claims(grid, T) if r.case.backend == backend)
    return [record for record in found if record]


def overall(grid: Grid) -> str:
    """One sentence on the backend with the most cases, and among those with as many the fastest in their geometric mean. It claims
    something where that mean is outside the noise and most cases are shown to be faster."""
    speeds: dict[str, list[Speed]] = {}
    for record, speed in (pair for T in grid.lengths for pair in claims(grid, T)):
        speeds.setdefault(record.case.backend, []).append(speed)
    means = {backend: geometric_mean(speed.ratio.value for speed in found) for backend, found in speeds.items()}
    backend = max(means, key=lambda name: (len(speeds[name]), means[name]))
    ratios = [speed.ratio.value for speed in speeds[backend]]
    counts = Counter(speed.verdict for speed in speeds[backend])
    known = f"{backend} {VERBS[grid.common.mode]} {factor(means[backend])} as fast as torch.nn"
    spread = f"the geometric mean of {plural(len(ratios), 'case')} from {factor(min(ratios))} to {factor(max(ratios))}"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    bound = sum(map(host_bound, (record for T in grid.lengths for record in baselines(grid, T, backend))))
    host = f"; in {bound} of them torch.nn's time is host-bound" if bound else ""
    setting = f"{spread} ({verdicts}{host}), {size(grid.common)}, {task(grid.common).lower()}"
    faster = means[backend] > 1 + grid.noise.margin and 2 * counts["faster"] > len(ratios)
    return f"**{known}**, {setting}." if faster else f"**Not shown to be faster than torch.nn here:** {known}, {setting}."


def claim(grid: Grid, T: int, record: CaseRecord, speed: Speed) -> str:
    """One sentence; it says of a speed that isn't shown to be faster that nothing is."""
    case = record.case
    peers = grid.peers(Row(case.cell, T, case.B, case.D, case.H))
    peer = f"torch.nn's own `{case.cell}`" if peers.same else "torch.nn's GRU at equal hidden size"
    if peers.first and host_bound(peers.first):
        peer += ", whose time is host-bound"
    known = f"`{case.cell}` ({case.backend}) {VERBS[case.mode]} {interval(speed)} as fast as {peer}"
    setting = f"T={T} {size(case)}, {task(case).lower()}"
    return (
        f"**{known}**, {setting}."
        if speed.verdict == "faster"
        else f"**Nothing is shown to be faster than torch.nn here:** at best {known}, {setting}."
    )


def machine(here: Environment) -> str:
    threads = f"{plural(here.threads, 'thread')} on {plural(here.cores, 'core')}"
    where = f"Measured on {text(here.device)}: {threads}, {text(here.system)}, torch {text(here.torch)}"
    if here.device_kind == "cpu":
        return f"{where}."
    return f"{where}, CUDA {text(here.cuda or 'unknown')}, cuDNN {text(here.cudnn or 'unknown')}, driver {text(here.driver or 'unknown')}."


def section(title: str, table: str, caption: str = "") -> list[str]:
    return [f"## {title}", caption, table] if table else []


def speed_section(grid: Grid, records: Records) -> list[str]:
    here, grus = records.run.environment, two_grus(grid.cells)
    gru, shares = speeds.against_gru(grid, grid.longest), speeds.shares(grid, here)
    lights, caution = speeds.lights(grid, here), speeds.caution(speeds.floors(grid, here))
    shorter = [row for row in grid.rows if row not in grid.longest]
    return [
        f"## {task(grid.common)}",
        " ".join(
            filter(None, (f"{size(grid.common)}.", TIMES if grid.common.input_product else GIVEN, HOST_LEGEND * grid.host_bound, grus))
        ),
        speeds.throughput(grid),
        "\n".join(speeds.means(grid)),
        *([f"### Against torch.nn's gru{grid.at_longest}", f"The cells that torch.nn doesn't have. {grus}".strip(), gru] if gru else []),
        folded("Against torch.nn's gru at the shorter T", speeds.against_gru(grid, shorter)),
        *([f"### Share of the measured sgemm rate{grid.at_longest}", grus, shares] if shares else []),
        *([f"### × of light{grid.at_longest}", " ".join(filter(None, (LIGHT, caution, grus))), lights] if lights else []),
        folded("Every timed case: rates, intervals, conditions, errors against float64", detailed(alike(grid, records.cases), here)),
    ]


def detailed(cases: Sequence[CaseRecord], here: Environment) -> str:
    table = every(cases, here)
    return f"{CAPTION}\n\n{table}" if table else ""


def alike(grid: Grid, cases: Sequence[CaseRecord]) -> list[CaseRecord]:
    """The timed cases of a grid, and those that stand in for one of its cells at an H of their own."""

    def place(case: Case) -> Case:
        size = {key: getattr(grid.common, key) for key in ("B", "D", "H")} if grid.several else {}
        H = grid.common.H if case.matched_params_of else case.H
        return case.model_copy(update={"cell": "", "T": 0, "backend": "", "matched_params_of": "", "H": H, **size})

    return [record for record in cases if timed(record) and place(record.case) == grid.common]


def parameter_section(cases: Sequence[CaseRecord]) -> list[str]:
    caption = f"Flops are of one forward step of one sequence. {two_grus(record.case.cell for record in cases)}"
    return section("Parameters", tables.parameters(cases), caption.strip())


def memory_section(laid: Sequence[Grid]) -> list[str]:
    measured = [grid for grid in laid if grid.common.mode == "training" and grid.common.input_product]
    caption = "Saved / peak of a training step with the input product, in MiB (2^20 bytes)."
    return [
        part
        for grid in measured
        for part in section("Memory", tables.memory(grid), f"{size(grid.common)}. {caption} {two_grus(grid.cells)}".strip())
    ]
