"""Runs the command line as `python -m bench`. If a package is missing, it names the package and exits with code 2."""

import sys

from bench.missing import explain_missing

if __name__ == "__main__":
    try:
        from bench.cli import main

        main()
    except ModuleNotFoundError as error:
        said = explain_missing(error)
        if said is None:
            raise
        print(said, file=sys.stderr)
        sys.exit(2)
