"""Recommendation without learning a state: the most popular items, and what most often followed the last one."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from bench.studies.training.average_precision import Question
from bench.studies.training.histories import Histories


class Popular:
    """Scores an item by how often training has it."""

    def __init__(self, histories: Histories):
        self.counts = torch.from_numpy(histories.counts.astype(np.float32))

    def __call__(self, questions: Sequence[Question]) -> Tensor:
        return self.counts.repeat(len(questions), 1)


class Markov:
    """Scores an item by how often it followed the last one in training; what never did stands behind, the most popular first."""

    def __init__(self, histories: Histories):
        before = np.concatenate([user[:-1] for user in histories.users["train"]])
        after = np.concatenate([user[1:] for user in histories.users["train"]])
        square = (histories.items, histories.items)
        self.followed = csr_array((np.ones(len(before), np.float32), (before, after)), shape=square)
        self.behind = torch.from_numpy((histories.counts / (histories.counts.max() + 1)).astype(np.float32))

    def __call__(self, questions: Sequence[Question]) -> Tensor:
        last = [user[t] for user, t in questions]
        return torch.from_numpy(self.followed[last].toarray()) + self.behind
