"""The simple recurrent unit: Lei, Zhang, Wang, Dai & Artzi, "Simple recurrent units for highly parallelizable recurrence", EMNLP 2018
(1709.02755v5), eq. 1-4.

    f_t = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f)        c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ (W x_t)
    r_t = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r)        h_t = r_t ⊙ c_t + (1 - r_t) ⊙ x_t

The highway connection uses x elementwise, so D = H. There is no recurrent product. The paper's scale α of x, for deep stacks, is 1.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid


@cell(paper="Lei et al. 2018", parameters="3*H*D + 4*H")
def sru(h, c, x, W, b, p):
    f = sigmoid(W.f(x) + p.f * c + b.f)
    r = sigmoid(W.r(x) + p.r * c + b.r)
    c = f * c + (1 - f) * W.x(x)
    return r * c + (1 - r) * x, c
