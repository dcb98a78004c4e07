"""The list of what a run measures, and the processes that measure it."""
