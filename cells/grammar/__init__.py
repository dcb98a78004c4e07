"""The grammar of a cell's equations: its functions, parameters, grids and error messages."""
