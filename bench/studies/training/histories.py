"""Histories of items: who chose what after what, cut into users for training, validation and test."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.errors import UsageError
from bench.studies.training import clicks, ratings
from bench.studies.training.task import Split, make_rng, split_indices

LONGEST, FEWEST = 501, 5
"""Of a user's events: the last 500 and the one they lead to; and who has fewer than so many isn't used."""

UNKNOWN = 0
"""The item that stands for all that training doesn't have."""

SHARES = (0.8, 0.1)


@dataclass(frozen=True, eq=False)
class Histories:
    """`users` by split, each an array of items from 1 to `items` − 1, or 0 for one that no user of training has; `source` in words."""

    source: str
    users: dict[Split, list[np.ndarray]]
    items: int

    @cached_property
    def counts(self) -> np.ndarray:
        """How often training has each item (items)."""
        return np.bincount(np.concatenate(self.users["train"]), minlength=self.items)

    @cached_property
    def lengths(self) -> np.ndarray:
        """How many items each user of training has."""
        return np.array([len(user) for user in self.users["train"]])

    @cached_property
    def repeats(self) -> bool:
        """Return whether a user of training has any item twice: if not, no item that was seen need be recommended."""
        return any(len(np.unique(user)) < len(user) for user in self.users["train"])


def read_histories(path: Path) -> Histories:
    """Read the histories of a ratings.dat. Items are numbered as training has them, the most frequent first."""
    everyone = ratings.read_ratings(path)
    kept = [user[-LONGEST:] for user in everyone if len(user) >= FEWEST]
    if len(kept) < 10:
        raise UsageError(
            f"{path}: {len(kept)} of its {len(everyone)} users have {FEWEST} items or more: training, validation and test need 10 together"
        )
    rows = split_indices(make_rng(0, 7).permutation(len(kept)), SHARES)
    popular = Counter(item for k in rows["train"] for item in kept[k]).most_common()
    number = {item: k for k, (item, _) in enumerate(popular, start=1)}
    users = {split: [renumber(kept[k], number) for k in rows[split]] for split in rows}
    source = f"{path.name}: {len(kept):,} of {len(everyone):,} users, those with {FEWEST} items or more"
    return Histories(source, users, len(popular) + 1)


def renumber(user: Sequence[str], number: dict[str, int]) -> np.ndarray:
    return np.array([number.get(item, UNKNOWN) for item in user])


def draw_histories(users: int, length: int, items: int) -> Histories:
    """Draw the histories of the synthetic click stream: `users` of `length` items and the one they lead to, out of `items`."""
    stream = clicks.draw_sessions(users, length + 1, items, make_rng(0, 8)) + 1
    rows = split_indices(make_rng(0, 9).permutation(users), SHARES)
    found = {split: list(stream[rows[split]]) for split in rows}
    return Histories(f"synthetic click stream: {users:,} users of {length + 1} clicks among {items:,} items", found, items + 1)
