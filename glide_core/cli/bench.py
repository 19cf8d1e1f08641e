"""``glide bench``: measure models."""

from __future__ import annotations

import argparse

from ..tiny import quality


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide bench``."""
    measurements = parser.add_subparsers(metavar="WHAT", required=True)
    summary = "how well the tiny models obey, on held-out prompts"
    quality.add_arguments(measurements.add_parser("quality", help=summary, description=summary))


def run(args: argparse.Namespace) -> None:
    """``glide bench quality``: see ``glide_core.tiny.quality``."""
    quality.run(args)
