"""Defines the experiment of the signal studies: a list of pieces, each measured from its own seed."""

from collections.abc import Sequence
from typing import Any

from bench.harness.experiment import Experiment, OpenRun, RunStopped, select_shard
from bench.harness.progress import show_progress
from bench.measure.failure import first_line, is_out_of_memory
from bench.records import Plan
from bench.studies.signals.piece import Piece
from bench.studies.signals.single_thread import one_thread


class SignalExperiment(Experiment):
    """Measures pieces in order. A piece gives one record, so a resumed run skips as many pieces as it has records.

    Args:
        name: The name of the study.
        pieces: All pieces of the run.
        settings: The settings that a resumed run must share.
        shard: The part of the run to measure, "I/N", or "" for all of it.
    """

    def __init__(self, name: str, pieces: Sequence[Piece], settings: dict[str, Any], shard: str = ""):
        super().__init__(name, settings["device"], settings | ({"shard": shard} if shard else {}))
        self.pieces = select_shard(shard, pieces)
        self.plan = Plan(unit="measurement", count=len(self.pieces))

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
