"""``python -m isonomy``: the same as the command ``isonomy``."""

import sys

from isonomy.cli import main

if __name__ == "__main__":
    sys.exit(main())
