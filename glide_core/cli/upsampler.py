"""Which upsampler the options of a command mean."""

from __future__ import annotations

import argparse

from ..errors import OptionError
from . import common


def upsampler_name(args: argparse.Namespace) -> str | None:
    """The name or file of the upsampler, None where --stage base stops before it.

    Raises:
        OptionError: nothing says which one belongs to --checkpoint, or an option asks for one that is not to work.
    """
    if args.stage == "base":
        for name in ("upsampler", "upsample_clip_guidance"):
            if getattr(args, name, None):
                raise OptionError(f"--stage base stops before the upsampler: leave out --{name.replace('_', '-')}")
        return None
    upsampler = args.upsampler or common.family_member(args.checkpoint, "upsample")
    if upsampler is None:
        raise OptionError(f"--upsampler: name the one that belongs to {args.checkpoint}, or use --stage base")
    return str(upsampler)
