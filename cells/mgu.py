"""The minimal gated unit: Zhou, Wu, Zhang & Zhou, "Minimal gated unit for recurrent neural networks", IJAC 2016 (1603.09420).

    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)
    h̃_t = tanh(W_h x_t + U_h (f_t ⊙ h_{t-1}) + b_h)
    h_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ h̃_t

One gate is both the forget and the reset gate. The second product depends on the first: a step has two stages.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Zhou et al. 2016", parameters="2*(H*D + H**2 + H)")
def mgu(h, x, W, b):
    f = sigmoid(W.fx(x) + W.fh(h) + b.f)
    n = tanh(W.nx(x) + W.nh(f * h) + b.n)
    return (1 - f) * h + f * n
