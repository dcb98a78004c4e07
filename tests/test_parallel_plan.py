"""The pieces of the study of time in parallel."""

import pytest

from bench.harness.parallel_plan import parallel_pieces, predict_growth


def test_trained_weights_are_not_scaled():
    pieces = parallel_pieces(
        ["gru", "sru"], ["default", "critical", "trained:adding", "trained:recommend"], [4], (1, 3, 3), [1.0, 3.0], 1, "cpu"
    )
    assert [name for name, _ in pieces] == [
        f"{words} T=4 seed 0"
        for words in (
            "gru default ×1",
            "gru default ×3",
            "gru critical ×1",
            "gru critical ×3",
            "gru trained:adding ×1",
            "gru trained:recommend ×1",
            "sru default ×1",
            "sru trained:recommend ×1",
        )
    ]


def test_theory_of_a_start():
    """χ is 1 at the critical start, more beyond it, and none where there is no theory."""
    assert predict_growth("minimal", "critical", 1.0) == pytest.approx(1, abs=5e-3)
    assert predict_growth("minimal", "critical", 3.0) > 1 > predict_growth("minimal", "default", 1.0) > 0
    assert predict_growth("minimal", "trained:adding", 1.0) is predict_growth("sru", "default", 1.0) is None
