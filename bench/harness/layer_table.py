"""Whole layers in the records of a run, ours beside torch.nn's, for the table by which `auto` takes torch's operator.

A time that the host set says nothing of what a GPU could do: where torch's is one and ours is less, nothing is known; where torch's is
less even so, it is faster.
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


def keep(paths: Sequence[Path], out: Path | None = None) -> Iterator[str]:
    """Write what runs have measured of whole layers into the tables of their devices, the latest run last, and say so, a line a run.

    Args:
        paths: Records, or their folders.
        out: Where a copy of each table goes, too.
    Raises:
        RecordError: A run can't be read.
        UsageError: A run was on no GPU. Then nothing is written.
    """
    runs = sorted(((read_records(path), path) for path in paths), key=lambda run: run[0].run.started)
    for records, path in runs:
        if records.run.environment.device_kind != "cuda":
            raise UsageError(f"--layers {path}: it ran on a CPU, and torch's layer is chosen by what was measured on a GPU")
    for records, path in runs:
        folder = path if path.is_dir() else path.parent
        found = list(collect(records, folder.resolve().name))
        device = normalize(records.run.environment.device)
        if found:
            measured_layers.add_layers(device, found)
            if out:
                out.mkdir(parents=True, exist_ok=True)
                shutil.copy(measured_layers.table_path(device), out)
        ahead = sum(layer.theirs < layer.ours for layer in found)
        yield f"{path}: {len(found)} layers into {measured_layers.table_path(device)}, of which torch ran {ahead} faster"


def collect(records: Records, source: str) -> Iterator[MeasuredLayer]:
    """The layers of torch.nn's cells that were timed as a whole on both sides, and say which is faster."""
    cases = {record.case: record for record in records.cases if is_timed(record)}
    for case, theirs in cases.items():
        if case.backend != "vendor" or not compares(case):
            continue
        ours = fastest(cases, case)
        if ours is None or not is_comparable(ours, theirs):
            continue
        taken, other = median_time(ours).value, median_time(theirs).value
        if is_host_bound(theirs) and other >= taken:
            continue
        environment = records.run.environment
        mode: Mode = "training" if case.mode == "training" else "inference"
        yield MeasuredLayer(
            cell=case.cell, step=fingerprint(plan(cells.load(case.cell))), mode=mode, T=case.T, B=case.B, D=case.D, H=case.H,
            dtype=case.dtype, tf32=case.dtype == "float32" and case.precision == "tf32", schedule=ours.case.backend, ours=taken,
            theirs=other, torch=environment.torch, triton=environment.triton, source=source,
        )  # fmt: skip


def compares(case: Case) -> bool:
    """Return whether a case of the vendor's is a layer that `RNN` may run in its place."""
    plain = case.input_product and not case.matched_params_of and not case.aa_repeat and case.mode in get_args(Mode)
    return plain and case.cell in cells.names() and cells.load(case.cell).torch_equivalent is not None


def fastest(cases: dict[Case, CaseRecord], case: Case) -> CaseRecord | None:
    """Return the fastest schedule that was timed at a case of the vendor's."""
    found = (cases.get(case.model_copy(update={"backend": name})) for name in SCHEDULES)
    return min((record for record in found if record), key=lambda record: median_time(record).value, default=None)
