"""Trains cells on tasks and analyses the trained models. `python -m bench train TASK` runs it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.studies.training.task import Task

TASKS = {
    "adding": "adding.Adding",
    "masked": "adding.Masked",
    "copy": "copying.Copying",
    "counting": "counting.Counting",
    "digits": "digits.Digits",
    "mnist1d": "mnist1d.Mnist1d",
    "sizes": "mnist1d.Sizes",
    "recommend": "recommend.Recommend",
    "vowels": "vowels.Vowels",
}
"""The module and the class of each task, by its name."""


def load_task(name: str, **changes: Any) -> "Task":
    """Returns a task.

    Args:
        name: The task's name.
        changes: Values of its fields that differ from the defaults.
    """
    module, _, kind = TASKS[name].partition(".")
    return getattr(importlib.import_module(f"bench.studies.training.{module}"), kind)(**changes)
