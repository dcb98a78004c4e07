"""The key of a kernel in Triton's cache is the same in every process, whatever else that process has compiled."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.offline import HERE

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")

PRINT_KEYS = """
import importlib, json, sys
from kernels.schedules.cache_keys import compute_keys
modules = [importlib.import_module(f"kernels.schedules.{name}") for name in sys.argv[1].split(",")]
for module in modules:
    compute_keys(module)
names = sys.argv[2].split(",")
found = {f"{module.__name__} {name}": vars(module)[name].cache_key for module in modules for name in names}
print(json.dumps(dict(sorted(found.items()))))
"""


@pytest.mark.full
@pytest.mark.parametrize("modules", [("persistent.time_loop", "stencil.stencil_kernels")])
def test_no_key_depends_on_the_order_of_compilation(modules):
    found = []
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"} | {"PYTHONPATH": str(HERE.parent)}
    for first, names in ((modules, "forward,backward"), (modules[::-1], "backward,forward")):
        command = [sys.executable, "-c", PRINT_KEYS, ",".join(first), names]
        found.append(json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout))
    assert found[0] == found[1] and len(set(found[0].values())) == 4
