"""Defines baselines of recommendation without a recurrent state: the most popular items, and the most frequent successors of the last
item."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from bench.studies.training.average_precision import Question
from bench.studies.training.histories import Histories


class PopularityScorer:
    """Scores an item by its count in the training data.

    Args:
        histories: The data.
    """

    def __init__(self, histories: Histories):
        self.counts = torch.from_numpy(histories.counts.astype(np.float32))

    def __call__(self, questions: Sequence[Question]) -> Tensor:
        """Returns the scores of all items, (questions, items)."""
        return self.counts.repeat(len(questions), 1)


class TransitionScorer:
    """Scores an item by how often it followed the last item in the training data. Items that never did rank after these, the most
    popular first.

    Args:
        histories: The data.
    """

    def __init__(self, histories: Histories):
        before = np.concatenate([user[:-1] for user in histories.users["train"]])
        after = np.concatenate([user[1:] for user in histories.users["train"]])
        square = (histories.items, histories.items)
        self.followed = csr_array((np.ones(len(before), np.float32), (before, after)), shape=square)
        self.behind = torch.from_numpy((histories.counts / (histories.counts.max() + 1)).astype(np.float32))

    def __call__(self, questions: Sequence[Question]) -> Tensor:
        """Returns the scores of all items, (questions, items)."""
        last = [user[t] for user, t in questions]
        return torch.from_numpy(self.followed[last].toarray()) + self.behind
