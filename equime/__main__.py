"""`python -m equime` is `equime`."""

import sys

from equime.cli import main

sys.exit(main())
