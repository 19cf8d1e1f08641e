"""``glide generate``: draw pictures of prompts."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from .. import images, pipeline
from ..diffusion.noise import picture_seed
from ..errors import OptionError
from ..pipeline import UPSAMPLING, Sampling, Stage
from . import common

PROMPTS_AT_A_TIME = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide generate``."""
    add = parser.add_argument
    add("prompt", nargs="?", metavar="PROMPT", help="what to draw")
    add("--prompts", type=Path, metavar="FILE", help="a prompt per line instead; line i is drawn with seed + i")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PNG",
        help="the file to write; with --batch 4 OUT.png "
        "becomes OUT-0.png to OUT-3.png; with --prompts a folder for 00000.png, 00001.png, ...",
    )
    add(
        "--batch",
        type=common.count,
        metavar="N",
        help="how many pictures of PROMPT, each with a seed of its own (default "
        f"1); with --prompts how many at a time (default {PROMPTS_AT_A_TIME})",
    )
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    add("--stage", choices=("base", "all"), default="all", help="base stops at 64x64 (default: all, 256x256)")
    add("--sheet", type=Path, metavar="PNG", help="also write a contact sheet: all pictures with their prompts")
    common.model_options(
        parser,
        "tiny (embedded; the default), openai (after `glide fetch base upsample vocab`), or the file of a base model",
    )
    add("--upsampler", metavar="FILE", help="the upsampler that belongs to the file in --checkpoint")
    common.sampling_options(
        parser, "", Sampling(), "base model", "GLIDE's published: --steps 100 --sampler ddpm --guidance-scale 3"
    )
    common.sampling_options(
        parser,
        "upsample-",
        UPSAMPLING,
        "upsampler",
        "GLIDE's published: --upsample-steps fast27 "
        "--upsample-sampler ddim --upsample-temperature 0.997 --upsample-guidance-scale 1",
    )


def run(args: argparse.Namespace) -> None:
    """``glide generate``: prompts -> pictures."""
    prompts, paths = _jobs(args)
    if args.prompts:
        seeds = [args.seed + i for i in range(len(prompts))]
    else:
        seeds = [picture_seed(args.seed, k) for k in range(len(prompts))]
    common.make_folder("--output", paths[0].parent)
    if args.sheet:
        common.require_png("--sheet", args.sheet)
        common.make_folder("--sheet", args.sheet.parent)
    base, upsampler = _stages(args)
    common.warn_of_cuts(base, prompts)
    at_a_time = args.batch or PROMPTS_AT_A_TIME
    for start in range(0, len(prompts), at_a_time):
        some = prompts[start : start + at_a_time]
        part = f" {start + 1}-{start + len(some)} of {len(prompts)}" if len(some) < len(prompts) else ""
        options = {"negative": args.negative, "seed": seeds[start : start + len(some)]}
        with common.progress(f"base{part}") as callback:
            pictures = pipeline.generate(base, some, common.sampling(args), callback=callback, **options)
        if upsampler:
            with common.progress(f"upsampler{part}") as callback:
                sampling = common.sampling(args, "upsample_")
                pictures = pipeline.upsample(upsampler, some, pictures, sampling, callback=callback, **options)
        for k, pixels in enumerate(pipeline.to_uint8(pictures)):
            parameters = common.parameters(args) | {"prompt": some[k], "seed": seeds[start + k]}
            images.write(paths[start + k], pixels, parameters)
            print(paths[start + k])
    if args.sheet:
        images.write_sheet(args.sheet, [Image.open(path) for path in paths], prompts)
        print(args.sheet)


def _jobs(args: argparse.Namespace) -> tuple[list[str], list[Path]]:
    """The prompts and the file that each one's picture goes to."""
    if (args.prompt is None) == (args.prompts is None):
        raise OptionError("give either a PROMPT or --prompts FILE")
    if args.prompts:
        try:
            prompts = [line.strip() for line in args.prompts.read_text(encoding="utf-8-sig").rstrip().split("\n")]
        except UnicodeDecodeError as error:
            raise OptionError(f"--prompts {args.prompts}: this is not UTF-8 text ({error})") from error
        if prompts == [""]:
            raise OptionError(f"--prompts {args.prompts}: there is no prompt in it, write one per line")
        return prompts, [args.output / f"{i:05d}.png" for i in range(len(prompts))]
    common.require_png("--output", args.output)
    args.batch = args.batch or 1
    if args.batch == 1:
        return [args.prompt], [args.output]
    return [args.prompt] * args.batch, [args.output.with_stem(f"{args.output.stem}-{k}") for k in range(args.batch)]


def _stages(args: argparse.Namespace) -> tuple[Stage, Stage | None]:
    """Both models before the first is used: an error comes before the work, not in the middle of it."""
    base = common.family_member(args.checkpoint, "base") or args.checkpoint
    upsampler = args.upsampler or common.family_member(args.checkpoint, "upsample")
    if args.stage == "base":
        return common.load_stage(args, "--checkpoint", base, "base"), None
    if not upsampler:
        raise OptionError(f"--upsampler: name the one that belongs to {args.checkpoint}, or use --stage base")
    first = common.load_stage(args, "--checkpoint", base, "base")
    return first, common.load_stage(args, "--upsampler", upsampler, "upsample")
