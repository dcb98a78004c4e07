"""Synthesizes vowels: glottal pulses filtered by the resonances of a vocal tract, with many different voices (Fant 1960; Klatt 1980).

So no recording, and no licence for one, is needed. The resonances are the means that Hillenbrand, Getty, Clark & Wheeler 1995 measured
for men. Voices differ in pitch and in the length of the vocal tract, as their speakers' did.
"""

import numpy as np
from scipy.signal import lfilter

RATE = 10_000
"""Samples per second."""

FORMANTS = {"ae": (588, 1952, 2601), "ei": (476, 2089, 2691), "iy": (342, 2322, 3000)}
"""The resonance frequencies in Hz of the vowels in "had", "hayed" and "heed"."""

WIDTHS = (80, 110, 160)
"""The bandwidths of the resonances in Hz."""

PITCH = (100, 240)
LENGTH = (0.92, 1.15)
"""The range of a voice's pitch in Hz, and of the factor of its resonances, from the longest vocal tract to the shortest."""

SETTLED = 600
"""The samples before a window, in which the resonances build up."""


def synthesize_vowel(name: str, T: int, voice: np.random.Generator) -> np.ndarray:
    """Returns T samples of a vowel with mean square 1, by a random voice.

    Args:
        name: The vowel, a key of FORMANTS.
        T: The number of samples.
        voice: The generator of the voice.
    """
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
