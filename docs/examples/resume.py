"""A training script written for nn.LSTM, with one line changed: it goes on from a checkpoint that nn.LSTM wrote, optimizer included.

An LSTM reads a row of pixels of a handwritten digit at each step. Needs scikit-learn.
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from kernels import LSTM  # was: from torch.nn import LSTM


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = LSTM(8, 32, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.out = nn.Linear(64, 10)
        for name, parameter in self.rnn.named_parameters():
            if "bias_hh" in name:  # the forget gate starts open
                nn.init.ones_(parameter.data[32:64])

    def forward(self, rows):
        return self.out(self.rnn(rows)[0][:, -1])


def train(steps: int, checkpoint: Path | None = None) -> list[float]:
    """Trains up to a number of steps, from the checkpoint if there is one, and returns the losses."""
    torch.manual_seed(0)
    digits = load_digits()
    rows = torch.tensor(digits.images).to(torch.get_default_dtype()) / 16  # (examples, T=8, D=8)
    names = torch.tensor(digits.target)
    model = Reader()
    decayed = [p for name, p in model.named_parameters() if "bias" not in name]
    others = [p for name, p in model.named_parameters() if "bias" in name]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=5e-3)
    first, losses = 0, []
    if checkpoint and checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    for step in range(first, steps):
        torch.manual_seed(step)
        batch = torch.randint(1500, (64,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(rows[batch]), names[batch])
        loss.backward()
        clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    if checkpoint:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": steps}, checkpoint)
    return losses


if __name__ == "__main__":
    losses = train(60, Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    print(f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} after {len(losses)} steps")
