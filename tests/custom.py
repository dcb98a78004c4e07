"""Cells that a user might write, each for a corner of the grammar that the cells of the project leave out."""

from cells.grammar.cell import Cell
from cells.grammar.functions import exp, hard_sigmoid, hard_tanh, log, maximum, minimum, prev, sigmoid, silu, softplus, sqrt, tanh, where


def peephole(h, c, x, W, b, p):
    """Vectors p in the loop, one of them on the new state."""
    i = sigmoid(W.ix(x) + W.ih(h) + p.i * c + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + p.f * c + b.f)
    c = f * c + i * tanh(W.gx(x) + W.gh(h) + b.g)
    o = sigmoid(W.ox(x) + W.oh(h) + p.o * c + b.o)
    return o * tanh(c), c


def independent(h, x, W, b, p):
    """No product in the loop: each unit sees only itself (IndRNN)."""
    return tanh(W.x(x) + p.h * h + b.h)


def second_order(h, before, x, W, b):
    """Three shapes of next state: computed, and passed on as it is."""
    return tanh(W.x(x) + W.h(h) + W.before(before) + b.h), h


def crossed(h, c, d, x, W, b):
    """Three states that trade places, the output one of them."""
    return c, d, tanh(W.h(h) + W.d(d) * c + W.x(x) + b.h)


def twins(h, c, x, W, b):
    """One value for both next states."""
    n = tanh(W.x(x) + W.h(h) + W.c(c) + b.h)
    return n, n


def fed(h, c, x, W, b):
    """A next state that no state reaches: all of it hoisted."""
    return tanh(W.x(x) + W.h(h) + c + b.h), W.c(x) + b.c


def squashed(h, x, W, b):
    """Matrices on elementwise functions of the state: one argument is computed in front of the products, one is the state."""
    return tanh(W.x(x) + W.tanh(tanh(h)) + W.square(h**2) + W.h(h) + b.h)


def nested(h, x, W, b):
    """The reset gate twice: three stages."""
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    s = sigmoid(W.sx(x) + W.sh(r * h) + b.s)
    n = tanh(W.nx(x) + W.nh(s * h) + b.n)
    return r * n + (1 - r) * h


def transition(h, x, W, b):
    """A layer four deep in each step, its matrix tied: as many stages, and only the last of them is read."""
    for _ in range(4):
        h = tanh(W.h(h) + W.x(x) + b.h)
    return h


def fed_argument(h, x, W, b):
    """A product whose argument mixes a state, a recurrent product and a hoisted value."""
    return tanh(W.n(h * W.m(h) + W.q(x)) + W.x(x) + b.n)


def coupled(h, x, W, b):
    """x and h unit by unit, which takes D = H."""
    return tanh(W.h(h) + x) * sigmoid(x * h + b.h)


def rational(h, x, W, b):
    """Division, powers, negation and constants on either side."""
    return -(W.h(h) + W.x(x)) / (1 + h**2) - 2 / (3 + h * h) + 0.25 * b.h


def reused(h, x, W, b):
    """A product, and a hoisted value, that are read in several places."""
    a, r = W.x(x), W.h(h)
    return tanh(r + a + b.a) * sigmoid(r + b.q) * a


def tied(h, c, x, W, b):
    """One matrix on two states: tied, and its gradients add."""
    return tanh(W.u(h) + c), sigmoid(W.u(c)) * tanh(W.x(x) + b.c)


def tied_input(h, x, W, b):
    """One matrix in front of the loop and in it."""
    z = tanh(W.z(x) + b.z)
    return tanh(W.u(h) + W.u(z) + b.u) * z


def namesakes(h, x, W, b, p):
    """A matrix, a bias, a vector and a state of one name, all of them in the loop."""
    return tanh(W.h(h) + b.h) * p.h + W.x(x)


def shadowed(h, x, W, b, p):
    """A value that the equations call what a vector is called."""
    forget = tanh(p.a)
    return forget * tanh(W.h(h) + b.h) + p.forget * h * W.x(x)


def keywords(h, x, W, b):
    """Names that mean something to C++ or to the code around the loop."""
    new = tanh(W.new(x) + W.auto(h) + b.double)
    step = sigmoid(W.step(x) + W.load(h) + b.t0)
    return step * new + (1 - step) * h


def gated_vectors(h, x, W, b, p):
    """Vectors alone under a function: a value that neither state nor input reaches."""
    return sigmoid(p.g) * tanh(W.h(h)) + tanh(p.f + 1) * W.x(x) + b.h


def autonomous(h, x, W, b):
    """Nothing reads the input."""
    return tanh(W.h(h) + b.h)


def learned_bias(h, x, W, b):
    """A bias under a function, which is a number where `bias=False`."""
    return sigmoid(b.g) * tanh(W.h(h) + W.x(x))


def reset_to_vector(h, c, x, W, b, p):
    """A next state that is a vector, the same for every row."""
    return tanh(W.h(h) + W.x(x) + c), p.c


def reset_to_number(h, c, x, W, b):
    """A next state that is a number."""
    return tanh(W.h(h) + W.x(x) + c), 0.5


def chosen(h, c, k, x, W, b, p):
    """Three states, two products, an elementwise weight, and choices by what is in the loop and by what is in front of it."""
    k = where(W.h(h) + b.h > c, hard_tanh(k + p.k), 0.5 * c)
    c = where(W.x(x) >= 0, maximum(c, 0.1 * h), minimum(c, k)) + softplus(W.c(c) - b.c)
    return tanh(c) * hard_sigmoid(p.h * h), 0.5 * c, k


def smooth(h, c, x, W, b):
    """Every function that has no kink but far from it, on values where it is finite."""
    n = log(1 + exp(W.x(x) + W.h(h))) * silu(c)
    return n / sqrt(1 + n**2), abs(2 + sigmoid(W.c(c) + b.c)) ** -2


def delayed(h, x, W, b):
    """The input and the one before it, each in a product that joins a recurrent one, and in a value that the step reads."""
    z = W.z(prev(x)) * W.y(x)
    return tanh(W.h(h) + W.x(prev(x)) + b.h) * sigmoid(W.g(h) + W.q(x) + W.r(prev(x))) + 0.5 * z


def delayed_units(h, x, W, b):
    """The input before, unit by unit, which takes D = H."""
    return tanh(W.h(h) + prev(x)) * sigmoid(x * prev(x) + b.h)


def scaled(h, c, x, W, b, p, s):
    """Scalars in the loop and in front of it, under a function, on a vector, and as a next state."""
    a = exp(s.a) * tanh(W.h(s.h * h) + W.x(s.x * x) + s.c)
    return a + s.d * p.d * c + s.y * W.y(x) + b.h, s.next - c / s.q


def rotating(h, c, x, W, b, p):
    """Two states, affine in both, with a choice in a coefficient and an elementwise weight; no product in the loop."""
    f, n = sigmoid(W.f(x) + b.f), W.n(x)
    g = where(n > 0, 0.5 * tanh(n), minimum(f, 0.3))
    return f * h - g * c + maximum(n, 0.1 * f), f * c + g * h + p.c * h * 0.1


def bounded(h, c, x, W, b, p):
    """Two states with choices that they decide, so not affine, and no product in the loop."""
    n = maximum(p.h * h + W.n(x) + b.n, 0.1 * c)
    return where(c > n, tanh(n), 0.5 * h + n), minimum(c, n) + hard_sigmoid(W.c(x) - c)


def decaying(h, c, x, W, b):
    """An output that nothing reads, of a state that is affine (QRNN without its width)."""
    f = sigmoid(W.f(x) + b.f)
    c = f * c + (1 - f) * tanh(W.z(x))
    return sigmoid(W.o(x)) * c, c


def forgetful(h, x, W, b):
    """No state is read: every step is on its own."""
    return tanh(W.x(x) + b.h) * sigmoid(W.g(x))


CELLS = {
    step.__name__: Cell(step)
    for step in (
        peephole, independent, second_order, crossed, twins, fed, squashed, nested, transition, fed_argument, coupled, rational, reused,
        tied, tied_input, namesakes, shadowed, keywords, gated_vectors, autonomous, learned_bias, reset_to_vector, reset_to_number,
        chosen, smooth, delayed, delayed_units, scaled, rotating, bounded, decaying, forgetful,
    )
}  # fmt: skip

ELEMENTWISE = ("independent", "rotating", "bounded", "decaying", "forgetful")
"""Those without a product in the loop."""
