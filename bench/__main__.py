"""`python -m bench`."""

import sys

from bench.missing import message

if __name__ == "__main__":
    try:
        from bench.cli import main

        main()
    except ModuleNotFoundError as error:
        said = message(error)
        if said is None:
            raise
        print(said, file=sys.stderr)
        sys.exit(2)
