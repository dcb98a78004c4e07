"""The report on time in parallel."""

from bench.records import ParallelRecord
from bench.render import parallel_report


def record(cell: str = "cfn", **changes: object) -> ParallelRecord:
    """Newton's method for one cell, which takes 5 iterations."""
    given = {
        "cell": cell, "T": 64, "B": 1, "D": 8, "H": 8, "dtype": "float32", "seed": 0, "init": "default", "scale": 1.0,
        "tolerances": [1e-3, 1e-6], "states": [3, 5], "gradients": [3, 4], "full": [2, 3], "budget": 60, "exponent": -0.3,
        "coupling": 0.01, "rate": 0.1,
    }  # fmt: skip
    return ParallelRecord(**given | changes)


def test_the_most_iterations_of_all_seeds():
    (table,) = parallel_report.make_tables([record(), record(seed=1, states=[4, None]), record("lstm", full=[])])
    assert table.rows[0][4:10] == [4, "> 60", 3, 4, 2, 3] and table.rows[1][8:10] == [None, None]


def test_prediction():
    """Iterations that shrink an error by so much each; none if it grows, one if it is gone at once."""
    assert [parallel_report.predict(record(rate=rate), -1) for rate in (0.1, 0.5, 1.0, 0.0)] == [6, 20, None, 1]


def test_claim():
    """The fewest first, what the budget doesn't reach last."""
    found = [record("vanilla", states=[9, None]), record("lstm", states=[5, 10]), record(), record(init="critical", states=[1, 1])]
    said = parallel_report.claim_iterations(found)
    assert "iterations: cfn 5, lstm 10, vanilla > 60**, default initialisation, T=64 H=8" in said
    assert parallel_report.claim_iterations([]) == parallel_report.claim_iterations([record(init="critical")]) == ""


def test_cause():
    """The sentence names what ranks the cases as the iterations do, from eight cases on: one, or both alike."""
    rising = [record(states=[1, 5 + k], full=[1, 12 - k], exponent=-1 / (1 + k), coupling=1 / (2 + k)) for k in range(8)]
    said = parallel_report.claim_cause(rising)
    assert "With the derivatives of a unit alone iterations follow contraction (rank correlation with λ +1.00, with coupling -1.00)" in said
    assert "with all derivatives iterations follow diagonality (rank correlation with λ -1.00, with coupling +1.00)**, 8 cases." in said
    assert parallel_report.claim_cause(rising[1:]) == parallel_report.claim_cause([record(full=[])] * 9) == ""
    same = [record(exponent=k, coupling=k, states=[1, None if k == 7 else k + 1], full=[1, 1]) for k in range(8)]
    assert parallel_report.claim_cause(same).count("both alike") == 2


def test_theory_beside_it():
    (table,) = parallel_report.make_tables([record(chi=0.25), record("lstm")])
    assert [row[[column.header for column in table.columns].index("χ")] for row in table.rows] == [0.25, None]
    (table,) = parallel_report.make_tables([record()])
    assert "χ" not in [column.header for column in table.columns]


def test_plot(tmp_path):
    (path,) = parallel_report.draw([record(), record("lstm", exponent=-0.5, coupling=0.2, states=[5, None])], tmp_path)
    text = path.read_text()
    assert "cfn default ×1: 5 iterations, λ -0.30, coupling 1%" in text and "lstm default ×1: 60 iterations" in text
    assert parallel_report.draw([], tmp_path) == []
