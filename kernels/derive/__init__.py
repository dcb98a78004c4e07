"""Derives a cell's graph, plan and gradient from its function."""
