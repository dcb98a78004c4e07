"""Inference on a stream: one time step a call, with the states of the call before."""

import torch

from kernels import RNN


def main() -> None:
    layer = RNN("lstm", input_size=16, hidden_size=32)
    x = torch.randn(100, 1, 16)  # (T, B, D)
    outputs, states = [], None
    with torch.no_grad():
        for step in x.unbind():
            y, states = layer(step[None], states)
            outputs.append(y)
        whole, _ = layer(x)
    error = (torch.cat(outputs) - whole).abs().max().item()
    assert error < 1e-5
    print(f"100 steps, one at a time: {error:.0e} from those of one call")


if __name__ == "__main__":
    main()
