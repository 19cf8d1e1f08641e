"""``python -m glide_core.cli`` is the command ``glide``."""

from . import main

main()
