"""Renders the tables of work and numerics, and of A/A repeats."""

from collections.abc import Sequence

from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_timed
from bench.analysis.verdict import Noise, relative_difference
from bench.records import CaseRecord, Numerics
from bench.render.formatting import NONE, describe_task, format_ratio
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, make_word_column
from bench.render.tables import list_case

WORDS = ("backends", "input projection", "outputs", "copies", "biases", "operands", "accumulators", "state")
FLAGS = ("TF32 before the loop", "TF32 in the loop", "flat weights")
WORK = (
    "Backends in one row do the same work with the same numerics. Cases that differ in outputs, copies, operands or TF32 are never "
    "compared. torch.nn has two biases per gate, which act as one."
)
PAIRS = "Cases measured twice under two names, interleaved. Their difference is noise; the largest one is the noise floor."


def make_numerics_table(cases: Sequence[CaseRecord]) -> Table:
    """Returns the table of the work and numerics of each backend; backends that agree share a row. A user's backend declares none."""
    groups: dict[tuple[bool, Numerics], set[str]] = {}
    for record in cases:
        if record.numerics:
            groups.setdefault((record.case.input_product, record.numerics), set()).add(record.case.backend)
    known = [(", ".join(sorted(backends)), inside, found) for (inside, found), backends in groups.items()]
    named = [[backends, "included" if inside else "precomputed", *list_numerics(found)] for backends, inside, found in known]
    rows = sorted(named, key=lambda row: (row[1] != "included", row))
    silent = {record.case.backend for record in cases if ":" in record.case.backend and is_timed(record)}
    if silent:
        rows.append([", ".join(sorted(silent)), "included", *["not declared"] * (len(WORDS) + len(FLAGS) - 2)])
    columns = [*map(make_word_column, WORDS), *map(make_word_column, FLAGS)]
    return Table("Work and numerics", columns, rows, WORK)


def list_numerics(work: Numerics) -> list[str]:
    flat = NONE if work.flat_weights is None else show_flag(work.flat_weights)
    return [
        work.outputs, show_flag(work.copies), str(work.biases), work.operands, work.accumulators, work.state,
        show_flag(work.tf32_hoisted), show_flag(work.tf32_recurrent), flat,
    ]  # fmt: skip


def show_flag(value: bool) -> str:
    return "yes" if value else "no"


def make_repeat_table(noise: Noise) -> Table:
    """Returns the table of A/A pairs, the largest difference first."""
    pairs = sorted(noise.pairs, key=lambda pair: -relative_difference(pair[1].value))
    rows = []
    for record, ratio in pairs:
        (cell, backend, *sizes), task = list_case(record), describe_task(record.case).lower()
        rows.append([cell, backend, task, *sizes, record.case.dtype, ratio.value, (ratio,), ratio.n])

    def interval(value: tuple[Estimate]) -> str:
        (ratio,) = value
        return f"{format_ratio(ratio.low)} to {format_ratio(ratio.high)}" if ratio.bounded else "too few samples"

    columns = [
        CELL, BACKEND, make_word_column("task"), *SIZES, make_word_column("dtype"),
        Column("ratio of speeds", "speedup", "", "{:.3f}×".format),
        Column("95% interval", show=interval, parts=(Column("", "speedup"),)), Column("rounds", "rounds"),
    ]  # fmt: skip
    return Table("A/A", columns, rows, PAIRS)
