"""Which runs are unfinished, by what their records can tell."""

import pytest

from bench.analysis.completeness import describe_unfinished
from bench.records import CaseRecord, End, Plan, Records
from tests.records import RUN, case, timed
from tests.test_training_metrics import record

END = End(wall=1.0, spent={})
CASES = [timed(case(T=T), 1.0) for T in (1, 2, 3)]
SKIPPED = CaseRecord(case=case(T=4), status="skipped")


def run(schema: int = 5, **known: object) -> Records:
    first = RUN.model_copy(update={"schema_version": schema})
    return Records.model_validate({"run": first, "cases": [], "gradients": []} | known)


@pytest.mark.parametrize(("found", "says"), [
    (run(cases=CASES, plans=[Plan(unit="case", count=5)]), "unfinished: 3 of 5 planned cases"),
    (run(cases=CASES, plans=[Plan(unit="case", count=3)]), "unfinished: 3 of 3 planned cases"),  # killed before its end
    (run(cases=CASES, plans=[Plan(unit="case", count=3)], ends=[END]), ""),
    (run(cases=[*CASES, SKIPPED], plans=[Plan(unit="case", count=4)], ends=[END]), "unfinished: 3 of 4 planned cases"),  # out of time
    (run(cases=CASES, plans=[Plan(unit="case", count=3), Plan(unit="case", count=6)], ends=[END]), "unfinished: 3 of 6 planned cases"),
    (run(plans=[Plan(unit="case", count=3, missing="shard 2/2")], cases=CASES, ends=[END]),
     "unfinished: 3 of 3 planned cases; without shard 2/2"),
    (run(training=[record("gru"), record("minimal", end="time")], plans=[Plan(unit="training", count=2)], ends=[END]),
     "unfinished: 1 of 2 planned trainings"),
    (run(plans=[Plan(unit="measurement", count=1)]), "unfinished: 0 of 1 planned measurements"),
    (run(cases=CASES, schema=1), ""), (run(training=[record("gru")], schema=2), ""), (run(cases=CASES, ends=[END], schema=3), ""),
    (run(cases=CASES, schema=2), "unfinished: 3 of an unknown number of planned cases"),
    (run(cases=[*CASES, SKIPPED], ends=[END], schema=4), "unfinished: 3 of 4 planned cases"),
])  # fmt: skip
def test_what_is_said(found, says):
    assert describe_unfinished(found) == says
