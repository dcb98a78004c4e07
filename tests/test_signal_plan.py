"""What a run of everything measures of signals."""

from bench.harness import device
from bench.studies.signals import signal_plan
from bench.studies.signals.single_thread import one_thread


def test_a_short_part_of_everything(monkeypatch):
    """Named and callable, every kind of it; one of each is measured."""
    device.resolve_device("cpu")
    pieces = dict(signal_plan.preview_pieces("cpu", 0))
    with one_thread():
        kinds = {type(pieces[name]()).__name__ for name in ("lstm default seed 0", "gru σ_w=1 σ_v=1 μ=0", "GRU map")}
    assert kinds == {"JacobianRecord", "TheoryRecord", "MapRecord"} and len(pieces) == 8 + 5 + 2
