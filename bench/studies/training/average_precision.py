"""Measures the prediction of the next item: mean average precision at 20 (MAP@20).

Each item of a held-out user except the first is a question: it is predicted from all items before it. One item is correct, so the
average precision of a question is 1/rank if the rank is at most 20, else 0. A user's value is the mean over all questions, and MAP@20 is
the mean over users. Items with the same score as the correct one rank before it. If no training user has an item twice, items that a
user already had are not ranked.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.studies.training.histories import UNKNOWN, Histories

AT = 20
SCORES = 2**22
"""The number of scores computed at a time. The system allocates an array of more than 32 MB anew, page by page, each time."""

MOST = 2**29
"""The largest number of scores in a measurement. For a large vocabulary, only the last questions of each user count, or one question of
some users."""

Question = tuple[np.ndarray, int]
"""A user's items, and t: the item after the first t + 1 is asked for."""

Scorer = Callable[[Sequence[Question]], Tensor]
"""A function that returns the scores of all items for some questions, (questions, items). The caller modifies them."""


def mean_average_precision(histories: Histories, users: Sequence[np.ndarray], score: Scorer) -> float:
    """Returns the MAP@20 of a scorer.

    Args:
        histories: The data, with the training users.
        users: The items of each held-out user.
        score: The scorer.
    """
    affordable = max(1, MOST // histories.items)
    last = max(1, affordable // len(users))
    asked = [last_questions(user, last) for user in users[:affordable]]
    questions = [question for found in asked for question in found]
    chunk = max(1, SCORES // histories.items)
    found = torch.cat([average_precision(histories, questions[k : k + chunk], score) for k in range(0, len(questions), chunk)])
    return float(np.mean([of_user.mean().item() for of_user in found.split([len(questions) for questions in asked])]))


def last_questions(user: np.ndarray, count: int) -> list[Question]:
    """Returns the last `count` questions of a user, or all if there are fewer."""
    return [(user, t) for t in range(max(0, len(user) - 1 - count), len(user) - 1)]


def average_precision(histories: Histories, questions: Sequence[Question], score: Scorer) -> Tensor:
    """Returns the average precision at 20 of each question, (questions,).

    Args:
        histories: The data, with the training users.
        questions: The questions.
        score: The scorer.
    """
    scores = score(questions)
    scores[:, UNKNOWN] = -torch.inf
    if not histories.repeats:
        row = np.repeat(np.arange(len(questions)), [t + 1 for _, t in questions])
        seen = np.concatenate([user[: t + 1] for user, t in questions])
        scores[torch.from_numpy(row), torch.from_numpy(seen)] = -torch.inf
    return precision_of_rows(scores, torch.tensor([user[t + 1] for user, t in questions], device=scores.device))


def precision_of_rows(scores: Tensor, wanted: Tensor) -> Tensor:
    """Returns 1/rank of `wanted` (N) in `scores` (N, items); 0 for a rank beyond 20 and for an item that is not ranked."""
    own = scores.gather(1, wanted[:, None])
    ranks = torch.ge(scores, own, out=torch.empty_like(scores)).sum(1)  # sums floats: a sum of booleans takes thirty times as long
    return torch.where((ranks <= AT) & torch.isfinite(own[:, 0]), 1 / ranks, 0.0).double()
