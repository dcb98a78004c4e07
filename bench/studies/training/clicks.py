"""A synthetic click stream: sessions of Zipf's law and of Markov's, with something to remember.

A user has one of several interests at a time and seldom another; an interest prefers a part of the catalogue, in which items are chosen
by Zipf's law. Often the next item is the one that usually follows, whatever the user; sometimes a user goes back to what was clicked
some steps ago, which no transition between two items tells.
"""

import numpy as np

FOLLOWS, RETURNS, CHANGES = 0.35, 0.15, 0.02
"""In a step: the usual next item, the item of `BACK` steps ago, another interest."""
BACK, INTERESTS, EXPONENT = 5, 20, 1.1


def draw_sessions(users: int, length: int, items: int, rng: np.random.Generator) -> np.ndarray:
    """(users, length) items from 0 to `items` − 1."""
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
    """Ranks from 0 with probability about (rank + 1)^−EXPONENT, by the inverse of the continuous law on [1, items + 1)."""
    power = 1 - EXPONENT
    ranks = (1 + uniform * ((items + 1.0) ** power - 1)) ** (1 / power)
    return np.minimum(ranks.astype(np.int64) - 1, items - 1)


def preferred_items(interest: np.ndarray, rank: np.ndarray, items: int) -> np.ndarray:
    """The item that an interest ranks so: each begins at a place of its own."""
    return (rank + interest * (items // INTERESTS)) % items


def following_items(item: np.ndarray, items: int) -> np.ndarray:
    """The item that usually follows: Knuth's multiplicative hash, so that neighbours have nothing in common."""
    return (item * 2654435761 + 40503) % items
