"""Defines the largest errors that a result may have, and holds records to them when they are read."""

import math

from bench.records.case_record import Case, CaseRecord
from bench.records.scale_record import ScaleRecord
from bench.records.training_record import TrainingRecord

TOLERANCE = {
    ("float64", "ieee"): 1e-10, ("float32", "ieee"): 5e-5, ("float32", "tf32"): 1e-2, ("float16", "ieee"): 2e-2, ("bfloat16", "ieee"): 1e-1,
}  # fmt: skip
"""The largest max|Δ| / max|reference| by dtype and by precision of float32 products."""
INT8 = 2e-2
"""The same for the outputs of a layer whose matrices are rounded to 8 bits."""
DATA_PARALLEL = 1e-4
"""The same of losses and gradients on several ranks. A different order of float32 sums causes far smaller errors."""


def find_tolerance(dtype: str, precision: str) -> float:
    """Returns the largest allowed error for a dtype and a precision of float32 products."""
    return TOLERANCE[dtype, precision if dtype == "float32" else "ieee"]


def allowed_error(case: Case) -> float:
    """Returns the largest allowed error of a case."""
    return INT8 if case.backend == "int8" else find_tolerance(case.dtype, case.precision)


def check_case(record: CaseRecord) -> CaseRecord:
    """Returns a case as what it is: "incorrect" if it is recorded as checked but its error exceeds the tolerance."""
    case, errors = record.case, record.errors
    known = case.dtype, case.precision if case.dtype == "float32" else "ieee"
    if record.status not in ("ok", "verified") or errors is None or known not in TOLERANCE:
        return record
    allowed = allowed_error(case)
    gradient = f"the gradient of {errors.worst}" if errors.worst else "a gradient"
    found = {"the outputs": errors.output, gradient: errors.gradient or 0.0}
    why = [f"{name} is off by {error:.1e}" for name, error in found.items() if not error <= allowed]
    if not why:
        return record
    reason = f"{' and '.join(why)} of the largest, allowed is {allowed:.0e}; it is recorded as {record.status}"
    return record.model_copy(update={"status": "incorrect", "reason": reason})


def check_training(record: TrainingRecord) -> TrainingRecord:
    """Returns a training as what it is: "incorrect" and without a final value if its layer's error exceeds the tolerance."""
    if record.error <= find_tolerance("float32", "ieee"):
        return record
    return record.model_copy(update={"end": "incorrect", "final": math.nan})


def check_scaling(record: ScaleRecord) -> ScaleRecord:
    """Returns a measurement on several ranks as what it is: "incorrect" and without a time if an error exceeds the limit."""
    errors = [error for error in (record.loss_error, record.gradient_error) if error is not None]
    if record.status != "ok" or all(error <= DATA_PARALLEL for error in errors):
        return record
    reason = f"losses or gradients are off by {max(errors):.1e}, allowed is {DATA_PARALLEL:.0e}"
    return record.model_copy(update={"status": "incorrect", "reason": reason, "step": [], "alone": []})
