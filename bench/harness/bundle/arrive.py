"""A bundle where it arrived: are its kernels found here? If not, they are compiled here."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.harness.bundle import compile_list, launchers
from bench.harness.bundle.compile_list import Tell
from bench.harness.bundle.kernel_list import KernelWork, parse_line, select_samples
from bench.harness.bundle.pack import FOLDER, Manifest


@dataclass(frozen=True)
class Bundle:
    manifest: Manifest
    works: list[KernelWork]


def read_bundle(path: Path) -> Bundle:
    """The manifest and the list of a bundle: its file, or the folder it was unpacked to. Raises UsageError."""
    try:
        if path.is_dir():
            manifest, listed = ((path / name).read_text() for name in ("manifest.json", "list.jsonl"))
        else:
            with tarfile.open(path) as tar:
                manifest, listed = (read_member(tar, name) for name in ("manifest.json", "list.jsonl"))
        return Bundle(Manifest(**json.loads(manifest)), parse_line(listed))
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is no bundle: {error}") from None


def read_member(tar: tarfile.TarFile, name: str) -> str:
    file = tar.extractfile(f"{FOLDER}/{name}")
    assert file is not None
    return file.read().decode()


def check_bundle(bundle: Bundle, processes: int, tell: Tell) -> bool:
    """Say in a line whether a few kernels, one of each kind, are found, with a key here and in the bundle. If not, compile the whole
    list, as far as it isn't in the cache. Returns whether they were found."""
    manifest, cache = bundle.manifest, Path(bundle.manifest.cache)
    few = select_samples(bundle.works)
    if not few:
        raise UsageError("the bundle's list is empty: there is nothing to find")
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
