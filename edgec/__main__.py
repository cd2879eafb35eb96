"""`python -m edgec` is the program `edgec`."""

from __future__ import annotations

import sys

from edgec.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
