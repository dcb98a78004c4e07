"""Extracts whole layers from the records of a run, ours and torch.nn's, for the table by which backend "auto" chooses torch's operator.

A host-bound time is an upper bound on the GPU's time. If torch's time is host-bound and ours is shorter, the result is unknown and left
out. If torch's time is shorter even so, torch is faster.
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
        ahead = sum(layer.theirs < layer.ours for layer in found)
        yield f"{path}: {len(found)} layers into {measured_layers.table_path(device)}, of which torch ran {ahead} faster"


def find_layers(records: Records, source: str) -> Iterator[MeasuredLayer]:
    """Yields the layers of torch.nn's cells that were timed with both implementations, if their times tell which is faster.

    Args:
        records: The records of a run on a GPU.
        source: The name of the run, which the table stores.
    """
    cases = {record.case: record for record in records.cases if is_timed(record)}
    for case, theirs in cases.items():
        if case.backend != "vendor" or not is_vendor_layer(case):
            continue
        ours = find_fastest(cases, case)
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


def is_vendor_layer(case: Case) -> bool:
    """Returns whether a vendor case is a layer that `RNN` may replace by torch's operator."""
    plain = case.input_product and not case.matched_params_of and not case.aa_repeat and case.mode in get_args(Mode)
    return plain and case.cell in cells.names() and cells.load(case.cell).torch_equivalent is not None


def find_fastest(cases: dict[Case, CaseRecord], case: Case) -> CaseRecord | None:
    """Returns the record of the fastest schedule that was timed at a vendor case."""
    found = (cases.get(case.model_copy(update={"backend": name})) for name in SCHEDULES)
    return min((record for record in found if record), key=lambda record: median_time(record).value, default=None)
