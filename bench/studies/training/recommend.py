"""Defines the task of recommending the next item, after Chen 2017 (1711.06788): a history of at most 500 items, an embedding, one
recurrent layer, a sampled softmax, and MAP@20 on users that are not in the training data.

The paper's data are not public, and its widths are unknown. A ratings.dat or a synthetic click stream replaces the data. All cells of a
comparison have embeddings of the same width, the task's, so a cell's own H affects only the layer and a map H → E.

Two details are not in the paper; without them, no cell is reliably better than counted transitions on so little data. Input and output
items share one embedding (Press & Wolf 2017, 1608.05859). And the layer's output is added to the embedding of the last item, which alone
predicts as well as counted transitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from bench.studies.training import sampled_softmax
from bench.studies.training.average_precision import Question, Scorer, mean_average_precision
from bench.studies.training.baselines import PopularityScorer, TransitionScorer
from bench.studies.training.histories import UNKNOWN, Histories, draw_histories, read_histories
from bench.studies.training.task import Batch, Split, Task, device_of, make_rng
from kernels import RNN

ALIKE = 8
"""The number of batches that are drawn together and sorted by length, so that there is little padding."""

HIDDEN = 0.4
"""The share of a history's items that training replaces by the unknown item."""

DROPPED = 0.5
"""The dropout rate of the layer's outputs. Without dropout, every cell memorizes the training users within two epochs."""

TOGETHER = 64
"""The number of held-out users that the layer reads at a time."""

PROBED = 16


class Recommender(nn.Module):
    """Scores the next item: an embedding of width E, a recurrent layer, and a map H → E, which is added to the last item's embedding.

    An item's score is the product of this sum with its embedding, plus a bias. A bias starts as the logarithm of the item's relative
    count in the training data, so a new model recommends popular items.

    Args:
        cell: The cell's name.
        counts: The count of each item in the training data.
        E: The width of the embedding.
        H: The hidden width.
    """

    def __init__(self, cell: str, counts: np.ndarray, E: int, H: int):
        super().__init__()
        self.items = nn.Embedding(len(counts), E, sparse=True)
        self.rnn = RNN(cell, E, H)
        self.drop = nn.Dropout(DROPPED)
        self.out = nn.Linear(H, E)
        self.bias = nn.Embedding(len(counts), 1, sparse=True)
        with torch.no_grad():
            self.items.weight.normal_(std=E**-0.5)
            self.bias.weight[:, 0] = torch.from_numpy(np.log(np.maximum(counts, 1) / counts.mean()))

    def forward(self, history: Tensor) -> Tensor:
        """Returns, for items (T, B), the vectors (T, B, E) that score the next item."""
        x = self.items(history)
        y, _ = self.rnn(x)
        return x + self.out(self.drop(y))

    def scores(self, asked: Tensor) -> Tensor:
        """Returns the scores of all items (N, items) for vectors (N, E) from `forward`."""
        return F.linear(asked, self.items.weight, self.bias.weight[:, 0])


@dataclass(frozen=True, eq=False)
class Recommend(Task):
    """The recommendation task. Embeddings are as wide as the task's H.

    Attributes:
        data: A ratings.dat; None for a synthetic click stream.
        users: The users of the click stream.
        T: The clicks of each.
        vocabulary: The items of the click stream.
        S: The number of items that the softmax draws for a batch.
    """

    name: ClassVar[str] = "recommend"
    metric: ClassVar[str] = "MAP@20"
    decays: ClassVar[bool] = True

    data: Path | None = None
    users: int = 1500
    T: int = 50
    vocabulary: int = 5000
    S: int = 2048
    B: int = 32
    steps: int = 500
    every: int = 25
    rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    patience: int = 12

    @cached_property
    def histories(self) -> Histories:
        """Returns the data, which is read or drawn once."""
        return read_histories(self.data) if self.data else draw_histories(self.users, self.T, self.vocabulary)

    @cached_property
    def q(self) -> np.ndarray:
        """Returns the probability of each item in the sampled softmax, (items,)."""
        return sampled_softmax.proposal_distribution(self.histories.counts)

    @cached_property
    def cumulative(self) -> np.ndarray:
        """Returns the cumulative sum of q."""
        return np.cumsum(self.q)

    @property
    def D(self) -> int:
        return self.H

    def model(self, cell: str, H: int) -> nn.Module:
        return Recommender(cell, self.histories.counts, self.D, H)

    def batch(self, seed: int, step: int) -> Batch:
        """Returns the data of a training step.

        Args:
            seed: The seed.
            step: The number of the step.

        Returns:
            Histories (T, B), padded at the end; the next items (T, B), −1 for padding; the items that the softmax draws, at most S, and
            their corrections.
        """
        rng = make_rng(seed, step, 10)
        users = [self.histories.users["train"][k] for k in self.choose_users(seed, step)]
        T = max(map(len, users)) - 1
        history, target = np.zeros((T, len(users)), np.int64), np.full((T, len(users)), -1)
        for k, user in enumerate(users):
            history[: len(user) - 1, k], target[: len(user) - 1, k] = user[:-1], user[1:]
        history[rng.random(history.shape) < HIDDEN] = UNKNOWN
        drawn, correction = sampled_softmax.draw_negatives(self.q, self.cumulative, self.S, rng)
        return tuple(torch.from_numpy(part) for part in (history, target, drawn, correction))

    def choose_users(self, seed: int, step: int) -> np.ndarray:
        """Returns the users of a step. Each appears once in an epoch. Batches come in random order, drawn from groups of `ALIKE` batches
        sorted by length."""
        lengths = self.histories.lengths
        per_epoch = max(1, len(lengths) // self.B)
        epoch, place = divmod(step, per_epoch)
        rng = make_rng(seed, epoch, 11)
        order = rng.permutation(len(lengths))[: per_epoch * self.B]
        groups = [group[np.argsort(lengths[group], kind="stable")] for group in np.split(order, range(0, len(order), ALIKE * self.B)[1:])]
        batches = [batch for group in groups for batch in np.split(group, range(0, len(group), self.B)[1:])]
        return batches[rng.permutation(len(batches))[place]]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(model, Recommender)
        history, target, drawn, correction = batch
        known = target > UNKNOWN
        asked, wanted = model(history)[known], target[known]
        positive = (asked * model.items(wanted)).sum(-1) + model.bias(wanted)[:, 0]
        negative = torch.addmm(model.bias(drawn)[:, 0] + correction, asked, model.items(drawn).T)
        return sampled_softmax.sampled_softmax_loss(positive, negative, wanted, drawn)

    @torch.no_grad()
    def measure(self, model: nn.Module, split: Split) -> float:
        assert isinstance(model, Recommender)
        asked: dict[int, Tensor] = {}
        users = self.histories.users[split]
        for group in np.array_split(np.argsort([len(user) for user in users], kind="stable"), -(-len(users) // TOGETHER)):
            histories = pad_sequence([torch.from_numpy(users[k][:-1]) for k in group])
            answers = model(histories.to(device_of(model)))
            asked |= {id(users[k]): answers[:, row] for row, k in enumerate(group)}

        def score(questions: Sequence[Question]) -> Tensor:
            return model.scores(torch.stack([asked[id(user)][t] for user, t in questions]))

        return mean_average_precision(self.histories, users, score)

    def baselines(self) -> dict[str, float]:
        test = self.histories.users["test"]
        scorers: dict[str, Scorer] = {
            "most popular": PopularityScorer(self.histories),
            "item transitions": TransitionScorer(self.histories),
        }
        return {name: mean_average_precision(self.histories, test, score) for name, score in scorers.items()}

    def inputs(self, model: nn.Module) -> Tensor:
        assert isinstance(model, Recommender)
        longest = sorted(self.histories.users["valid"], key=len)[-PROBED:]
        T = min(map(len, longest))
        with torch.no_grad():
            return model.items(torch.from_numpy(np.stack([user[:T] for user in longest], axis=1)).to(device_of(model)))

    def sizes(self) -> dict[str, Any]:
        known = {"data": self.histories.source, "items": self.histories.items, "E": self.D, "S": self.S}
        return super().sizes() | known
