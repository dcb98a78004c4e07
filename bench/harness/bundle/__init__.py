"""A bundle for a machine that can install nothing: wheels, compiled kernels, and the commit that it runs."""
