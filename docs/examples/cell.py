"""A cell of one's own: a function of its states, the input of one time step, and its trainable parameters."""

import torch

from cells.grammar.functions import sigmoid, tanh
from kernels import RNN


def gated(h, x, W, b):
    """An update gate and nothing else (Collins, Sohl-Dickstein & Sussillo 2017, 1611.09913: UGRNN)."""
    u = sigmoid(W.ux(x) + W.uh(h) + b.u)
    return u * h + (1 - u) * tanh(W.cx(x) + W.ch(h) + b.c)


def main() -> None:
    layer = RNN(gated, input_size=5, hidden_size=8)
    y, h = layer(torch.randn(7, 3, 5))  # (T, B, D)
    y.sum().backward()
    print(f"outputs {tuple(y.shape)}, last state {tuple(h.shape)}, parameters {', '.join(layer.weights())}")


if __name__ == "__main__":
    main()
