"""Runs the command line as `python -m bench`. If a package is missing, it names the package and exits with code 2."""

import _signal  # type: ignore[import-not-found]  # the built-in part of `signal`, which takes no time to import
import os
import sys


def leave(*_: object) -> None:
    """Exits at once on a signal: while modules are imported nothing is made yet, and an import that is interrupted may fail in any way."""
    os.write(2, b"bench: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    for stop in (_signal.SIGINT, _signal.SIGTERM):
        if _signal.getsignal(stop) != _signal.SIG_IGN:  # as in the background of a script
            _signal.signal(stop, leave)
    from bench.missing import explain_missing

    try:
        from bench.cli import main, raise_on_signals

        raise_on_signals()
        main()
    except ModuleNotFoundError as error:
        said = explain_missing(error)
        if said is None:
            raise
        print(said, file=sys.stderr)
        sys.exit(2)
