"""The experiment of the studies of signals: a list of pieces, each measured from its own seed."""

from collections.abc import Sequence
from typing import Any

from bench.harness.experiment import Experiment, OpenRun, RunStopped, deal
from bench.harness.progress import show_progress
from bench.measure.failure import first_line, is_out_of_memory
from bench.studies.signals.piece import Piece
from bench.studies.signals.single_thread import one_thread


class SignalExperiment(Experiment):
    """Measures the pieces of a `shard` in their order. A piece is one record, so a run resumes after as many pieces as it has records."""

    def __init__(self, name: str, pieces: Sequence[Piece], settings: dict[str, Any], shard: str = ""):
        super().__init__(name, settings["device"], settings | ({"shard": shard} if shard else {}))
        self.pieces = deal(shard, pieces)

    def measure(self, run: OpenRun) -> None:
        left = self.pieces[run.before.dynamics_count if run.before else 0 :]
        with one_thread(), show_progress(len(left)) as tell:
            for k, (name, measure_piece) in enumerate(left):
                if run.out_of_time:
                    self.left_out = [f"{len(left) - k} of {len(self.pieces)} pieces"]
                    return
                tell(name, 0)
                try:
                    run.emit(measure_piece())
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    raise RunStopped(f"{name}: out of memory ({first_line(error)})") from error
                tell(name, 1)
