"""Packs into one file what a machine lacks: wheels, a Triton cache, the list it was compiled from, the commit, and a program that
unpacks it."""

import io
import json
import platform
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.errors import UsageError
from bench.harness.bundle.compile_list import CompiledList
from bench.harness.bundle.kernel_list import format_lines, select_samples
from bench.measure.environment import find_version
from bench.measure.source_commit import Commit

FOLDER = "recurrent-bench-bundle"
"""The folder of all files in a bundle."""

MOST = 30 * 2**20
"""The largest size of a bundle in bytes."""

KEPT = (".cubin", ".json", ".so")
"""The file types of its cache that Triton needs. The others are intermediate texts. They are packed empty, because Triton from 3.9 on
compiles a kernel again if a file is missing."""


@dataclass(frozen=True)
class Manifest:
    """The description of a bundle.

    Attributes:
        cache: The folder of Triton's cache, the same on all machines.
        keys: The first cache key of a few pieces of work. A machine that computes the same keys finds the kernels.
        kernels: The number of kernels.
        folders: The number of cache folders.
        capability: The compute capability of the GPU that the kernels are compiled for.
        python: The version of Python, major and minor.
        triton: The version of triton.
        commit: The commit of the sources.
        dirty: The sources had uncommitted changes.
        wheels: The file names of the wheels.
    """

    cache: str
    keys: dict[str, str]
    kernels: int
    folders: int
    capability: int
    python: str
    triton: str
    commit: str
    dirty: bool
    wheels: tuple[str, ...]


def make_manifest(warmed: CompiledList, cache: Path, capability: int, commit: Commit, wheels: Iterable[Path]) -> Manifest:
    """Returns the manifest of a bundle.

    Args:
        warmed: The compiled kernels.
        cache: The folder of Triton's cache.
        capability: The compute capability that they are compiled for.
        commit: The commit of the sources.
        wheels: The paths of the wheels.
    """
    kernels = {key for found in warmed.keys.values() for key in found}
    first = {str(work): (*warmed.keys[work], "")[0] for work in select_samples(warmed.keys)}
    return Manifest(
        str(cache), first, len(kernels), len(warmed.folders), capability, ".".join(platform.python_version_tuple()[:2]),
        find_version("triton"), commit.commit, commit.dirty, tuple(path.name for path in wheels),
    )  # fmt: skip


def pack(out: Path, made: Manifest, warmed: CompiledList, commit: Commit, wheels: Iterable[Path]) -> int:
    """Writes a bundle; an incomplete file is never left at `out`.

    Args:
        out: The bundle's file.
        made: The manifest.
        warmed: The compiled kernels.
        commit: The commit of the sources.
        wheels: The paths of the wheels.

    Returns:
        The size in bytes.

    Raises:
        UsageError: The bundle is too large, or `out` can't be written.
    """
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "bundle.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            add_file(tar, "manifest.json", json.dumps(asdict(made), indent=1).encode())
            add_file(tar, "commit.json", json.dumps(asdict(commit)).encode())
            add_file(tar, "list.jsonl", format_lines(warmed.keys).encode())
            add_file(tar, "unpack.py", Path(__file__).with_name("unpack.py").read_bytes())
            for path in wheels:
                add_file(tar, f"wheels/{path.name}", path.read_bytes())
            for path in list_files(Path(made.cache), warmed.folders):
                add_file(tar, f"cache/{path.relative_to(made.cache)}", path.read_bytes() if path.suffix in KEPT else b"")
        size = file.stat().st_size
        if size > MOST:
            raise UsageError(
                f"the bundle has {size / 2**20:.1f} MiB, more than {MOST / 2**20:.0f}: take fewer --tilings, or less than all with --suite"
            )
        try:
            shutil.copy(file, out)
        except OSError as error:
            raise UsageError(f"--out {out} can't be written ({error.strerror}): name a file that can") from None
    return size


def list_files(cache: Path, folders: Iterable[str]) -> Iterator[Path]:
    """Yields the files of a cache's folders."""
    for folder in sorted(folders):
        yield from sorted(path for path in (cache / folder).iterdir() if path.is_file())


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file without the name of the user who packs it."""
    info = tarfile.TarInfo(f"{FOLDER}/{name}")
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
