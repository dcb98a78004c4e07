"""Defines a piece: one measurement of a signal study."""

from collections.abc import Callable

from bench.records import DecayRecord, GradientRecord, JacobianRecord, MapRecord, ParallelRecord, TheoryRecord

SignalRecord = GradientRecord | JacobianRecord | TheoryRecord | MapRecord | DecayRecord | ParallelRecord
Piece = tuple[str, Callable[[], SignalRecord]]
"""A line for progress, and the function that measures."""
