"""What makes a comparison fair: equal work in every row, and what the same thing measured twice differs by."""

from collections.abc import Iterable, Sequence

from bench.analysis.summary import timed
from bench.analysis.verdict import Noise, apart
from bench.records import CaseRecord, Numerics
from bench.render.formatting import NONE, bare, label, plural, size, task
from bench.render.markdown import table

HEADERS = (
    "backends", "input product", "outputs", "copies", "biases", "operands", "accumulators", "state",
    "TF32 before the loop", "TF32 in it", "flat weights",
)  # fmt: skip


def work(cases: Sequence[CaseRecord]) -> str:
    """What each backend does in a call: a row for those that do the same, and one for a backend of a user's, which doesn't say."""
    groups: dict[tuple[bool, Numerics], set[str]] = {}
    for record in cases:
        if record.numerics:
            groups.setdefault((record.case.input_product, record.numerics), set()).add(record.case.backend)
    rows = sorted(
        (described(inside, found, backends) for (inside, found), backends in groups.items()), key=lambda row: (row[1] != "inside", row)
    )
    silent = {record.case.backend for record in cases if ":" in record.case.backend and timed(record)}
    undeclared = [[", ".join(sorted(silent)), "inside", *["not declared"] * (len(HEADERS) - 2)]] if silent else []
    return table(HEADERS, rows + undeclared, left=3)


def described(inside: bool, work: Numerics, backends: Iterable[str]) -> list[str]:
    flat = NONE if work.flat_weights is None else yes(work.flat_weights)
    return [
        ", ".join(sorted(backends)), "inside" if inside else "given", work.outputs, yes(work.copies), str(work.biases), work.operands,
        work.accumulators, work.state, yes(work.tf32_hoisted), yes(work.tf32_recurrent), flat,
    ]  # fmt: skip


def yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def controls(noise: Noise) -> str:
    """The A/A pairs, those that differ the most first."""
    rows = [
        [
            label(record.case.model_copy(update={"aa_repeat": False})), record.case.backend, task(record.case).lower(),
            f"T={record.case.T} {size(record.case)}", f"{ratio.value:.3f}×",
            f"{bare(ratio.low)} to {bare(ratio.high)}" if ratio.bounded else "too few samples", plural(ratio.n, "round"),
        ]
        for record, ratio in sorted(noise.pairs, key=lambda pair: -apart(pair[1].value))
    ]  # fmt: skip
    return table(("cell", "backend", "task", "size", "speed against itself", "95% interval", "of"), rows, left=4)
