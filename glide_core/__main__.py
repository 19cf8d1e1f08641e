"""``python -m glide_core`` is the command ``glide``."""

import sys

from .cli import main

sys.exit(main())
