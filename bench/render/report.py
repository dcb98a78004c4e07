"""A run as report.md and its plots."""

from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean

from bench.records import Case, CaseRecord, Environment, GradientRecord, Records
from bench.render import facts, plots, speeds
from bench.render.console import screenshot
from bench.render.grid import FASTEST, TIED, Grid, Row, grids
from bench.render.markdown import code, folded, text
from bench.render.words import counted, factor, interval, plural, size, task, two_grus, without_gpu
from bench.summary import Estimate, timed

VERBS = {"training": "trains", "inference": "runs", "backward": "differentiates"}
BASELINES = ("vendor", "eager", "torchrecurrent")
"""Backends that are here to be compared with: no headline is about them."""

TIMES = (
    "Median milliseconds of a call, ± half the width of its 95% interval, and in brackets how many times as fast as the vendor (torch.nn). "
    f"Where torch.nn has no such cell, it is held against the vendor's gru of equal H. {FASTEST} is the fastest of its row, {TIED} one "
    "that can't be told from the fastest, ≈ a speed that can't be told from 1×."
)
GIVEN = "What doesn't depend on a state was computed before and is given; else as above."
LIGHT = "The time of a case over its floor, which nothing can beat on this machine, and what sets it (see Method)."
METHOD = """\
- Before a backend is timed at a shape, its outputs, final states and every gradient at that shape are compared with the equations
  run in float64. The error of a tensor is max|Δ| / max|reference|. A backend that is wrong has the status "incorrect" and no time.
- "verified" means: run and found right in this way, at a small size, by Triton's interpreter on the processor. It says nothing of
  speed.
- After a warm-up, the backends of one {together} take turns, one call each, in a new random order each round, with the garbage collector
  off. A call is timed to the end of its work on the device. A GPU is kept busy for some 2 ms before it, so that the host is ahead of
  it as in a training loop: time of the host counts where a call takes more. Inputs, initial states, weights and upstream gradients
  are random and materialised.
- Inference is the forward pass without gradients; training is forward and backward, with the gradients of the input and of every
  learned value. Without the input product, all that doesn't depend on a state is computed beforehand and given.
- A time is the median of its samples. A speed is the median, over the rounds that both were timed in, of the ratio of two times.
  Intervals are 95% percentile bootstrap intervals of the median; a speed whose interval contains 1 is a tie (≈). With fewer than
  five samples there is no interval.
- The share of sgemm is the flop/s of the case over those of torch's own float32 product of large matrices, measured in the run.
  Training counts as three times the forward flops.
- × of light is the time of a case over its floor: the longest of three times that nothing can beat on this machine. They may
  overlap, and so aren't added up. Products: their flops at the rate of the dtype. Memory: what a case is given read once, what it
  is asked for written once, in training all states kept and read, and the input read again, at the rate of a copy; as many bytes
  as all caches hold are free in each pass. Chain, on a GPU: a barrier or a load from L2, whichever is longer, between any two
  stages, among the fewest multiprocessors whose shared memory and registers hold the recurrent matrices; none where one does.
  What a step computes element by element is not counted. The constants (Environment) are the fastest of several measurements
  when the run began. A time below its floor (!) says that the model is wrong there, or that the machine was faster later.
- Memory is counted in MiB (2^20 bytes) in passes of its own: saved is what autograd keeps between forward and backward, by unique
  storage and without weights and inputs; peak is the highest allocation during a step over what was allocated before it.
- Every number here is derived from the raw samples in records.jsonl; `python -m bench report` renders it again."""


def write(folder: Path, records: Records) -> list[Path]:
    """Write report.md, its plots and a picture of its first table into a folder that exists; report.md comes first in what is
    returned."""
    drawn = draw(folder, records)
    return [page(folder, records, drawn), *drawn]


def draw(folder: Path, records: Records) -> list[Path]:
    """The plots, and the picture of the first table."""
    (folder / "table.svg").write_text(screenshot(records), encoding="utf-8")
    return plots.draw(records, folder)


def page(folder: Path, records: Records, drawn: Sequence[Path]) -> Path:
    path = folder / "report.md"
    path.write_text(render(records, [plot.name for plot in drawn]), encoding="utf-8")
    return path


def render(records: Records, plots: list[str]) -> str:
    """The report as markdown. `plots` are the addresses of its plots, as seen from it."""
    here, laid = records.run.environment, grids(records.cases)
    parts = [
        f"# Recurrent cells on {text(here.device)}",
        headline(laid),
        f"{counted(records.cases)}.",
        machine(here),
        without_gpu(records),
        *(f"![{Path(plot).stem}]({plot})" for plot in plots),
        *(part for grid in laid for part in speed_section(grid, records)),
        *section("Checked without a time", facts.verified(records.cases)),
        *memory_section(laid),
        *parameter_section(records.cases),
        *gradient_section(records.gradients),
        *section("Not timed", facts.not_ok(records.cases), "Every other case without a time, and why."),
        "## Environment",
        facts.environment(here),
        "## Method",
        METHOD.replace("{together}", "size" if any(grid.several for grid in laid) else "T"),
        "## Again",
        f"Started {text(records.run.started)} (UTC), seed {records.run.seed}. This runs it again:",
        code(records.run.command),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(laid: Sequence[Grid]) -> str:
    """The speed against torch.nn whose interval begins highest, of the first task and the longest T that have one; of a run of several
    sizes, the mean over all."""
    for grid in laid:
        for T in reversed(grid.lengths):
            found = claims(grid, T)
            if found:
                return overall(grid) if grid.several else claim(grid, T, *max(found, key=lambda pair: (pair[1].low, pair[1].value)))
    return "**Nothing was timed against torch.nn: there is no claim to make.**"


def claims(grid: Grid, T: int) -> list[tuple[CaseRecord, Estimate]]:
    records = (record for row in grid.rows if row.T == T for record in grid.timed(row).values() if record.case.backend not in BASELINES)
    return [(record, ratio) for record in records if (ratio := grid.speed(record))]


def overall(grid: Grid) -> str:
    """One sentence on the backend with the most cases, and among those with as many the fastest in their geometric mean."""
    ratios: dict[str, list[float]] = {}
    for record, ratio in (pair for T in grid.lengths for pair in claims(grid, T)):
        ratios.setdefault(record.case.backend, []).append(ratio.value)
    backend, found = max(ratios.items(), key=lambda item: (len(item[1]), geometric_mean(item[1])))
    mean = geometric_mean(found)
    known = f"{backend} {VERBS[grid.common.mode]} {factor(mean)} as fast as torch.nn"
    spread = f"the geometric mean of {plural(len(found), 'case')} from {factor(min(found))} to {factor(max(found))}"
    setting = f"{size(grid.common)}, {task(grid.common).lower()}"
    return f"**{known}**, {spread}, {setting}." if mean > 1 else f"**Not faster than torch.nn here:** {known}, {spread}, {setting}."


def claim(grid: Grid, T: int, record: CaseRecord, ratio: Estimate) -> str:
    """One sentence; it says of a speed that isn't shown to be above 1 that nothing is."""
    case = record.case
    same = grid.peers(Row(case.cell, T, case.B, case.D, case.H)).same
    peer = f"torch.nn's own `{case.cell}`" if same else "torch.nn's GRU at equal hidden size"
    known = f"`{case.cell}` ({case.backend}) {VERBS[case.mode]} {interval(ratio)} as fast as {peer}"
    setting = f"T={T} {size(case)}, {task(case).lower()}"
    return (
        f"**{known}**, {setting}."
        if ratio.low > 1
        else f"**Nothing is shown to be faster than torch.nn here:** at best {known}, {setting}."
    )


def machine(here: Environment) -> str:
    where = f"Measured on {text(here.device)}: {here.threads} threads on {here.cores} cores, {text(here.system)}, torch {here.torch}"
    if here.device_kind == "cpu":
        return f"{where}."
    return f"{where}, CUDA {here.cuda or 'unknown'}, cuDNN {here.cudnn or 'unknown'}, driver {here.driver or 'unknown'}."


def section(title: str, table: str, caption: str = "") -> list[str]:
    return [f"## {title}", caption, table] if table else []


def speed_section(grid: Grid, records: Records) -> list[str]:
    here, grus = records.run.environment, two_grus(grid.cells)
    gru, shares = speeds.against_gru(grid, grid.longest), speeds.shares(grid, here)
    lights, caution = speeds.lights(grid, here), speeds.caution(speeds.floors(grid, here))
    shorter = [row for row in grid.rows if row not in grid.longest]
    return [
        f"## {task(grid.common)}",
        f"{size(grid.common)}. {TIMES if grid.common.input_product else GIVEN} {grus}".strip(),
        speeds.throughput(grid),
        "\n".join(speeds.means(grid)),
        *([f"### Against torch.nn's gru{grid.at_longest}", f"The cells that torch.nn doesn't have. {grus}".strip(), gru] if gru else []),
        folded("Against torch.nn's gru at the shorter T", speeds.against_gru(grid, shorter)),
        *([f"### Share of the measured sgemm rate{grid.at_longest}", grus, shares] if shares else []),
        *([f"### × of light{grid.at_longest}", " ".join(filter(None, (LIGHT, caution, grus))), lights] if lights else []),
        folded("Every timed case: rates, intervals, errors against float64", speeds.every(alike(grid, records.cases), here)),
    ]


def alike(grid: Grid, cases: Sequence[CaseRecord]) -> list[CaseRecord]:
    """The timed cases of a grid, and those that stand in for one of its cells at an H of their own."""

    def place(case: Case) -> Case:
        size = {key: getattr(grid.common, key) for key in ("B", "D", "H")} if grid.several else {}
        H = grid.common.H if case.stands_for else case.H
        return case.model_copy(update={"cell": "", "T": 0, "backend": "", "stands_for": "", "H": H, **size})

    return [record for record in cases if timed(record) and place(record.case) == grid.common]


def parameter_section(cases: Sequence[CaseRecord]) -> list[str]:
    caption = f"Flops are of one forward step of one sequence. {two_grus(record.case.cell for record in cases)}"
    return section("Parameters", facts.parameters(cases), caption.strip())


def memory_section(laid: Sequence[Grid]) -> list[str]:
    measured = [grid for grid in laid if grid.common.mode == "training" and grid.common.input_product]
    caption = "Saved / peak of a training step with the input product, in MiB (2^20 bytes)."
    return [
        part
        for grid in measured
        for part in section("Memory", facts.memory(grid), f"{size(grid.common)}. {caption} {two_grus(grid.cells)}".strip())
    ]


def gradient_section(gradients: Sequence[GradientRecord]) -> list[str]:
    if not gradients:
        return []
    first = gradients[0]
    caption = (
        f"At initialisation, B={first.B} D={first.D} H={first.H}, {first.dtype}, seed {first.seed}. {text(first.loss)}. Norms of ∂L/∂s, "
        "s all states of a cell; s₀ those it starts from. Nats per step: the least-squares slope of the norm's logarithm over lag, "
        f"at the longest T, without zeros. {two_grus(record.cell for record in gradients)}"
    )
    norms = facts.parameter_norms(gradients)
    return [*section("Gradient norms", facts.gradients(gradients), caption.strip()), folded("Gradient norm of every learned value", norms)]
