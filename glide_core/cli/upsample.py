"""``glide upsample``: make a small picture 4 times as large, by diffusion."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import images, pipeline
from ..errors import OptionError
from ..pipeline import UPSAMPLING
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide upsample``."""
    add = parser.add_argument
    add("input", type=Path, metavar="PICTURE", help="a small picture; GLIDE was trained on 64x64")
    add("--prompt", default="", metavar="TEXT", help="what it shows")
    add("-o", "--output", type=Path, required=True, metavar="PNG", help="the file to write, 4 times as large")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    common.model_options(
        parser, "tiny (embedded; the default), openai (after `glide fetch upsample vocab`), or the file of an upsampler"
    )
    common.sampling_options(
        parser,
        "",
        UPSAMPLING,
        "upsampler",
        "GLIDE's published: --steps fast27 --sampler ddim --temperature 0.997 --guidance-scale 1",
    )


def run(args: argparse.Namespace) -> None:
    """``glide upsample``: a small picture -> one 4 times as large."""
    common.require_png("--output", args.output)
    low_res = images.read(args.input)
    common.make_folder("--output", args.output.parent)
    source = common.family_member(args.checkpoint, "upsample") or args.checkpoint
    stage = common.load_stage(args, "--checkpoint", source, "upsample")
    height, width = low_res.shape[-2:]
    multiple = stage.model.config.size_multiple // 4
    if width % multiple or height % multiple:
        raise OptionError(f"{args.input} is {width}x{height}: resize it, both sides must be multiples of {multiple}")
    common.warn_of_cuts(stage, [args.prompt])
    with common.progress("upsampler") as callback:
        pictures = pipeline.upsample(
            stage,
            [args.prompt],
            low_res,
            common.sampling(args),
            negative=args.negative,
            seed=args.seed,
            callback=callback,
        )
    images.write(args.output, pipeline.to_uint8(pictures)[0], common.parameters(args))
    print(args.output)
