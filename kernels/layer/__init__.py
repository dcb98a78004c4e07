"""The `RNN` layer: argument checks, autograd, and the choice of a schedule."""
