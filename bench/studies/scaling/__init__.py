"""Measures data-parallel training of a cell on several ranks, with torch.distributed."""
