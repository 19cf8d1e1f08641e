"""``glide fetch``: published files into a folder, verified."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files import download
from ..files.download import FILES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide fetch``."""
    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", help=f"what to download: {', '.join(FILES)}")
    add("--to", type=Path, metavar="DIR", help="the folder (default: $GLIDE_MODELS or ~/.cache/glide)")
    add("--mirror", metavar="URL", help="another server that has the same file names")


def run(args: argparse.Namespace) -> None:
    """``glide fetch``: published files -> a folder, verified."""
    for name in args.names:
        for path in download.fetch(name, args.to, base_url=args.mirror):
            print(path)
