"""The quasi-recurrent network with a window of two: Bradbury, Merity, Xiong & Socher, ICLR 2017 (1611.01576), eq. 2-4, fo-pooling.

    z_t = tanh(W¹_z x_{t-1} + W²_z x_t + b_z)        f_t = σ(W¹_f x_{t-1} + W²_f x_t + b_f)
    o_t = σ(W¹_o x_{t-1} + W²_o x_t + b_o)           c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ z_t
    h_t = o_t ⊙ c_t

Before the first step x is 0, as the paper pads its convolution. All gates are computed before the time loop; the recurrence is linear
in c. The biases are those of a convolution; the paper omits them.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import prev, sigmoid, tanh


@cell(paper="Bradbury et al. 2017, width 2", parameters="6*H*D + 3*H")
def qrnn(h, c, x, W, b):
    z = tanh(W.z1(prev(x)) + W.z2(x) + b.z)
    f = sigmoid(W.f1(prev(x)) + W.f2(x) + b.f)
    o = sigmoid(W.o1(prev(x)) + W.o2(x) + b.o)
    c = f * c + (1 - f) * z
    return o * c, c
