"""Renders records for a terminal, a report and other programs. Nothing here imports torch or triton."""
