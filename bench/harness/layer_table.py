"""Extracts whole layers from the records of a run, for the table by which backend "auto" chooses torch's operator or `newton`.

A host-bound time is an upper bound on the GPU's time. If torch's time is host-bound and ours is shorter, the result is unknown and left
out. If torch's time is shorter even so, torch is faster. The same holds for the schedules beside `newton`.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import cells
from bench.analysis.summary import is_comparable, is_host_bound, is_timed, median_time
from bench.errors import UsageError
from bench.records import Case, CaseRecord, Records, read_records
from kernels.derive.plan import plan
from kernels.layer import measured_layers
from kernels.layer.measured_layers import MeasuredLayer, Mode
from kernels.layer.select import SCHEDULES
from kernels.schedules.persistent.tiling import normalize
from kernels.schedules.persistent.tuning import fingerprint


def store_layers(paths: Sequence[Path], out: Path | None = None) -> Iterator[str]:
    """Writes the layers that runs have timed to the tables of their devices, the latest run last. Yields a line for each run.

    Args:
        paths: Records files, or their folders.
        out: A folder for a copy of each table.

    Raises:
        RecordError: A run can't be read.
        UsageError: A run was on a CPU. Then nothing is written.
    """
    runs = sorted(((read_records(path), path) for path in paths), key=lambda run: run[0].run.started)
    for records, path in runs:
        if records.run.environment.device_kind != "cuda":
            raise UsageError(f"--layers {path}: it ran on a CPU, and torch's layer is chosen by what was measured on a GPU")
    for records, path in runs:
        folder = path if path.is_dir() else path.parent
        found = list(find_layers(records, folder.resolve().name))
        device = normalize(records.run.environment.device)
        if found:
            measured_layers.add_layers(device, found)
            if out:
                out.mkdir(parents=True, exist_ok=True)
                shutil.copy(measured_layers.table_path(device), out)
        torch, newton = ([layer.fastest for layer in found].count(name) for name in ("torch", "newton"))
        words = f"of which torch ran {torch} faster" + f" and newton {newton}" * bool(newton)
        yield f"{path}: {len(found)} layers into {measured_layers.table_path(device)}, {words}"


def find_layers(records: Records, source: str) -> Iterator[MeasuredLayer]:
    """Yields the layers whose times tell which backend is the fastest: of torch.nn's cells those that were timed with torch's operator and
    a schedule, of others those that were timed with `newton` and all schedules that "auto" takes otherwise.

    Args:
        records: The records of a run on a GPU.
        source: The name of the run, which the table stores.
    """
    cases = {record.case: record for record in records.cases if is_timed(record)}
    for call in dict.fromkeys(case.model_copy(update={"backend": "vendor"}) for case in cases if is_layer(case)):
        ours, theirs = find_fastest(cases, call), cases.get(call)
        if ours is None or (theirs is None) != (cells.load(call.cell).torch_equivalent is None):
            continue
        if theirs is None and not has_newton(cases, call):
            continue
        if theirs is not None and (not is_comparable(ours, theirs) or is_unknown(ours, theirs)):
            continue
        environment = records.run.environment
        mode: Mode = "training" if call.mode == "training" else "inference"
        yield MeasuredLayer(
            cell=call.cell, step=fingerprint(plan(cells.load(call.cell))), mode=mode, T=call.T, B=call.B, D=call.D, H=call.H,
            dtype=call.dtype, tf32=call.dtype == "float32" and call.precision == "tf32", schedule=ours.case.backend,
            ours=median_time(ours).value, theirs=median_time(theirs).value if theirs else None, torch=environment.torch,
            triton=environment.triton, source=source,
        )  # fmt: skip


def is_layer(case: Case) -> bool:
    """Returns whether a case is a layer as `RNN` runs it."""
    plain = case.input_product and not case.matched_params_of and not case.aa_repeat and case.mode in get_args(Mode)
    return plain and case.cell in cells.names()


def is_unknown(ours: CaseRecord, other: CaseRecord) -> bool:
    """Returns whether the other time is longer and set by the host: on the GPU it may be shorter."""
    return is_host_bound(other) and median_time(other).value >= median_time(ours).value


def find_fastest(cases: dict[Case, CaseRecord], call: Case) -> CaseRecord | None:
    """Returns the record of the fastest schedule that was timed at a call; `newton` only if its rivals were timed and are slower."""
    found = {name: record for name in SCHEDULES if (record := cases.get(call.model_copy(update={"backend": name})))}
    newton = found.get("newton")
    if newton and (not has_newton(cases, call) or any(is_unknown(newton, found[name]) for name in list_rivals(call))):
        del found["newton"]
    return min(found.values(), key=lambda record: median_time(record).value, default=None)


def list_rivals(call: Case) -> tuple[str, ...]:
    """Returns the schedules of which "auto" takes one on a GPU, without measured layers."""
    return ("persistent", "stepwise") if plan(cells.load(call.cell)).stages else ("scan",)


def has_newton(cases: dict[Case, CaseRecord], call: Case) -> bool:
    """Returns whether `newton` and its rivals were timed at a call."""
    return all(call.model_copy(update={"backend": name}) in cases for name in ("newton", *list_rivals(call)))
