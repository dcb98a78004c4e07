"""Generates a synthetic click stream: sessions from Zipf's law and a Markov chain, with long-term structure.

A user has one of several interests at a time and rarely changes it. An interest prefers a part of the catalogue, in which items are
chosen by Zipf's law. Often the next item is the usual successor of the last, independent of the user. Sometimes a user returns to the
item of BACK steps ago, which no transition between two items can predict.
"""

import numpy as np

FOLLOWS, RETURNS, CHANGES = 0.35, 0.15, 0.02
"""The probabilities, in each step, of the usual successor, of the item of `BACK` steps ago, and of another interest."""
BACK, INTERESTS, EXPONENT = 5, 20, 1.1


def draw_sessions(users: int, length: int, items: int, rng: np.random.Generator) -> np.ndarray:
    """Returns random sessions (users, length) of items from 0 to `items` − 1.

    Args:
        users: The number of users.
        length: The number of clicks of each.
        items: The number of items.
        rng: The generator.
    """
    interest = rng.integers(0, INTERESTS, users)
    clicked = np.empty((users, length), dtype=np.int64)
    for t in range(length):
        interest = np.where(rng.random(users) < CHANGES, rng.integers(0, INTERESTS, users), interest)
        chosen = preferred_items(interest, draw_zipf(rng.random(users), items), items)
        what = rng.random(users)
        if t:
            chosen = np.where(what < FOLLOWS, following_items(clicked[:, t - 1], items), chosen)
        if t >= BACK:
            chosen = np.where(what > 1 - RETURNS, clicked[:, t - BACK], chosen)
        clicked[:, t] = chosen
    return clicked


def draw_zipf(uniform: np.ndarray, items: int) -> np.ndarray:
    """Returns ranks from 0 with probability about (rank + 1)^−EXPONENT, by the inverse of the continuous law on [1, items + 1)."""
    power = 1 - EXPONENT
    ranks = (1 + uniform * ((items + 1.0) ** power - 1)) ** (1 / power)
    return np.minimum(ranks.astype(np.int64) - 1, items - 1)


def preferred_items(interest: np.ndarray, rank: np.ndarray, items: int) -> np.ndarray:
    """Returns the items that interests place at these ranks; each interest starts at a different item."""
    return (rank + interest * (items // INTERESTS)) % items


def following_items(item: np.ndarray, items: int) -> np.ndarray:
    """Returns the usual successors of items, by Knuth's multiplicative hash, so that successors of neighbouring items are unrelated."""
    return (item * 2654435761 + 40503) % items
