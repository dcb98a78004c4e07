"""Planted faults: what the tests must find, one at a time."""
