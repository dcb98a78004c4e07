"""What a run measures, and the processes that do it."""
