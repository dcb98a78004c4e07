"""`bench scale` on a rank that dies: the last one, by SIGKILL, as it comes to its second size."""

import os
import signal

from bench import cli
from bench.harness import scaling_experiment

measure = scaling_experiment.measure_scaling


def dying(work, scaling, count, ranks):
    if count == ranks.world and ranks.rank == ranks.world - 1 and scaling == "weak":
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(work, scaling, count, ranks)


scaling_experiment.measure_scaling = dying
cli.main()
