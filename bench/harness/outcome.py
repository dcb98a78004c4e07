"""Makes the record of a case, for every status."""

from typing import Any

from bench.harness.cases import evaluate_formula, format_formula
from bench.measure.lower_bound import compute_lower_bound
from bench.records import Case, CaseRecord, Status
from cells import load
from kernels.derive.cost_formulas import flop_counts, layer_parameter_count, parameter_count
from kernels.derive.plan import plan


def make_case_record(case: Case, status: Status, reason: str, **measured: Any) -> CaseRecord:
    """Returns the record of a case from its measurements and its plan.

    Args:
        case: The case.
        status: The status of the case.
        reason: The reason why it has no time; "" if it has one.
        measured: Further fields of the record.
    """
    p = plan(load(case.cell))
    return CaseRecord(
        case=case, status=status, reason=reason,
        parameters=evaluate_formula(parameter_count(p), case.D, case.H), formula=format_formula(parameter_count(p)),
        layer_parameters=evaluate_formula(layer_parameter_count(p), case.D, case.H),
        flops=sum(evaluate_formula(f, case.D, case.H) for f in flop_counts(p).values()),
        lower_bound=compute_lower_bound(p, case),
        unit="cell update" * bool(p.stencil_inputs), **measured
    )  # fmt: skip
