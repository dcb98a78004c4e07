"""sLSTM: Beck et al., "xLSTM: Extended long short-term memory", NeurIPS 2024 (2405.04517), eq. 8-17, in its stabilised form.

    z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)        o_t = σ(W_o x_t + R_o h_{t-1} + b_o)
    ĩ_t = W_i x_t + R_i h_{t-1} + b_i              f̃_t = W_f x_t + R_f h_{t-1} + b_f,  f_t = σ(f̃_t)
    m_t = max(log f_t + m_{t-1}, ĩ_t)              i'_t = exp(ĩ_t - m_t),  f'_t = exp(log f_t + m_{t-1} - m_t)
    c_t = f'_t ⊙ c_{t-1} + i'_t ⊙ z_t              n_t = f'_t ⊙ n_{t-1} + i'_t
    h_t = o_t ⊙ c_t / n_t

Each R is block-diagonal with four heads, the default of the authors' code: a head mixes only its own units. Of the paper's two forget
gates this is the sigmoid. The initial states are h = c = n = 0 and m = -∞, so that m_1 = ĩ_1, as in their code: with m = 0 and a first ĩ
far below 0, n would stay 0. n is a sum of gates and can't be negative: random states draw it from U(1, 2).
"""

import math

from cells.grammar.cell import cell
from cells.grammar.functions import exp, maximum, sigmoid, softplus, tanh


@cell(
    paper="Beck et al. 2024, 4 heads",
    parameters="4*(H*D + H**2/4 + H)",
    domain={"n": (1.0, 2.0)},
    heads={"W.zh": 4, "W.oh": 4, "W.ih": 4, "W.fh": 4},
    start={"m": -math.inf},
)
def slstm(h, c, n, m, x, W, b):
    z = tanh(W.zx(x) + W.zh(h) + b.z)
    o = sigmoid(W.ox(x) + W.oh(h) + b.o)
    i = W.ix(x) + W.ih(h) + b.i
    log_f = -softplus(-(W.fx(x) + W.fh(h) + b.f))
    m_new = maximum(log_f + m, i)
    i = exp(i - m_new)
    f = exp(log_f + m - m_new)
    c = f * c + i * z
    n = f * n + i
    return o * c / n, c, n, m_new
