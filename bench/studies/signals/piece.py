"""One measurement of a study of signals."""

from collections.abc import Callable

from bench.records import DecayRecord, GradientRecord, JacobianRecord, MapRecord, TheoryRecord

SignalRecord = GradientRecord | JacobianRecord | TheoryRecord | MapRecord | DecayRecord
Piece = tuple[str, Callable[[], SignalRecord]]
"""What is measured, in words, and the function that measures it."""
