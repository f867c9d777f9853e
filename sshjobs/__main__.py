"""``python -m sshjobs``: the same as the command ``sshjobs``."""

from __future__ import annotations

import sys

from sshjobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
