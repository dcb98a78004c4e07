"""The linear recurrent unit with real eigenvalues: Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023
(2303.06349).

    λ = exp(-exp(ν))
    h_t = λ ⊙ h_{t-1} + exp(γ) ⊙ (B x_t)

0 < λ < 1 for any ν. The readout C h_t + D x_t is a linear layer after this one. Initially λ² is spread evenly over (0, 1), where the paper
draws it, and exp(γ) = √(1 - λ²), so that no h_t is larger than another for want of a fading memory; γ is trained on its own.
"""

import torch

from cells.grammar.cell import cell
from cells.grammar.functions import exp
from cells.grammar.initializers import Normal


def spread(H: int) -> torch.Tensor:
    """Returns the initial λ² of H units."""
    return (torch.arange(H, dtype=torch.float64) + 0.5) / H


@cell(
    paper="Orvieto et al. 2023, real",
    parameters="H*D + 2*H",
    init={
        "W.b": Normal(1.0),
        "p.nu": lambda v: v.copy_((-0.5 * spread(len(v)).log()).log()),
        "p.gamma": lambda v: v.copy_(0.5 * (1 - spread(len(v))).log()),
    },
)
def lru_real(h, x, W, p):
    return exp(-exp(p.nu)) * h + exp(p.gamma) * W.b(x)
