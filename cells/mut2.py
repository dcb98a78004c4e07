"""MUT2: Jozefowicz, Zaremba & Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015, section 3.3.

    z_t = σ(W_xz x_t + W_hz h_{t-1} + b_z)
    r_t = σ(x_t + W_hr h_{t-1} + b_r)
    h_t = tanh(W_hh (r_t ⊙ h_{t-1}) + W_xh x_t + b_h) ⊙ z_t + h_{t-1} ⊙ (1 - z_t)

The second of three variants of the GRU that a search over 10,000 architectures found. The reset gate uses x elementwise, so D = H.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Jozefowicz et al. 2015", parameters="2*H*D + 3*H**2 + 3*H")
def mut2(h, x, W, b):
    z = sigmoid(W.zx(x) + W.zh(h) + b.z)
    r = sigmoid(x + W.rh(h) + b.r)
    return tanh(W.hh(r * h) + W.hx(x) + b.h) * z + h * (1 - z)
