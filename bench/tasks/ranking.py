"""How well the next items are foretold: mean average precision at 20.

Every item of a held-out user but the first is asked for, from all before it. One item is right, so the average precision of a question is
1/rank where the rank is at most 20, else 0; a user's is the mean over all questions, and MAP@20 the mean over users. Items that score the
same as the right one stand before it. Where no user of training has an item twice, what a user had is not ranked.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.tasks.histories import UNKNOWN, Histories

AT = 20
SCORES = 2**25
"""How many scores are held at a time."""

MOST = 2**29
"""How many scores a measurement takes at most: of a large vocabulary, only the last questions of each user are asked, or of some users
one."""

Scorer = Callable[[np.ndarray], Callable[[int, int], Tensor]]
"""Of a user's items, a function of start and stop: the scores (stop − start, items) of what follows after each of [start, stop)."""


def mean_average_precision(histories: Histories, users: Sequence[np.ndarray], score: Scorer) -> float:
    """MAP@20 of `score` over `users`."""
    affordable = max(1, MOST // histories.items)
    last = max(1, affordable // len(users))
    return float(np.mean([average_precision(histories, user, score, last) for user in users[:affordable]]))


def average_precision(histories: Histories, user: np.ndarray, score: Scorer, last: int) -> float:
    """The mean average precision at 20 over the `last` questions of one user, or all if they are fewer."""
    questions, chunk = len(user) - 1, max(1, SCORES // histories.items)
    found, scored = [], score(user)
    for start in range(max(0, questions - last), questions, chunk):
        stop = min(start + chunk, questions)
        scores = scored(start, stop)
        scores[:, UNKNOWN] = -torch.inf
        if not histories.repeats:
            scores = without_seen(scores, user, start)
        found.append(precisions(scores, torch.from_numpy(user[start + 1 : stop + 1]).to(scores.device)))
    return torch.cat(found).mean().item()


def without_seen(scores: Tensor, user: np.ndarray, start: int) -> Tensor:
    """−∞ for what the user has had: row k of `scores` asks after the items up to start + k."""
    rows = np.arange(len(scores))[:, None]
    seen = np.arange(start + len(scores))[None, :] <= start + rows
    row, place = np.nonzero(seen)
    scores[torch.from_numpy(row), torch.from_numpy(user[place])] = -torch.inf
    return scores


def precisions(scores: Tensor, wanted: Tensor) -> Tensor:
    """1/rank of `wanted` (N) in `scores` (N, items), 0 beyond 20 and for what is not ranked."""
    own = scores.gather(1, wanted[:, None])
    ranks = torch.ge(scores, own, out=torch.empty_like(scores)).sum(1)  # of numbers: of truth values the sum takes thirty times as long
    return torch.where((ranks <= AT) & torch.isfinite(own[:, 0]), 1 / ranks, 0.0).double()
