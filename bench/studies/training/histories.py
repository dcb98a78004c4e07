"""Reads or draws histories of items: what each user chose, in order, split by user into training, validation and test data."""

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
"""The largest number of items kept for each user, the last 500 and the one they predict; and the fewest items of a user who is included."""

UNKNOWN = 0
"""The item that represents all items missing from the training data."""

SHARES = (0.8, 0.1)


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories of users.

    Attributes:
        source: The data's source in words.
        users: The items of each user, by split: numbers from 1 to `items` − 1, or 0 for an item that no training user has.
        items: The number of items, with item 0.
    """

    source: str
    users: dict[Split, list[np.ndarray]]
    items: int

    @cached_property
    def counts(self) -> np.ndarray:
        """Returns the count of each item in the training data, (items,)."""
        return np.bincount(np.concatenate(self.users["train"]), minlength=self.items)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Returns the number of items of each training user."""
        return np.array([len(user) for user in self.users["train"]])

    @cached_property
    def repeats(self) -> bool:
        """Returns whether any training user has an item twice. If not, an item that was seen need not be recommended."""
        return any(len(np.unique(user)) < len(user) for user in self.users["train"])


def read_histories(path: Path) -> Histories:
    """Reads histories from a ratings.dat. Items are numbered by their count in the training data, the most frequent first.

    Args:
        path: The file.

    Raises:
        UsageError: The file is invalid, or has too few users.
    """
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
    """Draws histories from the synthetic click stream.

    Args:
        users: The number of users.
        length: The number of items of each, in addition to the one they predict.
        items: The number of items.
    """
    stream = clicks.draw_sessions(users, length + 1, items, make_rng(0, 8)) + 1
    rows = split_indices(make_rng(0, 9).permutation(users), SHARES)
    found = {split: list(stream[rows[split]]) for split in rows}
    return Histories(
        f"synthetic click stream of {clicks.THEMES} themes: {users:,} users of {length + 1} clicks among {items:,} items", found, items + 1
    )
