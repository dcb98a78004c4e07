"""The training study: tasks, their training, and what a trained model does. `python -m bench train TASK`."""

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
"""The tasks by name, and where each is written."""


def load_task(name: str, **changes: Any) -> "Task":
    """The task called `name`, with `changes` to its sizes."""
    module, _, kind = TASKS[name].partition(".")
    return getattr(importlib.import_module(f"bench.studies.training.{module}"), kind)(**changes)
