"""``glide upsample``: make a small picture 4 times as large, by diffusion."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..diffusion.options import UPSAMPLING
from . import common, outputs, words
from .preset import preset_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide upsample``."""
    add = parser.add_argument
    add("input", type=Path, metavar="PICTURE", help="a small picture of any size; GLIDE was trained on 64x64")
    add("--prompt", default="", metavar="TEXT", help="what it shows")
    outputs.output_options(parser, "the .png, .jpg or .webp file to write, 4 times as large")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    common.model_options(
        parser, "tiny (embedded; the default), openai (after `glide fetch upsample`), or the file of an upsampler"
    )
    common.reference_option(parser)
    preset_option(parser, upsampler="")
    common.sampling_options(
        parser,
        "",
        UPSAMPLING,
        "upsampler",
        "GLIDE's published: --steps fast27 --sampler ddim --temperature 0.997 --guidance-scale 1",
    )


def run(args: argparse.Namespace) -> None:
    """Enlarge a picture, --batch times."""
    from .. import pipeline
    from ..diffusion.noise import picture_seeds
    from ..images import read_image

    tries = outputs.tries(args, args.batch)
    low_res = read_image(args.input)
    where = common.compute(args)
    source = common.family_member(args.checkpoint, "upsample") or args.checkpoint
    stage = common.load_stage(where, "--checkpoint", source, "upsample")
    common.warn_of_cuts(stage, [args.prompt])
    words.warn_of_unknown(source, common.texts_of([args.prompt]))
    recorded, options = common.parameters(args, where, {"checkpoint": source}), common.sampling(args)
    common.pictures_at_a_time([stage], [options], 1, [args.prompt])
    seeds = picture_seeds(args.seed, len(tries))
    for path, seed in zip(tries, seeds):
        with common.progress("upsampler") as callback:
            samples = pipeline.upsample(
                stage, [args.prompt], low_res, options, negative=args.negative, seed=seed, callback=callback
            )
        outputs.write_picture(path, samples[0], {**recorded, "seed": seed})
    outputs.write_sheet_of(args.sheet, tries, seeds)
