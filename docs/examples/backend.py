"""A backend of one's own: a function from a problem to a workload, which a run checks and times beside the others."""

import torch

import cells
from bench.measure.backends import Unsupported, Workload, build_workload
from bench.measure.problem import Problem


def scripted(problem: Problem) -> Workload:
    """The equations of the LSTM, written out."""
    if problem.name != "lstm":
        raise Unsupported("knows the LSTM alone")
    weights = {name: value.clone().requires_grad_() for name, value in problem.weights.items()}

    def forward(inputs, states):
        h, c = states
        outputs = []
        for x in inputs[0]:
            both = torch.cat([x, h], 1)
            i, f, g, o = (both @ torch.cat([weights[f"W.{k}x"], weights[f"W.{k}h"]], 1).t() + weights[f"b.{k}"] for k in "ifgo")
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)

    x = problem.x.clone().requires_grad_()
    return Workload(problem, forward, [x], list(weights.values()), lambda gradients: dict(zip(weights, gradients)))


def main() -> None:
    problem = Problem("lstm", cells.load("lstm"), 5, 3, 4, 6, torch.float32, torch.device("cpu"), seed=0)
    found, reference = scripted(problem).answer(), build_workload("eager", problem).answer()
    error = max((found.gradients[name] - value).abs().max().item() for name, value in reference.gradients.items())
    assert error < 1e-5
    print(f"largest error of a gradient: {error:.0e}")


if __name__ == "__main__":
    main()
