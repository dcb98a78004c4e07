"""Computes the numbers of reports from records: medians, speedups, verdicts, comparisons and histories."""
