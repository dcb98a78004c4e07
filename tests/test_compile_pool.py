"""Processes that compile end with the one that started them."""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.harness.compile_pool import make_pool

ROOT = Path(__file__).parents[1]

POOL = """
import os, time
from bench.harness.compile_pool import make_pool
if __name__ == "__main__":
    with make_pool(1) as workers:
        print(workers.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


def test_no_process_outlives_the_one_that_started_it(tmp_path):
    (tmp_path / "started.py").write_text(POOL)
    command = [sys.executable, str(tmp_path / "started.py")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        process.kill()
    end = time.monotonic() + 30
    while (stat := Path(f"/proc/{worker}/stat")).exists() and ") Z " not in stat.read_text():
        assert time.monotonic() < end, "it waits for work"
        time.sleep(0.1)


def test_work_that_goes_on_is_given_up():
    begin = time.monotonic()
    with make_pool(1) as workers:
        running = workers.submit(time.sleep, 600)
        while not running.running():
            time.sleep(0.01)
    assert time.monotonic() - begin < 30
