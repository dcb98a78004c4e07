"""The linear recurrent unit: Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023 (2303.06349),
complex numbers as pairs of reals.

    λ = exp(-exp(ν) + iθ)
    s_t = λ ⊙ s_{t-1} + exp(γ) ⊙ (B x_t)          s, λ, B and C are complex
    y_t = Re(C s_t) + D x_t

|λ| < 1 for any ν. The phase is trained as τ = tan(θ/2), where the paper has exp(θ_log): cos θ = (1 - τ²) / (1 + τ²), sin θ = 2τ / (1 + τ²).
Initially |λ|² is spread evenly over (0, 1), where the paper draws it, exp(γ) = √(1 - |λ|²), and 0 < θ < π/10, the paper's for long
sequences; B and C are normal as in its code. The readout is a product with the new state, so a scan over time can't run this cell;
`lru_real` has none.
"""

import math

import torch

from cells.grammar.cell import cell
from cells.grammar.functions import exp
from cells.grammar.initializers import Normal


def spread(H: int) -> torch.Tensor:
    """Returns the initial |λ|² of H units."""
    return (torch.arange(H, dtype=torch.float64) + 0.5) / H


@cell(
    paper="Orvieto et al. 2023, complex",
    parameters="3*H*D + 2*H**2 + 3*H",
    init={
        "W": Normal(1.0), "W.b_re": Normal(math.sqrt(0.5)), "W.b_im": Normal(math.sqrt(0.5)),
        "p.nu": lambda v: v.copy_((-0.5 * spread(len(v)).log()).log()),
        "p.gamma": lambda v: v.copy_(0.5 * (1 - spread(len(v))).log()),
        "p.tau": (0.0, math.tan(math.pi / 20)),
    },
)  # fmt: skip
def lru_complex(y, re, im, x, W, p):
    size = exp(-exp(p.nu))
    cos = (1 - p.tau**2) / (1 + p.tau**2)
    sin = 2 * p.tau / (1 + p.tau**2)
    re_next = size * (cos * re - sin * im) + exp(p.gamma) * W.b_re(x)
    im_next = size * (sin * re + cos * im) + exp(p.gamma) * W.b_im(x)
    return W.c_re(re_next) - W.c_im(im_next) + W.d(x), re_next, im_next
