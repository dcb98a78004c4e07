"""Runs of two machines: compared by their speed relative to torch.nn's."""

from bench.analysis.comparison import RunSet, Threshold, compare
from bench.records import Records
from tests.records import RUN, case, records, timed

TIMES = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0)


def test_runs_of_two_machines_are_related_by_torch_nn():
    """A machine that is twice as fast in all is not faster; one case that became slower beside torch.nn is."""
    drift = (1.0, 1.5, 0.7, 1.0, 2.0, 1.0, 0.9)

    def on(machine: str, speed: float, gru: float) -> Records:
        times = {"vendor": 2.0, "compiled": gru, "eager": 3.0}
        cases = [timed(case("gru", backend), *(speed * d * t for d in drift)) for backend, t in times.items()]
        found = records(*cases, timed(case("cfn"), *(speed * t for t in TIMES)), timed(case("lstm"), *[speed] * 7))
        return found.model_copy(
            update={"run": RUN.model_copy(update={"environment": RUN.environment.model_copy(update={"processor": machine})})}
        )

    found = compare(RunSet("a", (on("old", 1.0, 1.0),)), RunSet("b", (on("new", 0.5, 1.3),)))
    assert found.relative and {(p.case.backend, s.verdict): round(s.ratio.value, 3) for p, s in found.compared} == {
        ("compiled", "slower"): round(1 / 1.3, 3), ("eager", "tie"): 1.0,
    }  # fmt: skip
    assert {pair.why for pair in found.pairs if not pair.speed} == {"no torch.nn to relate it to"} and not found.changed
    assert Threshold.parse("min:20%").list_violations(found) == ["gru compiled training T=128: 30.0% slower by its min"]
    assert not compare(RunSet("a", (on("old", 1.0, 1.0),)), RunSet("b", (on("old", 0.5, 1.3),))).relative
