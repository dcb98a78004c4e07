"""The layer: `RNN` and what it needs around a schedule."""
