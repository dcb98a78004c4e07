"""Plants every fault of `tests.planted.faults`, one at a time in a copy of the tree, and records which test finds it.

    python -m tests.planted.plant [--jobs 2] [--only NAME] [--out FILE] [--baseline]

The tests that a fault names run first, up to the first failure; where they find nothing, those of `make check`. Each fault makes one
JSON line, written when it is done. A fault that was found, and whose row and module haven't changed since, isn't planted again: another
FILE has all planted. Loops are built into a cache of the copy's own, where no fault spoils what others find.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tests.planted.faults import FAULTS, Fault, digest

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).with_name("found.json")
LIMIT = 300
"""Seconds for the tests of a fault, and again for those of `make check`."""


def copy_tree(work: Path) -> Path:
    """Copies what git knows to `work`/tree, with the built loops beside it, and checks that Python imports the copy there."""
    tree, built = work / "tree", work / "cache" / "recurrent-bench"
    for name in subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    built.mkdir(parents=True)
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / built.name
    for loop in kept.glob("*.so"):
        (built / loop.name).symlink_to(loop)
    script = f"import bench, cells, kernels; assert all(m.__file__.startswith({str(tree)!r}) for m in (bench, cells, kernels))"
    subprocess.run([sys.executable, "-c", script], cwd=tree, env=environment(tree), check=True)
    return tree


def environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree), "XDG_CACHE_HOME": str(tree.parent / "cache")}


def first_failure(tree: Path, arguments: list[str], limit: float = LIMIT) -> str | None:
    """Runs tests of a copy for at most `limit` seconds, and returns the first that fails: None where all pass, or time is up."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=tree, env=environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    if process.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.MULTILINE)
    if process.returncode >= 3 and not failed:
        raise RuntimeError(f"{shlex.join(command)} runs no tests:\n{said[-2000:]}")
    return failed[1] if failed else f"the process ends with {process.returncode}"


def check_arguments() -> list[str]:
    """Returns the files and options that `make check` gives to pytest."""
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = shlex.split((recipe[1] if recipe else "").replace("\\\n", " ").replace("$(ARGS)", ""))
    return words[words.index("-q") + 1 :]


def plant(fault: Fault, tree: Path) -> dict[str, Any]:
    """Plants a fault in a copy, runs its tests, and takes it out again. Returns its line."""
    module = tree / fault.module
    text = module.read_text()
    assert text.count(fault.old) == 1, f"{fault.name}: its old text is {text.count(fault.old)} times in {fault.module}"
    began = time.monotonic()
    module.write_text(text.replace(fault.old, fault.new))
    try:
        found = first_failure(tree, list(fault.tests)) or first_failure(tree, check_arguments())
    finally:
        module.write_text(text)
        for proof in (tree.parent / "cache" / "recurrent-bench").glob("proof-*"):
            proof.unlink()  # a spoiled one would pass ever after
    return {"name": fault.name, "row": fault.digest, "source": digest(text), "found": found, "seconds": round(time.monotonic() - began, 1)}


def read_lines(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the last line of every fault in a file, by name."""
    return {line["name"]: line for line in map(json.loads, path.read_text().splitlines())} if path.exists() else {}


def holds(fault: Fault, line: dict[str, Any]) -> bool:
    """Says whether a fault was found, and neither its row nor its module has changed since."""
    return bool(line["found"]) and (line["row"], line["source"]) == (fault.digest, digest((ROOT / fault.module).read_text()))


@click.command()
@click.option("--jobs", default=1, help="Faults at once. [1]")
@click.option("--only", multiple=True, metavar="NAME", help="The fault of this name, and again; several times for several.")
@click.option("--out", default=FOUND, type=Path, metavar="FILE", help="Where the lines go. [tests/planted/found.json]")
@click.option("--baseline", is_flag=True, help="Run the tests of all faults once without a fault: all must pass.")
def main(jobs: int, only: tuple[str, ...], out: Path, baseline: bool) -> None:
    """Plant faults, and tell which are found by which test."""
    known, trees = read_lines(out), SimpleQueue[Path]()
    with tempfile.TemporaryDirectory(prefix="planted-") as work, ThreadPoolExecutor(jobs) as pool:
        for k in range(jobs):
            trees.put(copy_tree(Path(work) / str(k)))
        if baseline:
            tests, tree = sorted({test for fault in FAULTS for test in fault.tests}), trees.get()
            raise SystemExit("\n".join(filter(None, (first_failure(tree, [test], 4 * LIMIT) for test in tests))) or 0)

        def run(fault: Fault) -> dict[str, Any]:
            tree = trees.get()
            try:
                return plant(fault, tree)
            finally:
                trees.put(tree)

        held = {fault.name for fault in FAULTS if fault.name in known and holds(fault, known[fault.name])}
        for line in pool.map(run, [fault for fault in FAULTS if (fault.name in only if only else fault.name not in held)]):
            with out.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            click.echo(f"{line['name']}: {line['found'] or 'NOT FOUND'} ({line['seconds']} s)", err=True)
    known |= read_lines(out)
    table, missed = Table("fault", "found by", "seconds"), []
    for fault in (fault for fault in FAULTS if not only or fault.name in only):
        line = known.get(fault.name, {"found": None, "seconds": ""})
        table.add_row(fault.name, line["found"] or ("not found" if fault.name in known else "not planted"), str(line["seconds"]))
        missed += [] if line["found"] else [fault.name]
    out.write_text("".join(json.dumps(known[fault.name]) + "\n" for fault in FAULTS if fault.name in known))
    Console().print(table)
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
