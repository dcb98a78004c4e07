"""A launch for each step: products by cuBLAS, one kernel for the pointwise work."""
