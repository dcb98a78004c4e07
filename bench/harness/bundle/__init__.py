"""Makes a bundle for a machine that can't install packages: wheels, compiled kernels, and the commit of the sources."""
