"""Which cases a run has: those of a baseline with as many parameters among them."""

from dataclasses import replace

from bench.harness.cases import matched_width, timing_groups
from bench.harness.settings import Settings
from bench.records import Case


def test_equal_parameter_counts():
    H = matched_width("minimal", 256, 256)
    ours, theirs = 256 * 256 * 3 + 2 * 256, 3 * (256 * H + H * H) + 4 * H
    assert abs(ours - theirs) < 0.01 * ours
    settings = Settings(("minimal",), ("vendor",), (4,), (2,), (256,), 256, "float32", "ieee", "cpu", 0, True)
    cases = timing_groups(settings)[0].cases
    assert (
        Case(
            cell="gru",
            backend="vendor",
            mode="training",
            T=4,
            B=2,
            D=256,
            H=H,
            dtype="float32",
            precision="ieee",
            matched_params_of="minimal",
        )
        in cases
    )
    assert any(c.cell == "gru" and c.H == 256 and not c.matched_params_of for c in cases)


def test_what_is_slow_is_measured_at_short_sequences_only():
    """Python loops, and loops with the input projection precomputed, in a run that names neither backends nor lengths."""
    backends = ("vendor", "eager", "compiled")
    settings = Settings(("gru",), backends, (4, 8), (2,), (4,), 4, "float32", "ieee", "cpu", 0, False, slow_up_to=4)
    short, long = ({(case.backend, case.input_product) for case in group.cases} for group in timing_groups(settings))
    assert short == {(name, True) for name in backends} | {("compiled", False)} and long == {("vendor", True), ("compiled", True)}
    assert all(group.cases for group in timing_groups(replace(settings, slow_up_to=0)))
    assert len({len(group.cases) for group in timing_groups(replace(settings, slow_up_to=0))}) == 1
