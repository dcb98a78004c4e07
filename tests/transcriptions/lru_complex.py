"""The LRU: Orvieto et al. 2023 (2303.06349), in complex numbers, with θ = 2 arctan τ."""

import torch
from torch import Tensor

NAMES = {
    "nu": "p.nu", "tau": "p.tau", "gamma": "p.gamma", "B_re": "W.b_re", "B_im": "W.b_im", "C_re": "W.c_re", "C_im": "W.c_im", "D": "W.d",
}  # fmt: skip


def transcription(
    u: Tensor, y: Tensor, re: Tensor, im: Tensor, nu: Tensor, tau: Tensor, gamma: Tensor,
    B_re: Tensor, B_im: Tensor, C_re: Tensor, C_im: Tensor, D: Tensor,
) -> Tensor:  # fmt: skip
    rate = torch.exp(torch.complex(-torch.exp(nu), 2 * torch.atan(tau)))
    B, C, state = torch.complex(B_re, B_im), torch.complex(C_re, C_im), torch.complex(re, im)
    outputs = []
    for k in range(len(u)):
        state = rate * state + torch.exp(gamma) * (u[k].to(B.dtype) @ B.T)
        outputs.append((state @ C.T).real + u[k] @ D.T)
    return torch.stack(outputs)
