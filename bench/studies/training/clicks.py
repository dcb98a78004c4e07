"""Generates a synthetic click stream that no transition between two items predicts: themes that a user returns to, and Zipf's law in each.

A user likes a few of the themes of a catalogue and rarely changes one of them. The next click is of a liked theme other than that of the
last click, so the last item says only which theme it is not: the liked ones are known from a history alone. A theme's items are chosen by
Zipf's law.
"""

import numpy as np

THEMES, LIKED, CHANGES, EXPONENT = 20, 3, 0.02, 1.1
"""The themes of the catalogue and those that a user likes, the probability in each step that another one takes the place of the theme at
hand, and the exponent of Zipf's law."""


def draw_sessions(users: int, length: int, items: int, rng: np.random.Generator) -> np.ndarray:
    """Returns random sessions (users, length) of items from 0 to `items` − 1; item i is of theme i mod THEMES.

    Args:
        users: The number of users.
        length: The number of clicks of each.
        items: The number of items.
        rng: The generator.
    """
    liked, everyone = rng.random((users, THEMES)).argsort(axis=1)[:, :LIKED], np.arange(users)
    at, clicked = rng.integers(0, LIKED, users), np.empty((users, length), dtype=np.int64)
    for t in range(length):
        at = (at + rng.integers(1, LIKED, users)) % LIKED
        new = rng.integers(0, THEMES, users)
        changed = (rng.random(users) < CHANGES) & (liked != new[:, None]).all(axis=1)
        liked[changed, at[changed]] = new[changed]
        clicked[:, t] = draw_zipf(rng.random(users), items // THEMES) * THEMES + liked[everyone, at]
    return clicked


def draw_zipf(uniform: np.ndarray, items: int) -> np.ndarray:
    """Returns ranks from 0 with probability about (rank + 1)^−EXPONENT, by the inverse of the continuous law on [1, items + 1)."""
    power = 1 - EXPONENT
    ranks = (1 + uniform * ((items + 1.0) ** power - 1)) ** (1 / power)
    return np.minimum(ranks.astype(np.int64) - 1, items - 1)
