"""The stepwise schedule: cuBLAS products and one pointwise kernel in every time step."""
