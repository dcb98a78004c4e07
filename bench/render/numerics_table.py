"""The table of a fair comparison: equal work in every row, and by how much the same thing measured twice differs."""

from collections.abc import Sequence

from bench.analysis.summary import is_timed
from bench.analysis.verdict import Noise, relative_difference
from bench.records import CaseRecord, Numerics
from bench.render.formatting import NONE, describe_task, format_ratio
from bench.render.table import Column, Table
from bench.render.tables import BACKEND, CELL, SIZES, list_case, word_column

WORDS = ("backends", "input projection", "outputs", "copies", "biases", "operands", "accumulators", "state")
FLAGS = ("TF32 before the loop", "TF32 in it", "flat weights")
WORK = (
    "What a call does, and with which numbers: a row for backends that do the same. Cases that differ in outputs, copies, operands or TF32 "
    "are never put in one ratio. torch.nn has two biases for each gate; their sum is one."
)
PAIRS = "Cases measured twice under two names, interleaved: what differs here is noise. The largest difference is the noise floor."


def work_table(cases: Sequence[CaseRecord]) -> Table:
    """What each backend does in a call: a row for those that do the same, and one for a backend of a user's, which doesn't say."""
    groups: dict[tuple[bool, Numerics], set[str]] = {}
    for record in cases:
        if record.numerics:
            groups.setdefault((record.case.input_product, record.numerics), set()).add(record.case.backend)
    rows = sorted(
        (
            [", ".join(sorted(backends)), "included" if inside else "precomputed", *list_work(found)]
            for (inside, found), backends in groups.items()
        ),
        key=lambda row: (row[1] != "included", row),
    )
    silent = {record.case.backend for record in cases if ":" in record.case.backend and is_timed(record)}
    if silent:
        rows.append([", ".join(sorted(silent)), "included", *["not declared"] * (len(WORDS) + len(FLAGS) - 2)])
    columns = [*map(word_column, WORDS), *map(word_column, FLAGS)]
    return Table("Equal work", columns, rows, WORK)


def list_work(work: Numerics) -> list[str]:
    flat = NONE if work.flat_weights is None else show_flag(work.flat_weights)
    return [
        work.outputs, show_flag(work.copies), str(work.biases), work.operands, work.accumulators, work.state,
        show_flag(work.tf32_hoisted), show_flag(work.tf32_recurrent), flat,
    ]  # fmt: skip


def show_flag(value: bool) -> str:
    return "yes" if value else "no"


def control_table(noise: Noise) -> Table:
    """The A/A pairs, those that differ the most first."""
    pairs = sorted(noise.pairs, key=lambda pair: -relative_difference(pair[1].value))
    rows = [
        [
            *list_case(record)[:2],
            describe_task(record.case).lower(),
            *list_case(record)[2:],
            record.case.dtype,
            ratio.value,
            (ratio,),
            ratio.n,
        ]
        for record, ratio in pairs
    ]

    def interval(value: tuple) -> str:  # type: ignore[type-arg]
        (ratio,) = value
        return f"{format_ratio(ratio.low)} to {format_ratio(ratio.high)}" if ratio.bounded else "too few samples"

    columns = [
        CELL, BACKEND, word_column("task"), *SIZES, word_column("dtype"),
        Column("speed against itself", "speedup", "", "{:.3f}×".format),
        Column("95% interval", show=interval, parts=(Column("", "speedup"),)), Column("rounds", "rounds"),
    ]  # fmt: skip
    return Table("A/A", columns, rows, PAIRS)
