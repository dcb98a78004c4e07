"""Maps cells to those of the package torchrecurrent with the same equations: its class, its options, and its parameters by ours.

Left out are its JANET, which has a second state and a trainable β, and cells that deviate from the paper that this project follows. Each is
compared with the float64 reference before it is timed, like every backend.
"""

from typing import Any

_ONE_BIAS = {"recurrent_bias": False}

PEERS: dict[str, tuple[str, dict[str, Any], dict[str, list[str]]]] = {
    "minimal": ("MinimalRNN", {}, {
        "weight_ih": ["W.z"], "bias_ih": ["b.z"], "weight_hh": ["W.uh"], "weight_mm": ["W.uz"], "bias_hh": ["b.u"],
    }),
    "cfn": ("CFN", {"bias": False}, {  # without the input bias, which the paper doesn't have
        "weight_ih": ["W.theta_x", "W.eta_x", "W.x"], "weight_hh": ["W.theta_h", "W.eta_h"], "bias_hh": ["b.theta", "b.eta"],
    }),
    "fastgrnn": ("FastGRNN", {"nonlinearity": "sigmoid", **_ONE_BIAS}, {  # its own default is a gate of tanh
        "weight_ih": ["W.ax"], "weight_hh": ["W.ah"], "bias_ih": ["b.z", "b.h"], "zeta": ["s.zeta"], "nu": ["s.nu"],
    }),
    "indrnn": ("IndRNN", {"nonlinearity": "relu", **_ONE_BIAS}, {"weight_ih": ["W.x"], "vector_u": ["p.u"], "bias_ih": ["b.h"]}),
    "ligru": ("LiGRU", _ONE_BIAS, {"weight_ih": ["W.zx", "W.nx"], "weight_hh": ["W.zh", "W.nh"], "bias_ih": ["b.z", "b.n"]}),
    "lstm_peephole": ("PeepholeLSTM", _ONE_BIAS, {
        "weight_ih": ["W.ix", "W.fx", "W.gx", "W.ox"], "weight_hh": ["W.ih", "W.fh", "W.gh", "W.oh"],
        "weight_ph": ["p.i", "p.f", "p.o"], "bias_ih": ["b.i", "b.f", "b.g", "b.o"],
    }),
    "mgu": ("MGU", _ONE_BIAS, {"weight_ih": ["W.fx", "W.nx"], "weight_hh": ["W.fh", "W.nh"], "bias_ih": ["b.f", "b.n"]}),
    "ugrnn": ("UGRNN", _ONE_BIAS, {"weight_ih": ["W.cx", "W.gx"], "weight_hh": ["W.ch", "W.gh"], "bias_ih": ["b.c", "b.g"]}),
}  # fmt: skip
