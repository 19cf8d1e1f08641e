"""``glide bench``: measure models."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..choices import DTYPES, SAMPLERS
from ..diffusion.options import Sampling
from ..tiny.quality_request import GRAIN, MEASURES, THINGS, QualityRequest
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide bench``."""
    measurements = parser.add_subparsers(metavar="WHAT", required=True)
    summary = "how well the tiny models obey, on held-out prompts"
    _quality_options(measurements.add_parser("quality", help=summary, description=summary))


def _quality_options(parser: argparse.ArgumentParser) -> None:
    default = QualityRequest()
    add = parser.add_argument
    add(
        "--measure",
        nargs="+",
        choices=[*MEASURES, GRAIN, THINGS],
        default=list(MEASURES),
        help="what to measure (default: prompts, upsampling and inpainting)",
    )
    add(
        "--count",
        type=common.count,
        default=default.count,
        metavar="N",
        help="held-out scenes for each measurement (default: %(default)s)",
    )
    add(
        "--guidance-scale",
        type=common.number(0, 100),
        nargs="+",
        default=list(default.guidance_scales),
        metavar="SCALE",
        help="of the base models; prompts get a row for each, inpainting takes the first (default: 3)",
    )
    add(  # the name that this option had in earlier versions
        "--guidance",
        dest="guidance_scale",
        type=common.number(0, 100),
        nargs="+",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    add("--steps", type=common.steps_option, default=default.steps, help="of the base models (default: %(default)s)")
    add("--sampler", choices=SAMPLERS, default=default.sampler, help="of the base models (default: %(default)s)")
    add(
        "--upsample-steps",
        type=common.steps_option,
        default=default.upsampling.steps,
        metavar="STEPS",
        help="of the upsamplers (default: %(default)s)",
    )
    add(
        "--upsample-sampler",
        choices=SAMPLERS,
        default=default.upsampling.sampler,
        help="of the upsamplers (default: %(default)s)",
    )
    for option, name in (
        ("--base", default.base),
        ("--upsampler", default.upsampler),
        ("--base-inpaint", default.base_inpaint),
        ("--upsampler-inpaint", default.upsampler_inpaint),
    ):
        add(option, default=name, metavar="NAME|FILE", help="a model to measure (default: %(default)s)")
    add(
        "--judge",
        type=Path,
        metavar="FILE",
        help="the judge of --measure things, by `python -m glide_core.tiny.recipes things-judge FOLDER`",
    )
    add(
        "--seeds",
        type=common.count,
        default=default.seeds,
        metavar="N",
        help="with --measure grain: from how many seeds to paint (default: %(default)s)",
    )
    add(
        "--grain-dtype",
        nargs="+",
        choices=DTYPES,
        default=list(default.grain_dtypes),
        help="with --measure grain: in which precisions (default: all)",
    )
    add("--sheet", type=Path, metavar="PNG", help="also write the pictures of the first guidance scale as a sheet")
    add("--dtype", choices=("auto", *DTYPES), default=default.dtype, help="default: %(default)s, which is exact")
    add("--device", choices=("auto", "cpu", "cuda"), default=default.device, help="default: the GPU if there is one")


def run(args: argparse.Namespace) -> None:
    """Measure as the parsed options say, and print the tables.

    Raises:
        GlideError: see ``quality.measure``.
    """
    from ..tiny import quality

    request = QualityRequest(
        measures=tuple(args.measure),
        count=args.count,
        guidance_scales=tuple(args.guidance_scale),
        steps=args.steps,
        sampler=args.sampler,
        upsampling=Sampling(args.upsample_steps, args.upsample_sampler, guidance_scale=1.0),
        base=args.base,
        upsampler=args.upsampler,
        base_inpaint=args.base_inpaint,
        upsampler_inpaint=args.upsampler_inpaint,
        judge=args.judge,
        sheet=args.sheet,
        dtype=args.dtype,
        device=args.device,
        seeds=args.seeds,
        grain_dtypes=tuple(args.grain_dtype),
    )
    for table in quality.measure(request):
        print(table)
