"""Training a cell on several ranks: data-parallel, by torch.distributed."""
