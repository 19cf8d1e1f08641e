"""``glide study shards``: figures of pictures that are there already."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import GlideError
from . import clip, common, outputs, study_notes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide study shards``."""
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="SHARDS",
        help="the folder of a `glide batch`, a folder of .tar files, or a .tar file; a path or a URL",
    )
    add("-o", "--output", type=Path, default=Path("study-shards"), metavar="FOLDER", help="default: %(default)s")
    add(
        "--x",
        default="",
        metavar="COLUMN",
        help="the column whose values stand side by side, such as guidance_scale, prompt, source (the folder), or one "
        "of the input's own (default: the first that has several values)",
    )
    add("--y", default="", metavar="COLUMN", help="the same from top to bottom")
    add("--examples", type=common.count, default=4, metavar="N", help="pictures to show of each group (default: 4)")
    clip.scoring_options(parser)


def run(args: argparse.Namespace) -> None:
    """Make the study. A command that was stopped goes on when it is given again."""
    from ..study.shards import ShardStudy
    from ..study.shards import run as run_study

    outputs.require_folder("--output", args.output)
    where = common.compute(args)
    scorer, scored_by = study_notes.scorer(args, where)
    notes = study_notes.notes(f"those of {', '.join(args.sources)}", scored_by, where)
    mark = clip.scorer_mark(args) if scorer else {}
    study = ShardStudy(args.sources, args.output, args.x, args.y, args.examples, scorer, mark, notes)
    try:
        files = run_study(study)
    except KeyboardInterrupt:
        outputs.note("the same command goes on from here")
        raise
    except OSError as error:
        raise GlideError(
            f"{error.filename or args.output}: {error.strerror or error}; what is measured is kept, and the same "
            "command goes on"
        ) from error
    for file in files:
        outputs.say(file)
