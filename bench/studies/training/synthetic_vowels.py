"""Synthetic vowels: a train of glottal pulses through the resonances of a vocal tract, with voices of many sizes (Fant 1960; Klatt 1980).

No recording is needed, and none whose licence is unclear. The resonances are the means that Hillenbrand, Getty, Clark & Wheeler 1995
measured of men; a voice is higher or lower in pitch, and its tract shorter or longer, as those of their speakers were.
"""

import numpy as np
from scipy.signal import lfilter

RATE = 10_000
"""Samples a second."""

FORMANTS = {"ae": (588, 1952, 2601), "ei": (476, 2089, 2691), "iy": (342, 2322, 3000)}
"""Hz, of the vowels in "had", "hayed" and "heed"."""

WIDTHS = (80, 110, 160)
"""Hz, of the resonances."""

PITCH = (100, 240)
LENGTH = (0.92, 1.15)
"""A voice's pitch in Hz, and what its resonances are multiplied by: from the longest tract to the shortest."""

SETTLED = 600
"""Samples in front of a window, in which the resonances come up."""


def synthesize_vowel(name: str, T: int, voice: np.random.Generator) -> np.ndarray:
    """T samples of a vowel by a voice drawn here, of mean square 1."""
    pitch, length = voice.uniform(*PITCH), voice.uniform(*LENGTH)
    phase = np.cumsum(np.full(T + SETTLED, pitch / RATE) * (1 + 0.01 * voice.standard_normal(T + SETTLED))) + voice.uniform()
    sound = np.diff(np.floor(phase), prepend=np.floor(phase[0])) + 0.01 * voice.standard_normal(T + SETTLED)
    sound = lfilter([1], [1, -0.9], sound)  # a pulse is no click: it falls by 6 dB an octave, radiation included
    for formant, width in zip(FORMANTS[name], WIDTHS, strict=True):
        radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * formant * length / RATE
        poles = [1, -2 * radius * np.cos(angle), radius**2]
        sound = lfilter([sum(poles)], poles, sound)
    sound = sound[SETTLED:] - sound[SETTLED:].mean()
    return sound / np.sqrt(np.mean(sound**2))
