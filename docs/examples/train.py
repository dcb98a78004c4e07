"""A training: handwritten digits, of which a GRU reads a row of pixels at each step. Needs scikit-learn."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from kernels import RNN

STEPS = 60


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = RNN("gru", input_size=8, hidden_size=64)
        self.out = nn.Linear(64, 10)

    def forward(self, rows):
        return self.out(self.rnn(rows)[0][-1])


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    rows = torch.tensor(digits.images, dtype=torch.float32).transpose(0, 1) / 16  # (T=8, examples, D=8)
    names = torch.tensor(digits.target)
    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        batch = torch.randint(1500, (128,))
        optimizer.zero_grad()
        F.cross_entropy(model(rows[:, batch]), names[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        right = (model(rows[:, 1500:]).argmax(1) == names[1500:]).float().mean()
    assert right > 0.8
    print(f"{right:.0%} of the last 297 digits after {STEPS} steps")


if __name__ == "__main__":
    main()
