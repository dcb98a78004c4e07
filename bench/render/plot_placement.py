"""Places the plots of a report: each in its section, the others at the top."""

from collections.abc import Sequence
from pathlib import Path

PLACES = {
    "throughput": (
        "## Training including the input projection",
        "Time steps per second over T, a panel for each cell and a line for each backend",
    ),
    "memory": ("## Memory", "Peak memory over T, a panel for each cell and a line for each backend"),
    "gradients": ("## Gradient norms", "Gradient norm over lag, a line for each cell"),
    "jacobians": ("## Jacobians", "Singular values of the Jacobian of the states over lag, a panel for each cell"),
    "theory": ("## Mean-field theory", "Measured growth of a perturbation over predicted growth, a colour for each cell"),
    "attractors": ("## Chaotic maps", "Points of two chaotic maps, and how two neighbours part over the first steps"),
    "silence": ("## Without input", "Distance of trajectories over time without input, a line for each cell"),
    "parallel": ("## Time in parallel", "Iterations over the Lyapunov exponent and over the coupling of units, a mark for each cell"),
    "scale": ("## Data-parallel training", "Efficiency over ranks, a line for each cell and scaling"),
    "learned": ("## What drives a unit's update", "Outputs, gates and what drives the updates of trained layers, a column for each cell"),
    "noise": ("## Robustness to noise", "Quality over the deviation of noise, a line for each cell"),
}
"""The heading of a plot's section, and its alternative text."""
HEADS = {
    "speeds": "Speed against torch.nn with its 95% interval, a row for each cell and a mark for each backend",
    "examples": "Quality over the number of examples, a line for each cell",
}


def place_plots(parts: Sequence[str], plots: Sequence[str], head: int) -> list[str]:
    """Returns the parts of a report with its plots, each after the caption under its heading; plots without a section stand before part
    `head`."""
    found = list(parts[:head])
    found += [link_image(plot) for plot in plots if PLACES.get(Path(plot).stem, ("",))[0] not in parts]
    waiting = ""
    for part in parts[head:]:
        found.append(part)
        if waiting and not part.startswith("#"):
            found += [link_image(plot) for plot in plots if PLACES.get(Path(plot).stem, ("",))[0] == waiting]
            waiting = ""
        elif part in {heading for heading, _ in PLACES.values()}:
            waiting = part
    return found


def link_image(plot: str) -> str:
    stem = Path(plot).stem
    described = PLACES[stem][1] if stem in PLACES else HEADS.get(stem, stem)
    return f"![{described}]({plot})"
