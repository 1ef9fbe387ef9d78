"""`python -m clinops` is the `clinops` command."""

from __future__ import annotations

import sys

from clinops.runner.cli import main

if __name__ == "__main__":
    sys.exit(main())
