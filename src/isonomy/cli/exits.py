"""What leaves a command: an exit code, and one line on stderr.

0 done; 1 a ``--fail-if`` criterion holds; 2 wrong use or unusable data; 130 interrupted;
141 the reader of stdout went away (128 + SIGPIPE, as shells say it).
"""

from __future__ import annotations

import re
import sys

__all__ = [
    "BROKEN_PIPE",
    "CRITERION",
    "DEBUG_KEY",
    "INTERRUPTED",
    "WRONG_USE",
    "complain",
    "one_line",
]

CRITERION = 1
WRONG_USE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

DEBUG_KEY = "isonomy.debug"
"""Where the context of a run remembers ``--debug``."""


LINE_BREAKS = re.compile(r"[ ]*[\t\r\n\f\v\x1c-\x1f\x85\u2028\u2029]\s*")


def one_line(text: str) -> str:
    r"""Return ``text`` on one line, control characters shown as escapes.

    A file's column names reach the terminal through here: an escape sequence among
    them must not move the cursor or change colours.

    Examples
    --------
    >>> one_line("sex\x1b[31m\n(red)")
    'sex\\x1b[31m (red)'
    """
    flat = LINE_BREAKS.sub(" ", text.strip())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)


def complain(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"isonomy: {one_line(text)}\n")
