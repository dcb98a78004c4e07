"""Trains a model: Adam, gradient clipping, and regular evaluations on the validation data, each with a checkpoint.

The seed and the number of the step determine a batch, so a checkpoint contains model, optimisers and learning curve. A training that was
interrupted anywhere and resumed gives the same result as without interruption: on a CPU bit for bit.
"""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from bench.records.training_record import End, InputJacobian, Point, TrainingRecord, Trial
from bench.studies.training import training_checkpoint
from bench.studies.training.input_jacobian import measure_input_jacobian
from bench.studies.training.layer_check import check_layer
from bench.studies.training.task import Task
from kernels import RNN

ANALYSED_SEEDS = 3
"""The first seeds whose layers are analysed: their Jacobians, units and robustness."""
PAUSE = 10.0
"""The least time between two checkpoints, relative to the time the last one took; it matters for tables of millions of items."""

STOPPED, SECOND = 50.0, 1.0
"""A step counts as suspended (by Ctrl-Z, a debugger, or a sleeping machine) if it takes this many times the median step since the last
evaluation, and this many seconds. It then counts as the median."""

Tell = Callable[[Trial, Point], None]


class Training:
    """A training in progress.

    Args:
        task: The task.
        trial: The cell, its width, the seed, the learning rate and the number of steps.
        device: The device.
        path: The checkpoint's file, which is resumed if it exists; None for no checkpoints.

    Raises:
        WrongResult: The layer doesn't compute its cell.
        UsageError: The checkpoint is invalid, or belongs to another training.
    """

    def __init__(self, task: Task, trial: Trial, device: torch.device, path: Path | None = None):
        self.task, self.trial, self.path, self.device = task, trial, path, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(trial.seed)
            self.model = task.model(trial.cell, trial.H).to(device)
        sparse = [m.weight for m in self.model.modules() if isinstance(m, nn.Embedding) and m.sparse]
        self.dense = [p for p in self.model.parameters() if not any(p is s for s in sparse)]
        self.optimisers: list[torch.optim.Optimizer] = [torch.optim.Adam(self.dense, lr=trial.rate)]
        if sparse:
            self.optimisers.append(torch.optim.SparseAdam(sparse, lr=trial.rate))
        self.step, self.seconds, self.paused, self.clipped, self.largest = 0, 0.0, 0.0, 0, 0.0
        self.next, self.norm = 0.0, 0.0
        self.losses: list[float] = []
        self.durations: list[float] = []
        self.curve: list[Point] = []
        self.jacobians: list[InputJacobian] = []
        self.best: dict[str, Tensor] = {}
        self.diverged = False
        self.backend, self.error = check_layer(self.rnn, self.task.inputs(self.model))
        if path and path.exists():
            self.restore_checkpoint(training_checkpoint.load_file(path))

    @property
    def rnn(self) -> RNN:
        """Returns the recurrent layer."""
        assert isinstance(self.model.rnn, RNN)
        return self.model.rnn

    def run(self, tell: Tell, until: float = math.inf) -> TrainingRecord:
        """Trains to the end, or until a given time.

        Args:
            tell: Called with every evaluation.
            until: The time on the clock of `time.monotonic`.

        Returns:
            The record of the training.
        """
        while (end := self.train_until_eval(tell, until)) is None:
            pass
        return self.record(end)

    def train_until_eval(self, tell: Tell, until: float = math.inf) -> End | None:
        """Trains up to and including the next evaluation on the validation data.

        Args:
            tell: Called with every evaluation.
            until: The time, on the clock of `time.monotonic`, at which the training ends.

        Returns:
            The reason why the training ended; None if it continues.
        """
        before = len(self.curve)
        while (end := self.end_reason(until)) is None and len(self.curve) == before:
            if self.step % self.task.every == 0 and self.last_evaluated_step < self.step:
                self.evaluate(tell)
            else:
                self.advance()
        if end:
            if self.last_evaluated_step < self.step and not self.diverged and end != "time":
                self.evaluate(tell)
            self.add_elapsed()
            self.save_checkpoint()
        return end

    @property
    def last_evaluated_step(self) -> int:
        """Returns the step of the last evaluation; -1 before the first."""
        return self.curve[-1].step if self.curve else -1

    def end_reason(self, until: float) -> End | None:
        """Returns the reason why the training ends now; None if it continues."""
        if self.diverged:
            return "diverged"
        reached = [p.step for p in self.curve if self.is_target_reached(p.value)]
        if reached:
            return "target"
        if self.task.patience and self.curve and self.evaluations_since_best() >= self.task.patience:
            return "stopped"
        if self.step >= self.trial.steps:
            return "steps"
        return "time" if time.monotonic() >= until else None

    def is_target_reached(self, value: float) -> bool:
        target = self.task.target
        return target is not None and (value >= target if self.task.higher else value <= target)

    def evaluations_since_best(self) -> int:
        """Returns the number of evaluations since the best one."""
        values = [p.value if self.task.higher else -p.value for p in self.curve]
        return len(values) - 1 - values.index(max(values))

    def advance(self) -> None:
        """Performs one training step."""
        begun = time.perf_counter()
        batch = tuple(part.to(self.device) for part in self.task.batch(self.trial.seed, self.step))
        for optimiser in self.optimisers:
            optimiser.zero_grad()
            if self.task.decays:
                optimiser.param_groups[0]["lr"] = self.trial.rate * (1 - self.step / self.trial.steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.trial.seed << 32 | self.step)  # the step determines dropout too
            loss = self.task.loss(self.model, batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.dense, self.task.clip).item()
        self.norm = max(self.norm, math.inf if math.isnan(norm) else norm)
        self.largest = max(self.largest, self.norm)
        self.losses.append(loss.item())
        self.diverged = not (math.isfinite(norm) and math.isfinite(self.losses[-1]))
        if not self.diverged:
            self.clipped += norm > self.task.clip
            for optimiser in self.optimisers:
                optimiser.step()
        self.step += 1
        self.durations.append(time.perf_counter() - begun)

    def evaluate(self, tell: Tell) -> None:
        """Measures the metric on the validation data, keeps the best model, and saves a checkpoint."""
        self.add_elapsed()
        self.model.eval()
        value = self.task.measure(self.model, "valid")
        if not len(self.curve) & (len(self.curve) - 1):  # at the start, and whenever the evaluations have doubled
            self.add_jacobian()
        self.model.train()
        self.diverged = not math.isfinite(value)
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        self.curve.append(Point(seconds=self.seconds, step=self.step, loss=loss, value=value, norm=self.norm if self.losses else None))
        self.losses, self.norm = [], 0.0
        if not self.evaluations_since_best():
            self.keep_best()
        if self.step and time.monotonic() >= self.next:
            self.save_checkpoint()
        tell(self.trial, self.curve[-1])

    def add_jacobian(self) -> None:
        """Measures the layer's Jacobian on the task's own inputs, for the first seeds."""
        if self.trial.seed < ANALYSED_SEEDS:
            self.jacobians.append(measure_input_jacobian(self.rnn, self.task.inputs(self.model), self.step))

    def keep_best(self) -> None:
        """Copies the model as the best so far. Memory is allocated once: for millions of items, allocating takes longer than copying."""
        now = self.model.state_dict()
        if not self.best:
            self.best = copy.deepcopy(now)
        for name, value in self.best.items():
            value.copy_(now[name])

    def add_elapsed(self) -> None:
        """Adds the steps since the last evaluation to `seconds`; the excess of a suspended step is added to `paused`."""
        usual = median(self.durations or [0.0])
        counted = [usual if lasted > max(SECOND, STOPPED * usual) else lasted for lasted in self.durations]
        self.seconds += sum(counted)
        self.paused += sum(self.durations) - sum(counted)
        self.durations = []

    def save_checkpoint(self) -> None:
        """Saves a checkpoint, and sets the time before which there is no next one."""
        if self.path:
            begun = time.monotonic()
            training_checkpoint.save_file(self.path, self.checkpoint_content())
            self.next = time.monotonic() + PAUSE * (time.monotonic() - begun)

    def checkpoint_content(self) -> dict[str, Any]:
        return {
            "trial": self.trial.model_dump(), "model": self.model.state_dict(), "best": self.best,
            "optimisers": [o.state_dict() for o in self.optimisers], "curve": [p.model_dump() for p in self.curve], "losses": self.losses,
            "step": self.step, "seconds": self.seconds, "paused": self.paused, "clipped": self.clipped, "largest": self.largest,
            "diverged": self.diverged, "jacobians": [j.model_dump() for j in self.jacobians],
        }  # fmt: skip

    def restore_checkpoint(self, content: dict[str, Any]) -> None:
        """Continues from a checkpoint, possibly with more steps. Raises UsageError if it is invalid or belongs to another training."""
        try:
            self.load_state(content)
        except UsageError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
            raise UsageError(
                f"{self.path} is no checkpoint of this training ({why}): move it away, and --resume begins that training again"
            ) from None

    def load_state(self, content: dict[str, Any]) -> None:
        """Loads the state of a checkpoint. The number of steps and the comparison may differ from this trial's."""
        free = ("steps", "equal")
        for name, value in self.trial.model_dump().items():
            if name not in free and content["trial"].get(name) != value:
                was = content["trial"].get(name)
                raise UsageError(f"{self.path} is of a training with {name} {was}, not {value}: name a new --out, or delete it")
        self.model.load_state_dict(content["model"])
        for optimiser, state in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.curve = [Point(**p) for p in content["curve"]]
        self.jacobians = [InputJacobian(**j) for j in content.get("jacobians", [])]  # which an older checkpoint lacks
        for name in ("best", "losses", "step", "seconds", "paused", "clipped", "largest", "diverged"):
            if not isinstance(content[name], type(getattr(self, name))):
                raise TypeError(f"its {name} is a {type(content[name]).__name__}")
            setattr(self, name, content[name])

    def record(self, end: End) -> TrainingRecord:
        """Returns the record of the training, with the metric of the best model on test data. `model` is the best model afterwards.

        Args:
            end: The reason why the training ended.
        """
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        self.add_jacobian()
        middle = sorted(self.jacobians[1:-1], key=lambda j: abs(j.step - self.step / 2))[:1]
        recurrent = sum(value.numel() for value in self.rnn.weights().values() if value.requires_grad)
        layer = count_parameters(self.rnn)
        return TrainingRecord(
            trial=self.trial, metric=self.task.metric, higher=self.task.higher, target=self.task.target, D=self.task.D,
            parameters=count_parameters(self.model) - layer + recurrent, recurrent=recurrent, layer=layer,
            backend=self.backend, error=self.error,
            curve=self.curve, final=self.task.measure(self.model, "test"), end=end, steps=self.step, seconds=self.seconds,
            paused=self.paused, clipped=self.clipped, largest=self.largest, extras=self.task.extras(self.model), sizes=self.task.sizes(),
            jacobians=[*self.jacobians[:1], *middle, *self.jacobians[1:][-1:]],
        )  # fmt: skip


def count_parameters(module: nn.Module) -> int:
    """Returns the number of trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
