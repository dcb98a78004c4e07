"""Unpacks a bundle on a machine that can't install packages. It runs alone, from the folder that `tar` makes, with the standard library
only:

    tar xzf BUNDLE.tar.gz
    eval "$(python3 recurrent-bench-bundle/unpack.py)"

The compiled kernels are copied to the folder in which they were compiled, the only one where Triton finds them. The wheels are unzipped
here. The program prints shell commands to stdout; they set the variables that make both, and the commit, known. Messages go to stderr.
"""

import json
import os
import platform
import shlex
import shutil
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Unpacks the bundle and prints the shell commands; returns 1 if it was made for another version of Python."""
    manifest = json.loads((HERE / "manifest.json").read_text())
    cache, packages = Path(manifest["cache"]), HERE / "packages"
    shutil.copytree(HERE / "cache", cache, dirs_exist_ok=True)
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(packages)
    here = ".".join(platform.python_version_tuple()[:2])
    if here != manifest["python"]:
        print(f"the bundle is for Python {manifest['python']}, this is {here}: its wheels and kernels can't be used here", file=sys.stderr)
    path = os.pathsep.join([str(packages), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    values = {"PYTHONPATH": path, "TRITON_CACHE_DIR": str(cache), "RECURRENT_BENCH_COMMIT": str(HERE / "commit.json")}
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"{manifest['kernels']} kernels are in {cache}, {len(manifest['wheels'])} wheels in {packages}", file=sys.stderr)
    return int(here != manifest["python"])


if __name__ == "__main__":
    sys.exit(main())
