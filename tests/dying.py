"""`bench scale` on a rank that dies: the last one, by SIGKILL, as it comes to its second size."""

import os
import signal

from bench import cli
from bench.scale import study

measure = study.measure


def dying(work, scaling, count, ranks):
    if count == ranks.world and ranks.rank == ranks.world - 1 and scaling == "weak":
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(work, scaling, count, ranks)


study.measure = dying
cli.main()
