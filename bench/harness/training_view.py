"""Shows trainings on stderr: on a terminal, a line with a learning curve for each; otherwise, a line for each finished one."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from bench.harness.progress import print_line
from bench.records.training_record import Point, TrainingRecord, Trial

BARS = "▁▂▃▄▅▆▇█"
WIDE, ROWS = 40, 12
"""The characters of a curve, and the number of trainings shown: those updated last, in the order in which they began."""


class TrainingView:
    """The learning curves of the trainings so far.

    Args:
        metric: The name of the metric.
        live: The display; None if stderr is not a terminal.
    """

    def __init__(self, metric: str, live: Live | None):
        self.metric, self.live = metric, live
        self.curves: dict[Trial, list[Point]] = {}
        self.told: list[Trial] = []

    def add_point(self, trial: Trial, point: Point) -> None:
        """Adds an evaluation on the validation data to a training's curve.

        Args:
            trial: The training.
            point: The evaluation.
        """
        self.curves.setdefault(trial, []).append(point)
        self.told = [*(other for other in self.told if other != trial), trial][-ROWS:]
        if self.live:
            self.live.update(self.make_table())

    def add_record(self, record: TrainingRecord) -> None:
        """Prints the result of a finished training if there is no live display.

        Args:
            record: The training's record.
        """
        if not self.live:
            print_line(summarize_record(record))

    def make_table(self) -> Table:
        table = Table("cell", "H", "seed", "rate", "step", "seconds", "loss", self.metric, "", box=None)
        for trial, curve in self.curves.items():
            if trial not in self.told:
                continue
            last = curve[-1]
            loss = "" if last.loss is None else f"{last.loss:.4g}"
            numbers = (f"{trial.rate:g}", f"{last.step} of {trial.steps}", f"{last.seconds:.1f}", loss, f"{last.value:.4g}")
            table.add_row(trial.cell, str(trial.H), str(trial.seed), *numbers, make_sparkline([point.value for point in curve]))
        return table


def make_sparkline(values: list[float]) -> str:
    """Returns the last WIDE values as characters of eight heights, scaled to the range of all values."""
    finite = [v for v in values if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    heights = (round((v - low) / (high - low or 1.0) * (len(BARS) - 1)) if math.isfinite(v) else 0 for v in values[-WIDE:])
    return "".join(BARS[height] for height in heights)


def summarize_record(record: TrainingRecord) -> str:
    trial = record.trial
    return (
        f"{trial.cell} H={trial.H} seed {trial.seed}: {record.metric} {record.final:.4g} after {record.steps} steps, "
        f"{record.seconds:.1f} s of training ({record.end})"
    )


@contextmanager
def show_trainings(metric: str) -> Iterator[TrainingView]:
    """Shows trainings while the context lasts.

    Args:
        metric: The name of the metric.

    Yields:
        The view, which takes evaluations and records.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield TrainingView(metric, None)
        return
    with Live(console=console, transient=True) as live:
        yield TrainingView(metric, live)
