"""`python -m metaflax`."""

import sys

from metaflax.cli import main

sys.exit(main())
