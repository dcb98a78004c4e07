"""A bundle where it arrived: are its kernels found here? If not, they are compiled here."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from bench.bundle import launchers, warm
from bench.bundle.pack import FOLDER, Manifest
from bench.bundle.warm import Tell
from bench.bundle.work import Work, parse
from bench.settings import SettingsError


@dataclass(frozen=True)
class Bundle:
    manifest: Manifest
    works: list[Work]


def read(path: Path) -> Bundle:
    """The manifest and the list of a bundle: its file, or the folder it was unpacked to. Raises SettingsError."""
    try:
        if path.is_dir():
            manifest, listed = ((path / name).read_text() for name in ("manifest.json", "list.jsonl"))
        else:
            with tarfile.open(path) as tar:
                manifest, listed = (member(tar, name) for name in ("manifest.json", "list.jsonl"))
        return Bundle(Manifest(**json.loads(manifest)), parse(listed))
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise SettingsError(f"{path} is no bundle: {error}") from None


def member(tar: tarfile.TarFile, name: str) -> str:
    file = tar.extractfile(f"{FOLDER}/{name}")
    assert file is not None
    return file.read().decode()


def check(bundle: Bundle, processes: int, tell: Tell) -> bool:
    """Say whether the first kernel of the list is found, with its key here and in the bundle. If not, compile the whole list, as it is
    compiled here. Returns whether it was found."""
    manifest, cache = bundle.manifest, Path(bundle.manifest.cache)
    if not bundle.works:
        raise SettingsError("the bundle's list is empty: there is nothing to find")
    first = warm.run(bundle.works[:1], manifest.capability, cache, 1, None, lambda words: None)
    keys = first.keys[bundle.works[0]]
    key = keys[0] if keys else f"none ({first.failed.get(bundle.works[0], '')})"
    found = key == manifest.key and not first.made
    why = "" if found else " (the key is the bundle's, but its kernels are not in the cache)" if key == manifest.key else ""
    tell(f"{'hit' if found else 'miss'}: {key[:16]} here, {manifest.key[:16]} in the bundle, in {cache}{why}")
    if not found:
        with launchers.library() as libcuda:
            done = warm.run(bundle.works, manifest.capability, cache, processes, libcuda, tell)
        tell(f"{done.made} compiled, {len(done.failed)} of {len(bundle.works)} failed")
    return found
