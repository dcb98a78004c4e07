"""MUT1: Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015, section 3.3.

    z_t = σ(W_xz x_t + b_z)
    r_t = σ(W_xr x_t + W_hr h_{t-1} + b_r)
    h_t = tanh(W_hh (r_t ⊙ h_{t-1}) + tanh(x_t) + b_h) ⊙ z_t + h_{t-1} ⊙ (1 - z_t)

The first of three variants of the GRU that a search over 10,000 architectures found. The candidate uses x elementwise, so D = H.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Jozefowicz et al. 2015", parameters="2*H*D + 2*H**2 + 3*H")
def mut1(h, x, W, b):
    z = sigmoid(W.zx(x) + b.z)
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    return tanh(W.hh(r * h) + tanh(x) + b.h) * z + h * (1 - z)
