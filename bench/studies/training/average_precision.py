"""How well the next items are foretold: mean average precision at 20.

Every item of a held-out user but the first is asked for, from all before it. One item is right, so the average precision of a question is
1/rank where the rank is at most 20, else 0; a user's is the mean over all questions, and MAP@20 the mean over users. Items that score the
same as the right one stand before it. Where no user of training has an item twice, what a user had is not ranked.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.studies.training.histories import UNKNOWN, Histories

AT = 20
SCORES = 2**22
"""How many scores are held at a time: arrays of more than 32 MB come fresh from the system, page by page, each time."""

MOST = 2**29
"""How many scores a measurement takes at most: of a large vocabulary, only the last questions of each user are asked, or of some users
one."""

Question = tuple[np.ndarray, int]
"""A user's items, and t: what comes after the first t + 1?"""

Scorer = Callable[[Sequence[Question]], Tensor]
"""The scores of all items for some questions, (questions, items); they are changed."""


def mean_average_precision(histories: Histories, users: Sequence[np.ndarray], score: Scorer) -> float:
    """MAP@20 of `score` over `users`."""
    affordable = max(1, MOST // histories.items)
    last = max(1, affordable // len(users))
    asked = [last_questions(user, last) for user in users[:affordable]]
    questions = [question for found in asked for question in found]
    chunk = max(1, SCORES // histories.items)
    found = torch.cat([average_precision(histories, questions[k : k + chunk], score) for k in range(0, len(questions), chunk)])
    return float(np.mean([of_user.mean().item() for of_user in found.split([len(questions) for questions in asked])]))


def last_questions(user: np.ndarray, count: int) -> list[Question]:
    """The last `count` questions of a user, or all if they are fewer."""
    return [(user, t) for t in range(max(0, len(user) - 1 - count), len(user) - 1)]


def average_precision(histories: Histories, questions: Sequence[Question], score: Scorer) -> Tensor:
    """The average precision at 20 of each question."""
    scores = score(questions)
    scores[:, UNKNOWN] = -torch.inf
    if not histories.repeats:
        row = np.repeat(np.arange(len(questions)), [t + 1 for _, t in questions])
        seen = np.concatenate([user[: t + 1] for user, t in questions])
        scores[torch.from_numpy(row), torch.from_numpy(seen)] = -torch.inf
    return precision_of_rows(scores, torch.tensor([user[t + 1] for user, t in questions], device=scores.device))


def precision_of_rows(scores: Tensor, wanted: Tensor) -> Tensor:
    """1/rank of `wanted` (N) in `scores` (N, items), 0 beyond 20 and for what is not ranked."""
    own = scores.gather(1, wanted[:, None])
    ranks = torch.ge(scores, own, out=torch.empty_like(scores)).sum(1)  # of numbers: of truth values the sum takes thirty times as long
    return torch.where((ranks <= AT) & torch.isfinite(own[:, 0]), 1 / ranks, 0.0).double()
