"""Defines the experiment of `bench train`: cells trained on a task, interleaved."""

import torch

from bench.harness.experiment import Experiment, OpenRun
from bench.harness.training_view import show_trainings
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.studies.training.training_plan import TrainingPlan
from bench.studies.training.trainings import TrainingRunner


class TrainingExperiment(Experiment):
    """Trains the cells of a plan and keeps checkpoints beside the records. A resumed run may add cells and seeds.

    Args:
        plan: The task, the cells and the seeds.
        device: "cpu" or "cuda".
    """

    def __init__(self, plan: TrainingPlan, device: str):
        task = plan.task
        super().__init__(task.name, device, {"task": task.name, "H": task.H, "rates": task.rates, **task.sizes()})
        self.plan = plan

    def measure(self, run: OpenRun) -> None:
        checkpoints = run.folder / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        with show_trainings(self.plan.task.metric) as view:

            def emit(record: TrainingRecord | LearnedRecord) -> None:
                run.emit(record)
                if isinstance(record, TrainingRecord):
                    view.add_record(record)

            done = list(run.before.training) if run.before else []
            runner = TrainingRunner(self.plan, torch.device(self.device), checkpoints, emit, view.add_point, run.until, done)
            left = runner.run_all()
        self.left_out = [f"{left} trainings"] if left else []
        self.failed, self.exit_code = list(runner.wrong.values()), 1 if runner.wrong else 0
