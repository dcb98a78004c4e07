"""Defines the experiment of `bench train`: cells trained on a task, interleaved."""

import inspect
from dataclasses import fields

import torch

from bench.harness.experiment import Experiment, OpenRun
from bench.harness.training_view import show_trainings
from bench.records import Plan
from bench.records.methods import METHODS
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.studies.training.learning_rate_search import SEED
from bench.studies.training.task import Task
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
        self.training_plan = plan
        self.plan = Plan(unit="training", count=len(list(plan.trials())))
        self.method = METHODS | {"task": describe_task(task)}

    def measure(self, run: OpenRun) -> None:
        checkpoints = run.folder / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        with show_trainings(self.training_plan.task.metric) as view:

            def emit(record: TrainingRecord | LearnedRecord) -> None:
                run.emit(record)
                if isinstance(record, TrainingRecord):
                    view.add_record(record)

            done = list(run.before.training) if run.before else []
            runner = TrainingRunner(self.training_plan, torch.device(self.device), checkpoints, emit, view.add_point, run.until, done)
            left = runner.run_all()
        self.left_out = [f"{left} trainings"] if left else []
        self.failed, self.exit_code = list(runner.wrong.values()), 1 if runner.wrong else 0


def describe_task(task: Task) -> str:
    """Returns a task and its settings as a line of markdown."""
    known = {"target": task.target, **{field.name: getattr(task, field.name) for field in fields(task)}}
    settings = ", ".join(f"{name}={value}" for name, value in known.items())
    rate = "falls linearly to zero" if task.decays else "is constant"
    text = " ".join((inspect.getdoc(type(task)) or "").split())
    return f"- Task {task.name}: {text} Settings: {settings}. The learning rate {rate}; a search has the seed {SEED}."
