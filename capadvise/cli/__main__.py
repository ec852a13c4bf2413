"""``python -m capadvise.cli``."""

import sys

from capadvise.cli import main

sys.exit(main())
