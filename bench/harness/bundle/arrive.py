"""Checks a bundle on the machine where it arrived. If its kernels aren't found there, it compiles them."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.harness.bundle import compile_list, launchers
from bench.harness.bundle.compile_list import Tell
from bench.harness.bundle.kernel_list import KernelWork, parse_lines, select_samples
from bench.harness.bundle.pack import FOLDER, Manifest


@dataclass(frozen=True)
class Bundle:
    """The content of a bundle that its check needs: its manifest, and the kernels that it was made from."""

    manifest: Manifest
    works: list[KernelWork]


def read_bundle(path: Path) -> Bundle:
    """Reads the manifest and the kernel list of a bundle.

    Args:
        path: The bundle's file, or the folder that it was unpacked to.

    Raises:
        UsageError: The path is not a bundle.
    """
    try:
        if path.is_dir():
            manifest, listed = ((path / name).read_text() for name in ("manifest.json", "list.jsonl"))
        else:
            with tarfile.open(path) as tar:
                manifest, listed = (read_member(tar, name) for name in ("manifest.json", "list.jsonl"))
        return Bundle(Manifest(**json.loads(manifest)), parse_lines(listed))
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is no bundle: {error}") from None


def read_member(tar: tarfile.TarFile, name: str) -> str:
    """Returns the text of a file in a bundle."""
    file = tar.extractfile(f"{FOLDER}/{name}")
    assert file is not None
    return file.read().decode()


def check_bundle(bundle: Bundle, processes: int, tell: Tell) -> bool:
    """Checks that one kernel of each kind is found in the cache under the bundle's key. If not, compiles all missing kernels of the list.

    Args:
        bundle: The bundle.
        processes: The number of processes that compile.
        tell: Called with a line that begins with "hit" or "miss" and compares a key, and with progress.

    Returns:
        Whether the kernels were found.

    Raises:
        UsageError: The bundle's list is empty.
    """
    manifest, cache = bundle.manifest, Path(bundle.manifest.cache)
    few = select_samples(bundle.works)
    if not few:
        raise UsageError("the bundle's list is empty: there are no kernels to check")
    tried = compile_list.compile_works(few, manifest.capability, cache, min(processes, len(few)), None, lambda words: None)
    keys = {str(work): (*tried.keys[work], tried.failed.get(work, ""))[0] for work in few}
    wrong = next((name for name in keys if keys[name] != manifest.keys.get(name)), None)
    name = wrong or next(iter(keys))
    words = f"{name} has the key {keys[name][:16]} here and {manifest.keys.get(name, 'none')[:16]} in the bundle"
    if not wrong and not tried.made:
        tell(f"hit: {words}, and is in {cache}")
        return True
    made_for = f"the bundle is of {manifest.commit[:10]} for Python {manifest.python} and triton {manifest.triton}"
    tell(f"miss: {words}; {made_for}" if wrong else f"miss: {words}, but {tried.made} kernels were not in {cache}")
    with launchers.find_libcuda() as libcuda:
        done = compile_list.compile_works(bundle.works, manifest.capability, cache, processes, libcuda, tell)
    tell(f"{done.made + tried.made} compiled into {cache}, {len(done.failed)} of {len(bundle.works)} failed")
    return False
