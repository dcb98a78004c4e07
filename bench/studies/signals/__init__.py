"""How signals travel through a cell: gradients, Jacobians, their mean-field theory, and chaos."""
