"""``python -m glide_core`` is the command ``glide``."""

from .cli import main

main()
