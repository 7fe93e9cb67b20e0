"""``python -m skcmanp``."""

import sys

from skcmanp.cli import main

if __name__ == "__main__":
    sys.exit(main())
