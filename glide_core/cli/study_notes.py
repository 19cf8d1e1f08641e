"""What scores the pictures of a study, and what its page says of how it was made."""

from __future__ import annotations

import argparse
import platform
import sys
import warnings
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import GlideError, GlideWarning, counted
from . import clip, common

if TYPE_CHECKING:
    from ..scoring import Scorer
    from ..study.page import Notes


def scorer(args: argparse.Namespace, where: common.Compute) -> tuple[Scorer | None, str]:
    """The scorer of the options, and its name.

    One that nobody asked for and that is not there is left out, with a warning; its name is "none" then.
    """
    try:
        return clip.scorer(args, where), args.scorer or clip.clip_name(args)
    except GlideError as error:
        if args.clip or args.scorer:
            raise
        warnings.warn(f"there are no CLIP scores: {error}", GlideWarning, stacklevel=2)
        return None, "none"


def notes(models: str, scored_by: str, where: common.Compute) -> Notes:
    """The command, and lines about models, versions and hardware."""
    import torch

    from ..study.page import Notes

    threads = counted(torch.get_num_threads(), "thread")
    machine = {
        "models": models,
        "CLIP": scored_by,
        "version": f"glide {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "machine": f"{where.device.type}, {where.dtype}, {platform.machine()}, {threads}",
    }
    return Notes(["glide", *sys.argv[1:]], machine)
