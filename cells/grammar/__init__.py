"""The language of a cell's equations."""
