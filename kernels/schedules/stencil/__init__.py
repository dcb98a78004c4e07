"""The stencil schedule: cells whose units read their neighbours on a grid, in one launch for the whole sequence."""
