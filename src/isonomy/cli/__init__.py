"""The command line: one command per file, each a thin door to one library call.

This module imports nothing optional, so that a bare core can say in one line what is
missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_OPTIONAL = {"typer", "rich", "click", "pyarrow", "shellingham"}

INSTALL_LINE = (
    "isonomy: the command line needs the extra 'cli'. Install it with: pip install 'isonomy[cli]'"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; by default ``sys.argv[1:]``.

    Returns
    -------
    int
        0 if all went well, 1 if a criterion was not met, 2 for wrong use, also when the
        extra ``cli`` is not installed, 130 if interrupted.
    """
    try:
        from isonomy.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OPTIONAL:
            raise
        print(INSTALL_LINE, file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # loading the libraries takes long enough for Ctrl-C
        print("isonomy: interrupted.", file=sys.stderr)
        return 130
    return run(arguments)
