"""One file with what a machine lacks: wheels, a Triton cache, the list it was compiled from, the commit, and a program that unpacks it."""

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
from bench.harness.bundle.kernel_list import select_samples, write_lines
from bench.measure.environment import find_version
from bench.measure.source_commit import Commit

FOLDER = "recurrent-bench-bundle"
"""What all files of a bundle are in."""

MOST = 30 * 2**20
"""Bytes of a bundle, at most."""

KEPT = (".cubin", ".json", ".so")
"""What Triton needs of its cache. The rest are texts that it made on the way: they are packed empty, since from 3.9 on a kernel of which a
file is missing is compiled again."""


@dataclass(frozen=True)
class Manifest:
    """The target of a bundle, and the folder of its cache. `keys` are those of a few kernels, by the piece of work that each is the first
    of: a machine that computes the same will find its own."""

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
    kernels = {key for found in warmed.keys.values() for key in found}
    first = {str(work): (*warmed.keys[work], "")[0] for work in select_samples(warmed.keys)}
    return Manifest(
        str(cache), first, len(kernels), len(warmed.folders), capability, ".".join(platform.python_version_tuple()[:2]),
        find_version("triton"), commit.commit, commit.dirty, tuple(path.name for path in wheels),
    )  # fmt: skip


def pack(out: Path, made: Manifest, warmed: CompiledList, commit: Commit, wheels: Iterable[Path]) -> int:
    """Write the bundle, whole or not at all. Returns its bytes; raises UsageError where there are too many."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "bundle.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            add_file(tar, "manifest.json", json.dumps(asdict(made), indent=1).encode())
            add_file(tar, "commit.json", json.dumps(asdict(commit)).encode())
            add_file(tar, "list.jsonl", write_lines(warmed.keys).encode())
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
    """The files of a cache's folders."""
    for folder in sorted(folders):
        yield from sorted(path for path in (cache / folder).iterdir() if path.is_file())


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without the name of who packed it."""
    info = tarfile.TarInfo(f"{FOLDER}/{name}")
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
