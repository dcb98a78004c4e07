"""Unpack a bundle where nothing can be installed. It runs by itself, from the folder that `tar` made, and imports the standard library
alone:

    tar xzf BUNDLE.tar.gz
    eval "$(python3 recurrent-bench-bundle/unpack.py)"

The compiled kernels go where they were compiled, the only place where Triton finds them; the wheels stay here, unzipped. What it prints
are the lines of a shell that make both found, and the commit. What it says is on stderr.
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
    manifest = json.loads((HERE / "manifest.json").read_text())
    cache, packages = Path(manifest["cache"]), HERE / "packages"
    shutil.copytree(HERE / "cache", cache, dirs_exist_ok=True)
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(packages)
    here = ".".join(platform.python_version_tuple()[:2])
    if here != manifest["python"]:
        print(f"the bundle is for Python {manifest['python']}, this is {here}: neither wheels nor kernels will do", file=sys.stderr)
    path = os.pathsep.join([str(packages), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    values = {"PYTHONPATH": path, "TRITON_CACHE_DIR": str(cache), "RECURRENT_BENCH_COMMIT": str(HERE / "commit.json")}
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"{manifest['kernels']} kernels are in {cache}, {len(manifest['wheels'])} wheels in {packages}", file=sys.stderr)
    return int(here != manifest["python"])


if __name__ == "__main__":
    sys.exit(main())
