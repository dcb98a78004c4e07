"""Phased LSTM: Neil, Pfeiffer & Liu, NeurIPS 2016 (1610.09513), eq. 2-10: an LSTM with peepholes whose units open and close in time.

    φ_t = ((t - s) mod τ) / τ
    k_t = 2 φ_t / r for φ_t < r/2,  2 - 2 φ_t / r for r/2 ≤ φ_t < r,  α φ_t otherwise
    i_t = σ(W_ix x_t + W_ih h_{t-1} + w_i ⊙ c_{t-1} + b_i)        c̃_t = f_t ⊙ c_{t-1} + i_t ⊙ tanh(W_cx x_t + W_ch h_{t-1} + b_c)
    f_t = σ(W_fx x_t + W_fh h_{t-1} + w_f ⊙ c_{t-1} + b_f)        c_t = k_t ⊙ c̃_t + (1 - k_t) ⊙ c_{t-1}
    o_t = σ(W_ox x_t + W_oh h_{t-1} + w_o ⊙ c̃_t + b_o)            h_t = k_t ⊙ o_t ⊙ tanh(c̃_t) + (1 - k_t) ⊙ h_{t-1}

t is the number of the step. A unit is open for the part r of its period τ, which is drawn from exp(U(0, 3)); s shifts it. r and the leak
α are the paper's 0.05 and 0.001.
"""

from torch import Tensor

from cells.grammar.cell import cell
from cells.grammar.functions import floor, sigmoid, tanh, time, where

OPEN, LEAK = 0.05, 0.001


def draw_periods(periods: Tensor) -> None:
    """Fills a vector from exp(U(0, 3)) in place."""
    periods.uniform_(0.0, 3.0).exp_()


@cell(paper="Neil et al. 2016", parameters="4*(H*D + H**2 + H) + 5*H", init={"p.period": draw_periods, "p.shift": (0.0, 1.0)})
def phased_lstm(h, c, x, W, b, p):
    turns = (time() - p.shift) / p.period
    phase = turns - floor(turns)
    k = where(phase < OPEN / 2, 2 * phase / OPEN, where(phase < OPEN, 2 - 2 * phase / OPEN, LEAK * phase))
    i = sigmoid(W.ix(x) + W.ih(h) + p.i * c + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + p.f * c + b.f)
    new = f * c + i * tanh(W.cx(x) + W.ch(h) + b.c)
    o = sigmoid(W.ox(x) + W.oh(h) + p.o * new + b.o)
    return k * o * tanh(new) + (1 - k) * h, k * new + (1 - k) * c
