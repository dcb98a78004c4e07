"""Gradient norms in a report: how fast they change with lag, what is left at the start, and where 16 bit loses them."""

from collections.abc import Iterable, Sequence

import numpy as np

from bench.records import GradientRecord
from bench.render.markdown import folded, table, text
from bench.render.words import NONE, power, two_grus
from bench.spread import Spread, spread
from bench.summary import rate

LOST = 0.5
"""A gradient off by more than half of itself is called lost."""

METHOD = (
    "Norms of ∂L/∂s, s all states of a cell; s₀ those it starts from. Nats per step: the least-squares slope of the norm's logarithm "
    "over lag, at the longest T, without zeros"
)
SEEDS = (
    ", ± half the width of its 95% interval over seeds (Student's t): below 0 the gradient vanishes, above it explodes. Norms over several "
    "seeds are their geometric mean"
)
Key = tuple[str, str, str]


def grouped(records: Sequence[GradientRecord]) -> dict[Key, dict[int, list[GradientRecord]]]:
    """By cell, dtype and initialisation, then by T from the shortest: a record for each seed."""
    found: dict[Key, dict[int, list[GradientRecord]]] = {}
    for record in sorted(records, key=lambda r: r.T):
        found.setdefault((record.cell, record.dtype, record.init), {}).setdefault(record.T, []).append(record)
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def section(records: Sequence[GradientRecord]) -> list[str]:
    if not records:
        return []
    first = records[0]
    seeds = sorted({record.seed for record in records})
    same = {(record.dtype, record.init) for record in records} == {(first.dtype, first.init)}
    setting = f"{first.dtype}, " if same else ""
    start = "At initialisation, " if first.init == "default" and same else ""
    caption = (
        f"{start}B={first.B} D={first.D} H={first.H}, {setting}seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}. "
        f"{text(first.loss)}. {METHOD}{SEEDS if len(seeds) > 1 else ''}. {two_grus(record.cell for record in records)}"
    )
    return [
        "## Gradient norms", caption.strip(), flow(records, same),
        folded("Gradient norm of every learned value", parameters(records, same)),
        *lost(records),
    ]  # fmt: skip


def names(key: Key, same: bool) -> list[str]:
    return [key[0]] if same else list(key)


def flow(records: Sequence[GradientRecord], same: bool) -> str:
    """For each cell: how fast the norm of a state's gradient changes with lag at the longest T, and what is left of it at the start."""
    lengths = sorted({record.T for record in records})
    rows = []
    for key, found in grouped(records).items():
        at_start = [norm([r.by_lag[-1] for r in found[T] if r.by_lag]) if T in found else NONE for T in lengths]
        entries = sum(record.non_finite for group in found.values() for record in group)
        rows.append([*names(key, same), slope(found[max(found)]), *at_start, f"{entries:,}"])
    headers = ["cell"] if same else ["cell", "dtype", "initialisation"]
    wanted = [*headers, "nats per step", *(f"‖∂L/∂s₀‖ at T={T}" for T in lengths), "entries not finite"]
    return table(wanted, rows, left=len(headers))


def slope(records: Sequence[GradientRecord]) -> str:
    """Nats per step; of several seeds with its interval, and its name."""
    known = [value for value in map(rate, records) if value is not None]
    return named(spread(known)) if known else "unknown"


def named(found: Spread) -> str:
    return ", ".join(filter(None, (rated(found), word(found))))


def rated(found: Spread) -> str:
    return f"{found.mean:+.4f}" + (f" ± {found.half:.4f}" if found.n > 1 else "")


def word(found: Spread) -> str:
    if found.n < 2:
        return ""
    return ("vanishing", "neither", "exploding")[found.sign + 1]


def norm(values: Iterable[float]) -> str:
    found = list(values)
    if not found:
        return NONE
    return power(float(np.exp(np.mean(np.log(found))))) if min(found) > 0 else power(0.0)


def parameters(records: Sequence[GradientRecord], same: bool) -> str:
    """Of the gradient of every learned value."""
    lengths = sorted({record.T for record in records})
    rows = []
    for key, found in grouped(records).items():
        for name in dict.fromkeys(name for group in found.values() for record in group for name in record.parameters):
            norms = {T: [r.parameters[name] for r in group if name in r.parameters] for T, group in found.items()}
            rows.append([*names(key, same), name, *(norm(norms.get(T, [])) for T in lengths)])
    headers = ["cell"] if same else ["cell", "dtype", "initialisation"]
    return table([*headers, "of", *(f"T={T}" for T in lengths)], rows, left=len(headers) + 1)


def lost(records: Sequence[GradientRecord]) -> list[str]:
    """Where each dtype loses the gradient, of the records that were compared with float64."""
    compared = [record for record in records if record.errors]
    if not compared:
        return []
    rows = []
    for key, found in grouped(compared).items():
        longest = found[max(found)]
        errors = [[record.errors[i] for record in longest] for i in range(len(longest[0].errors))]
        middles = [sorted(values)[len(values) // 2] for values in errors]
        gone = next((longest[0].steps[i] for i, value in enumerate(middles) if not value <= LOST), None)
        zero = next((longest[0].steps[i] for i, _ in enumerate(errors) if not any(r.by_lag[i] for r in longest)), None)
        rows.append([
            *key, longest[0].backend, power(middles[min(1, len(middles) - 1)]), power(middles[-1]),
            NONE if gone is None else f"{gone:,}", NONE if zero is None else f"{zero:,}",
        ])  # fmt: skip
    T = max(record.T for record in compared)
    first = sorted({record.steps[min(1, len(record.steps) - 1)] for record in compared if record.T == T})
    headers = (
        "cell", "dtype", "initialisation", "backend", f"error at lag {first[0]}", "at the start", f"lost (over {LOST:.0%}) from lag",
        "zero from lag",
    )  # fmt: skip
    caption = (
        "The distance of the gradient of the states from that of the same numbers in float64, over the latter's norm, at the longest "
        "T; the median over seeds."
    )
    return ["### Against float64", caption, table(headers, rows, left=4)]
