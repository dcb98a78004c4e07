"""MUT3: Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015, section 3.3.

    z_t = σ(W_xz x_t + W_hz tanh(h_{t-1}) + b_z)
    r_t = σ(W_xr x_t + W_hr h_{t-1} + b_r)
    h_t = tanh(W_hh (r_t ⊙ h_{t-1}) + W_xh x_t + b_h) ⊙ z_t + h_{t-1} ⊙ (1 - z_t)

The third of three variants of the GRU that a search over 10,000 architectures found.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Jozefowicz et al. 2015", parameters="3*(H*D + H**2 + H)")
def mut3(h, x, W, b):
    z = sigmoid(W.zx(x) + W.zh(tanh(h)) + b.z)
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    return tanh(W.hh(r * h) + W.hx(x) + b.h) * z + h * (1 - z)
