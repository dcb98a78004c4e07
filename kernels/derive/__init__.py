"""From a cell's function to its graph, its plan and its gradient."""
