"""A bundle: made, unpacked where nothing is installed, found by another checkout, missed where a source changed."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.harness.bundle import kernel_list as work
from bench.harness.bundle import pack, wheels
from bench.harness.bundle.compile_list import CompiledList
from bench.harness.bundle.kernel_list import KernelWork
from bench.harness.bundle.pack import FOLDER, Manifest
from bench.measure import environment, source_commit
from kernels.schedules.persistent.tiling import Tiles

ROOT = Path(__file__).parents[1]
CUT = {"BB": 16, "BN": 16, "BK": 64, "warps": 4, "units_as_rows": True}
LSTM = {"cell": "lstm", "B": 16, "H": 768, "dtype": "float16", "tiles": CUT}
LIST = [{**LSTM, "direction": "forward"}, {**LSTM, "direction": "backward"}]
FEW = [{"schedule": "stepwise", "cell": "vanilla", "B": 2, "H": 32, "dtype": "float32"}]

compiles = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or shutil.which("gcc") is None, reason="needs triton and a C compiler"
)


def ran(*command: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, where Triton compiles."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRITON_", "RECURRENT_"))} | variables
    done = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def made(folder: Path, works: list[dict[str, object]]) -> Path:
    """A bundle of a list, unpacked in the folder, where its cache had been deleted."""
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in works))
    options = ("--list", folder / "list.jsonl", "--cache", folder / "cache", "--no-wheels", "--out", folder / "b.tar.gz")
    said = ran("-m", "bench", "bundle", *options, "--processes", 2).stderr
    assert f"0 of {len(works)} pieces of work failed" in said and f'eval "$(python3 {FOLDER}/unpack.py)"' in said, said
    shutil.rmtree(folder / "cache")
    subprocess.run(["tar", "xzf", "b.tar.gz"], cwd=folder, check=True)
    printed = ran("-I", "-S", folder / FOLDER / "unpack.py", cwd=folder).stdout
    assert f"export TRITON_CACHE_DIR={folder / 'cache'}\n" in printed
    return folder / FOLDER


@pytest.mark.gates
@compiles
def test_a_real_call_finds_its_kernels_and_its_launchers(tmp_path):
    """An LSTM at H=768 and B=16, whose programs meet, called by Triton's own driver, compiles nothing, and
    `persistent.compile_kernel` names the same
    kernels."""
    made(tmp_path, LIST)
    done = ran(ROOT / "tests" / "offline_bundle.py", tmp_path / "list.jsonl", TRITON_CACHE_DIR=str(tmp_path / "cache"))
    assert json.loads(done.stdout) == {"written": 0, "launched": 6, "warm": 2, "same": True}


@pytest.mark.gates
@compiles
def test_another_checkout_finds_them_until_a_source_changes(tmp_path):
    unpacked, elsewhere = made(tmp_path, FEW), tmp_path / "elsewhere"
    for package in source_commit.PACKAGES:
        shutil.copytree(ROOT / package, elsewhere / package, ignore=shutil.ignore_patterns("__pycache__"))

    def check() -> str:
        return ran("-m", "bench", "bundle", "--check", unpacked, cwd=elsewhere).stderr

    name, key = next(iter(json.loads((unpacked / "manifest.json").read_text())["keys"].items()))
    assert check().startswith(f"hit: {name} has the key {key[:16]} here and {key[:16]} in the bundle")
    shutil.rmtree(tmp_path / "cache")
    said = check()
    assert said.startswith("miss") and "kernels were not in" in said and "0 of 1 failed" in said, said
    source = elsewhere / "kernels" / "schedules" / "triton_functions.py"
    source.write_text(source.read_text().replace("import triton\n", "import triton\n\n", 1))
    said = check()
    assert said.startswith(f"miss: {name} has the key") and f"{key[:16]} in the bundle; the bundle is of " in said, said
    assert "0 of 1 failed" in said


@compiles
@pytest.mark.parametrize(
    ("key", "written", "told"),
    [
        ("here", 0, "hit: scan mingru B=2 H=32 float32 has the key here here and here in the bundle, and is in /cache"),
        ("here", 2, "miss: scan mingru B=2 H=32 float32 has the key here here and here in the bundle, but 2 kernels were not in /cache"),
        (
            "there",
            0,
            "miss: scan mingru B=2 H=32 float32 has the key here here and there in the bundle; the bundle is of c0ffee for Python",
        ),
    ],
)
def test_a_hit_has_the_bundle_s_key_and_is_in_the_cache(monkeypatch, key, written, told):
    """A kernel that another bundle of the same list left there is a miss too."""
    from bench.harness.bundle import arrive, compile_list, launchers

    listed, compiled = [KernelWork("scan", "mingru", B, 32, "float32") for B in (2, 3)], []

    def run(works: list[KernelWork], *rest: object) -> CompiledList:
        compiled.append(works)
        return CompiledList({work: ["here"] for work in works}, made=written)

    monkeypatch.setattr(compile_list, "compile_works", run)
    monkeypatch.setattr(launchers, "find_libcuda", contextlib.nullcontext)
    said: list[str] = []
    manifest = Manifest("/cache", {str(listed[0]): key}, 2, 2, 90, "3.12", "3.6.0", "c0ffee", False, ())
    assert arrive.check_bundle(arrive.Bundle(manifest, listed), 2, said.append) == told.startswith("hit")
    assert said[0].startswith(told)
    assert compiled == ([listed[:1]] if told.startswith("hit") else [listed[:1], listed])


def bundle(folder: Path, warmed: CompiledList | None = None, wheels: tuple[Path, ...] = ()) -> Path:
    """A bundle of a cache with three files, without a compiler."""
    kernel = folder / "cache" / "KEY"
    kernel.mkdir(parents=True)
    for name in ("k.cubin", "__grp__k.json", "k.source"):
        (kernel / name).write_bytes(os.urandom(1000))
    found = CompiledList(folders={"KEY"})
    made = Manifest(str(folder / "cache"), {}, 1, 1, 90, "3.1", "3.6.0", "c0ffee", False, tuple(path.name for path in wheels))
    pack.pack(folder / "b.tar.gz", made, found, source_commit.Commit("c0ffee", False, source_commit.digest_sources()), wheels)
    return folder / "b.tar.gz"


def test_a_bundle_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "MOST", 2000)
    with pytest.raises(UsageError, match=r"more than 0: take fewer --tilings"):
        bundle(tmp_path)
    assert not (tmp_path / "b.tar.gz").exists()


def test_unpacking_needs_python_alone(tmp_path):
    wheel = tmp_path / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("some.py", "word = 'unzipped'")
    packed = bundle(tmp_path, wheels=(wheel,))
    shutil.rmtree(tmp_path / "cache")
    subprocess.run(["tar", "xzf", packed], cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, "-I", "-S", tmp_path / FOLDER / "unpack.py"], capture_output=True, text=True)
    assert done.returncode == 1 and "the bundle is for Python 3.1, this is 3." in done.stderr  # but is unpacked
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "cache" / "KEY").iterdir()}
    assert sizes == {"__grp__k.json": 1000, "k.cubin": 1000, "k.source": 0}
    shell = f"{done.stdout}\n{sys.executable} -c 'import some; print(some.word)'; cat $RECURRENT_BENCH_COMMIT; echo $TRITON_CACHE_DIR"
    shown = subprocess.run(["sh", "-c", shell], capture_output=True, text=True).stdout
    assert shown.startswith("unzipped\n") and '"c0ffee"' in shown and shown.endswith(f"{tmp_path / 'cache'}\n")


def test_a_copied_tree_knows_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "run_git", lambda *arguments: "")
    monkeypatch.delenv(source_commit.VARIABLE, raising=False)
    assert environment.find_commit() == ("", False)
    monkeypatch.setenv(source_commit.VARIABLE, str(tmp_path / "commit.json"))
    assert environment.find_commit() == ("", False)
    for dirty, sources, shown in (
        (False, source_commit.digest_sources(), False),
        (True, source_commit.digest_sources(), True),
        (False, "other", True),
    ):
        source_commit.Commit("c0ffee", dirty, sources).write(tmp_path / "commit.json")
        assert environment.find_commit() == ("c0ffee", shown)


def test_git_comes_before_the_file(tmp_path, monkeypatch):
    source_commit.Commit("c0ffee", False, source_commit.digest_sources()).write(tmp_path / "commit.json")
    monkeypatch.setenv(source_commit.VARIABLE, str(tmp_path / "commit.json"))
    monkeypatch.setattr(environment, "run_git", lambda *arguments: "beef" if arguments[0] == "rev-parse" else "")
    assert environment.find_commit() == ("beef", False)


def test_the_digest_is_of_every_source(tmp_path):
    (tmp_path / "kernels").mkdir()
    digests = set()
    for name, text in (("a.py", ""), ("a.py", "1"), ("b.py", ""), ("table.json", "")):
        (tmp_path / "kernels" / name).write_text(text)
        digests.add(source_commit.digest_sources(tmp_path))
    assert len(digests) == 3


def test_wheels_are_what_is_required_and_not_there(monkeypatch):
    assert wheels.missing_packages(wheels.INSTALLED) == ["pydantic>=2.8"]
    assert {wheels.normalize_name(text) for text in wheels.missing_packages(("torch", "triton"))} >= {
        "pydantic",
        "rich",
        "markdown-it-py",
        "scipy",
    }
    requires = {"pydantic": ["Typing_Extensions>=4.14", "torch", "old; python_version < '3'"], "typing-extensions": ["pydantic"]}
    asked = []

    def resolved(texts: list[str]) -> list[dict[str, object]]:
        asked.append(texts)
        known = [wheels.normalize_name(text) for text in texts if "python_version" not in text]
        return [{"name": name, "version": "1", "requires_dist": requires[name]} for name in known]

    fetched: list[tuple[str, ...]] = []
    monkeypatch.setattr(wheels, "resolve_requirements", resolved)
    monkeypatch.setattr(wheels, "run_pip", lambda *arguments: fetched.append(arguments))
    assert wheels.download(["pydantic>=2", "numpy"], ["torch", "NumPy"], Path("nowhere")) == []
    assert asked == [["pydantic>=2"], ["Typing_Extensions>=4.14", "old; python_version < '3'"]]
    (command,) = fetched
    assert command[-2:] == ("pydantic==1", "typing-extensions==1") and command[0] == "download" and "--only-binary=:all:" in command
    assert wheels.download([], ["torch"], Path("nowhere")) == [] and len(fetched) == 1


@pytest.mark.full
def test_a_suite_s_work_is_named_once_the_most_telling_first():
    found = work.list_suites(["headline", "scans"], 2)
    assert str(found[0]) == "persistent lstm forward B=16 H=768 float16" and found[0].tiles != found[1].tiles
    assert [w.direction for w in found[:5]] == ["forward", "forward", "backward", "backward", None]
    assert len({replace(w, B=0) for w in found}) == len(found)
    assert next(w for w in found if w.cell == "minimal" and w.H == 512).B == 16  # its first batch, of five
    assert {w.schedule for w in found} == {"persistent", "stepwise", "scan"}
    assert len(work.list_suites(["headline"], 1)) < len(work.list_suites(["headline"], 2))
    assert not [w for w in work.list_suites(["deepbench"], 1) if w.H == 2816 and w.tiles]  # it fits no GPU's multiprocessors


def test_a_list_is_read_as_it_is_written():
    works = [
        KernelWork("persistent", "lstm", 16, 64, "float16", "backward", Tiles(16, 16, 64, 4, True)),
        KernelWork("scan", "mingru", 2, 32, "float32"),
    ]
    assert work.parse_lines(work.format_lines(works)) == works
    assert work.select_samples([*works, works[0]]) == works


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2 is no piece of work: Expecting"),
        ('{"cell": "lstm"}', "missing 3 required"),
        ('{"cell": "lstm", "B": 1, "H": 2, "dtype": "float16"}', "persistent takes a direction"),
        ('{"cell": "lstm", "B": 1, "H": 2, "dtype": "float16", "schedule": "other"}', "there is no schedule 'other'"),
        ('{"cell": "lstm", "B": 1, "H": 2, "dtype": "float16", "direction": "forward", "tiles": {"A": 1}}', "unexpected keyword"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path, line, why):
    (tmp_path / "list").write_text(json.dumps(LIST[0]) + "\n" + line)
    with pytest.raises(UsageError, match=why):
        work.read_list(tmp_path / "list")
    with pytest.raises(UsageError, match="can't be read"):
        work.read_list(tmp_path / "none")


@compiles
def test_what_is_asked_wrongly_is_said(tmp_path):
    from bench.harness.bundle import arrive, make_bundle

    def run(cache: Path, out: Path | None = None) -> None:
        make_bundle.make_bundle([], 90, cache, 1, out, None, lambda words: None)

    with pytest.raises(UsageError, match="--cache takes a path from the root"):
        run(Path("here"))
    with pytest.raises(UsageError, match="there is no folder"):
        run(tmp_path, tmp_path / "none" / "b.tar.gz")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "none", tmp_path / "file", tmp_path):
        with pytest.raises(UsageError, match="is no bundle"):
            arrive.read_bundle(path)
    with pytest.raises(UsageError, match="the bundle's list is empty"):
        arrive.check_bundle(arrive.read_bundle(bundle(tmp_path)), 1, lambda words: None)
