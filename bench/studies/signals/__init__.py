"""Measures how signals propagate through a cell: gradients, Jacobians, their mean-field theory, and chaos."""
