"""Headlines of adversarial records: no sentence that they contradict."""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bench.analysis.mean_ci import mean_ci
from bench.analysis.training_metrics import quality_ci
from bench.records import CaseRecord, End, Errors, GradientRecord, MapRecord, Plan, Records, ScaleRecord, TheoryRecord
from bench.records.training_record import Point, TrainingRecord
from bench.render.case_grid import build_grids
from bench.render.claims import claim_run
from bench.render.headline import write_headline
from bench.render.mean_speeds import compute_mean_speeds
from tests.records import RUN, case, gradient, records, timed
from tests.test_training_metrics import record

SEEDS = range(3)


def trained(finals: Mapping[str, Sequence[float]], **changes: object) -> list[TrainingRecord]:
    """Trainings of cells whose final values are these."""
    base = record("gru").model_copy(update={"baselines": {}} | changes)
    return [
        base.model_copy(update={"final": value, "trial": base.trial.model_copy(update={"cell": cell, "seed": seed})})
        for cell, values in finals.items()
        for seed, value in enumerate(values)
    ]


def stopped(steps: Mapping[str, Sequence[int]]) -> list[TrainingRecord]:
    """Trainings that reach their target, 0.1, at these steps, an evaluation every 10 steps, and end there."""
    found = []
    for r in trained({cell: [0.1] * len(values) for cell, values in steps.items()}, target=0.1, end="target"):
        last = steps[r.trial.cell][r.trial.seed]
        curve = [Point(seconds=k, step=k, loss=None, value=0.1 if k == last else 0.05) for k in range(0, last + 1, 10)]
        found.append(r.model_copy(update={"curve": curve, "final": 0.1 + 1e-3 * len(found)}))
    return found


def claim(training: list[TrainingRecord]) -> str:
    return claim_run(Records(run=RUN, cases=[], gradients=[], training=training))


def speeds(times: Mapping[tuple[str, str], float], T: int = 128, parameters: Mapping[str, int] | None = None) -> list[CaseRecord]:
    """Cases of (cell, backend) that take these seconds, six samples each that differ by 1%."""
    known = parameters or {}
    return [
        timed(case(cell, b, T=T), *(t * (1 + 0.01 * math.sin(7 * k + len(b))) for k in range(6)), parameters=known.get(cell, 0))
        for (cell, b), t in times.items()
    ]


def lacking(cell: str, T: int = 128) -> CaseRecord:
    return timed(case(cell, "vendor", T=T), status="unsupported", reason="torch.nn has no such cell")


def claim_cases(*found: CaseRecord) -> str:
    run = records(*found)
    return write_headline(run, build_grids(run.cases))


def test_one_cell_is_not_the_best():
    said = claim(trained({"gru": (0.3, 0.31, 0.29)}))
    assert "best" not in said and said.startswith("recommend, at equal hidden width: MAP@20 on the test data: gru 0.300 [0.2")


def test_cells_whose_intervals_overlap_have_no_best():
    assert "no cell is shown to be the best" in claim(trained({"gru": (0.30, 0.34, 0.26), "lstm": (0.31, 0.35, 0.27)}))
    assert claim(trained({"gru": (0.30, 0.301, 0.299), "lstm": (0.2, 0.201, 0.199)})).startswith(
        "**recommend, at equal hidden width: gru has the best MAP@20 on the test data**: gru 0.300 ["
    )
    assert "(too few seeds for an interval)" in (said := claim(trained({"gru": (0.9,), "lstm": (0.1,)}))) and "has the best" not in said


def test_trainings_that_stopped_at_their_target_have_the_order_of_their_steps():
    said = claim(stopped({"gru": (100, 110, 100), "lstm": (300, 310, 290)}))
    assert "gru reaches MAP@20 0.100 on the validation data in the fewest steps**" in said and "has the best" not in said
    assert "no cell is shown to reach" in claim(stopped({"gru": (100, 400, 200), "lstm": (120, 390, 220)}))
    equal = claim(stopped({"gru": (100, 100, 100), "lstm": (110, 110, 110)}))
    assert "no cell is shown to reach" in equal  # an evaluation apart: either may have been first in between
    missed = claim([*stopped({"gru": (100, 110, 100)}), *trained({"cfn": (0.5, 0.5, 0.5)}, target=0.1, curve=[])])
    assert "not with every seed: cfn (0 of 3)" in missed and "has the best" not in missed


def test_intervals_are_corrected_for_all_that_were_trained():
    """A cell that missed the target, or ended without a finite value, was looked at too."""
    steps = stopped({"gru": (100, 110, 100), "lstm": (300, 310, 290)})
    ends = [
        re.findall(r"gru 103 \[([\d.]+)", claim(found))[0] for found in (steps, [*steps, *trained({"cfn": (0.5,)}, target=0.1, curve=[])])
    ]
    assert float(ends[1]) < float(ends[0])
    finals = trained({"gru": (0.30, 0.31, 0.29), "lstm": (0.2, 0.21, 0.19)})
    lost = trained({"cfn": (math.nan,)})
    ends = [re.findall(r"gru 0.300 \[([\d.]+)", claim(found))[0] for found in (finals, [*finals, *lost])]
    assert float(ends[1]) < float(ends[0])


def test_a_baseline_that_nothing_beats_comes_first():
    limit = {"baselines": {"item transitions": 0.4, "most popular": 0.1}}
    said = claim(trained({"gru": (0.3, 0.31, 0.29), "lstm": (0.2, 0.21, 0.19)}, **limit))
    assert said.startswith("**recommend, at equal hidden width: nothing beats the best baseline without a recurrent layer**")
    shown = claim(trained({"gru": (0.3, 0.6, 0.5), "lstm": (0.2, 0.21, 0.19)}, **limit))
    assert "nothing is shown to beat the best baseline" in shown
    better = claim(trained({"gru": (0.5, 0.501, 0.499), "lstm": (0.41, 0.2, 0.6)}, **limit))
    assert "better than the baseline item transitions, 0.400: gru." in better and "nothing" not in better
    assert "nothing beats" in claim(trained({"gru": (0.3,)}, **limit))


def test_a_baseline_that_was_not_measured_on_the_test_data_is_not_beaten():
    assert "baseline" not in claim(trained({"gru": (0.3, 0.31, 0.29)}, expected={"chance": 0.1}))


def test_what_is_not_equal_is_not_called_equal():
    def sized(equal: str, **sizes: int) -> str:
        found = [
            r.model_copy(update={"recurrent": sizes[r.trial.cell], "trial": r.trial.model_copy(update={"equal": equal})})
            for r in trained({"gru": (0.3, 0.3, 0.31), "lstm": (0.2, 0.2, 0.21)})
        ]
        return claim(found)

    assert "at unequal parameters of the recurrent layer (100 to 500)" in sized("parameters", gru=500, lstm=100)
    assert "at equal parameters of the recurrent layer:" in sized("parameters", gru=105, lstm=100)
    assert "at equal hidden width:" in sized("hidden", gru=500, lstm=100)


def test_a_layer_with_a_large_error_is_in_no_headline():
    said = claim(trained({"gru": (0.9, 0.9, 0.91)}, error=0.01) + trained({"lstm": (0.2, 0.2, 0.21)}))
    assert "gru has" not in said and "not every seed ended with a finite value: gru" in said


def test_a_training_that_ran_out_of_time_has_no_place():
    said = claim(trained({"gru": (0.9, 0.9, 0.91)}, end="time") + trained({"lstm": (0.2, 0.2, 0.21)}))
    assert "has the best" not in said and said.endswith("not every seed was trained to its end: gru.")


@pytest.mark.parametrize("draw", range(60))
def test_random_trainings(draw):
    """Whatever the finals: a best cell is apart from every other, and what is better than a baseline is so in the mean."""
    rng = np.random.default_rng(draw)
    higher, cells = bool(draw % 2), ("gru", "cfn", "lstm", "minimal")[: 1 + draw % 4]
    finals = {cell: rng.uniform(0.1, 0.9) + rng.uniform(0, 0.1) * rng.random(1 + draw % 3) for cell in cells}
    limit = float(rng.uniform(0.1, 0.9))
    found = trained(finals, higher=higher, baselines={"guess": limit})
    said = claim(found)
    known = {cell: quality_ci([r for r in found if r.trial.cell == cell]) for cell in cells}
    for best in re.findall(r"(\w+) has the best", said):
        others = [known[cell] for cell in cells if cell != best]
        assert others and all(known[best].low > o.high if higher else known[best].high < o.low for o in others)
    for named in re.findall(r"better than the baseline guess, [\d.]+: ([\w, ]+)", said):
        assert all((known[cell].value > limit) == higher for cell in named.split(", "))
    beaten = [cell for cell in cells if (known[cell].value > limit) == higher]
    assert not beaten or "nothing beats" not in said
    assert "[-" not in said and all(k.low > 0 for k in known.values() if k.bounded)


def test_intervals_of_positive_values_are_positive():
    values = (0.0001, 0.002, 0.00012)
    assert mean_ci(values).low < 0 < mean_ci(values, low=0.0).low
    share = mean_ci((0.999, 0.97, 0.998), low=0.0, high=1.0)
    assert 0 < share.low < share.value < share.high < 1
    assert mean_ci((1.0, 1.0), low=0.0, high=1.0).high == 1.0 and mean_ci((0.0, 0.0), low=0.0).low == 0.0


def test_like_for_like_comes_first_and_no_single_case_is_picked():
    """IndRNN with few parameters is 80 times as fast as a GRU of its width, once; the mean over its own kind is what is said."""
    same = speeds({("gru", "vendor"): 2.0, ("gru", "compiled"): 1.0, ("lstm", "vendor"): 1.0, ("lstm", "compiled"): 1.02})
    small = [*speeds({("indrnn", "compiled"): 0.025, ("indrnn", "eager"): 0.4}, parameters={"indrnn": 1000}), lacking("indrnn")]
    gru = timed(case("gru", "vendor", H=20, matched_params_of="indrnn"), *[0.05] * 6, parameters=1050)
    said = claim_cases(*same, *small, gru)
    assert said.startswith("**Faster in 1 of 2 cases, not in most:** compiled trains 1.4")
    assert "indrnn, which torch.nn lacks: **compiled trains 2.0" in said and "in a Python loop 0.12" in said
    assert "80" not in said.split("which torch.nn lacks")[0] and "as fast as its GRU of equal H" in said


def test_unequal_parameters_are_not_called_equal():
    small = [*speeds({("indrnn", "compiled"): 0.1, ("gru", "vendor"): 1.0}, parameters={"indrnn": 100, "gru": 9000}), lacking("indrnn")]
    gru = timed(case("gru", "vendor", H=20, matched_params_of="indrnn"), *[0.5] * 6, parameters=1050)
    said = claim_cases(*small, gru)
    assert "of equal parameters" not in said and "not compared at equal parameters" in said and "**" not in said
    assert "which has 90.0 times as many parameters" in said


def test_the_choice_among_backends_widens_the_interval():
    one = speeds({("gru", "vendor"): 1.1, ("gru", "compiled"): 1.0})
    many = [*one, *(r for b in ("stepwise", "scan", "persistent") for r in speeds({("gru", b): 1.2}))]
    ends = [next(m for m in compute_mean_speeds(build_grids(found)[0]) if m.backend == "compiled").ratio for found in (one, many)]
    assert ends[1].low < ends[0].low < ends[0].high < ends[1].high and "chosen of 4 backends" in claim_cases(*many)


def test_where_the_baseline_wins_it_is_said_first():
    said = claim_cases(*speeds({("gru", "vendor"): 1.0, ("gru", "compiled"): 2.0, ("gru", "eager"): 3.0}))
    assert said.startswith("**No float32 training time is significantly faster than torch.nn's own gru:** compiled trains 0.50×")
    few = claim_cases(timed(case(), 1.0), timed(case(backend="vendor"), 2.0))
    assert few.startswith("**No float32 training time is significantly faster")
    eager = claim_cases(*speeds({("gru", "vendor"): 1.0, ("gru", "compiled"): 2.0, ("gru", "eager"): 0.5}))
    assert eager.startswith("**In float32 training, on average only eager is faster than torch.nn's own gru:**")
    assert claim_cases() == "Nothing was measured."


def test_an_error_above_its_tolerance_has_no_speed():
    wrong = [r.model_copy(update={"errors": Errors(output=1e-7, gradient=0.06, worst="x")}) for r in speeds({("gru", "compiled"): 0.1})]
    said = claim_cases(*speeds({("gru", "vendor"): 1.0, ("gru", "eager"): 2.0}), *wrong)
    assert said == "**No case was compared with torch.nn.**"


def slope(cell: str, per_step: float, seed: int, init: str = "default") -> GradientRecord:
    known = gradient(cell, 16).model_copy(update={"seed": seed, "init": init})
    return known.model_copy(update={"by_lag": [math.exp(per_step * k) for k in range(17)]})


def test_an_initialisation_is_compared_with_its_like():
    rates = {("minimal", "critical"): -0.001, ("vanilla", "critical"): -0.02, ("gru", "default"): -0.2, ("minimal", "default"): -0.5}
    found = [slope(cell, rate * (1 + 0.01 * seed), seed, init) for seed in SEEDS for (cell, init), rate in rates.items()]
    said = claim_run(Records(run=RUN, cases=[], gradients=found))
    assert "least with lag in minimal**, critical initialisation: minimal -0.0010" in said
    assert "least with lag in gru**, default initialisation: gru -0.2020" in said
    near = [slope(cell, rate, seed) for cell, rates in (("gru", (-0.1, -0.2)), ("lstm", (-0.11, -0.19))) for seed, rate in enumerate(rates)]
    shown = claim_run(Records(run=RUN, cases=[], gradients=near))
    assert shown.startswith("Gradients, default initialisation: no cell is shown to change least with lag: gru -0.1500")
    assert "least" not in claim_run(Records(run=RUN, cases=[], gradients=[slope("gru", -0.1, seed) for seed in SEEDS]))


def test_studies_say_their_condition_and_are_corrected():
    theory = {"cell": "gru", "w": 1, "v": 1, "mu": 0, "phi": 1, "N": 8, "seed": 0, "q": 1, "Q": 1, "chi": 0.5, "xi": 1.4}
    points = [TheoryRecord.model_validate(theory | {"untied": [math.log(0.505)], "tied": [math.log(0.6)]})]
    said = claim_run(Records(run=RUN, cases=[], gradients=[], theory=points))
    assert said.startswith("**With weights drawn anew") and said.endswith("; with tied weights 20.00% in the median, 20.00% at most.")
    one = {
        "cell": "gru",
        "weights": {},
        "seeds": [0, 1, 2],
        "starts": 1,
        "steps": 1,
        "copies": 1,
        "epsilon": 1e-6,
        "iterations": 1,
        "cloud": [[0, 0]],
        "times": [],
        "distance": [],
    }
    maps = [MapRecord.model_validate(one | {"name": name, "exponents": [0.1, 0.2, 0.3]}) for name in ("GRU map", "LSTM map")]
    half = f"{mean_ci([0.1, 0.2, 0.3], 2).half_width:.4f}"
    assert f"GRU map +0.2000 ± {half}, LSTM map" in claim_run(Records(run=RUN, cases=[], gradients=[], maps=maps))


def test_the_efficiency_on_several_ranks_is_that_of_all_cells():
    def ranks(cell: str, count: int, seconds: float, error: float = 0.0) -> ScaleRecord:
        known = {"scaling": "weak", "T": 4, "B": 8, "D": 8, "H": 8, "exchange": "gloo", "threads": 1, "status": "ok", "loss_error": error}
        return ScaleRecord.model_validate(known | {"cell": cell, "ranks": count, "step": [seconds] * 6, "alone": [seconds] * 6})

    found = [ranks(cell, count, 1.0 if count == 1 else t) for cell, t in (("gru", 1.25), ("lstm", 5.0)) for count in (1, 2)]
    said = claim_run(Records(run=RUN, cases=[], gradients=[], scale=found))
    assert said.startswith("**`gru`, `lstm` train on 2 ranks at 40% [40%, 40%] of 2 times the speed of one rank**, the geometric mean of 2")
    wrong = Records(run=RUN, cases=[], gradients=[], scale=[found[0], ranks("gru", 2, 0.5, error=0.1)])
    assert claim_run(wrong) == "" and wrong.scale[1].status == "incorrect"


def test_an_unfinished_run_says_so_first():
    run = records(*speeds({("gru", "vendor"): 2.0, ("gru", "compiled"): 1.0})).model_copy(update={"plans": [Plan(unit="case", count=9)]})
    assert write_headline(run, build_grids(run.cases)).startswith("**Unfinished: 2 of 9 planned cases.** **compiled trains 2.0")
    done = run.model_copy(update={"plans": [Plan(unit="case", count=2)], "ends": [End(wall=1.0, spent={})]})
    assert "nfinished" not in write_headline(done, build_grids(run.cases))
