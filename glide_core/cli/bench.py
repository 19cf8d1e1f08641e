"""``glide bench``: measure models."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..choices import DTYPES, PRESETS, SAMPLERS, SPEED_MEASURES
from ..diffusion.options import Sampling
from ..errors import OptionError
from ..tiny.quality_request import GRAIN, MEASURES, THINGS, QualityRequest
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide bench``."""
    measurements = parser.add_subparsers(metavar="WHAT", required=True)
    summary = "how well the tiny models obey, on held-out prompts"
    _quality_options(measurements.add_parser("quality", help=summary, description=summary))
    summary = "how fast models of the published sizes are, beside OpenAI's code in GLIDE_REFERENCE"
    _speed_options(measurements.add_parser("speed", help=summary, description=summary))


def _quality_options(parser: argparse.ArgumentParser) -> None:
    default = QualityRequest()
    add = parser.add_argument
    add(
        "--measure",
        nargs="+",
        choices=[*MEASURES, GRAIN, THINGS],
        help="what to measure (default: prompts, upsampling and inpainting; none of these with --best-of and "
        "--clip-guidance)",
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
    add(
        "--best-of",
        type=common.count,
        nargs="+",
        default=[],
        metavar="N",
        help="how often everything is right, for the best of N tries",
    )
    add(
        "--judge-all",
        action="store_true",
        help="with --best-of: judge every try, and tell what a choice by chance and one without an error would reach",
    )
    add(
        "--clip-guidance",
        type=common.number(0, 1000),
        nargs="+",
        default=[],
        metavar="SCALE",
        help="how often everything is right, with these scales of CLIP guidance and those of --guidance-scale; with "
        "--measure inpainting, how often what was erased",
    )
    add(
        "--clip-until",
        type=common.number(0, 1),
        default=default.clip_until,
        metavar="PART",
        help="share of the steps until which CLIP guides (default: %(default)g)",
    )
    add("--clip", default=default.clip, metavar="NAME|FILE", help="the noised CLIP (default: %(default)s)")
    add("--sheet", type=Path, metavar="PNG", help="also write the pictures of the first guidance scale as a sheet")
    add("--dtype", choices=("auto", *DTYPES), default=default.dtype, help="default: %(default)s, which is exact")
    add("--device", choices=("auto", "cpu", "cuda"), default=default.device, help="default: the GPU if there is one")


def _speed_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.set_defaults(measurement="speed")
    add(
        "--measure",
        nargs="+",
        choices=SPEED_MEASURES,
        default=["forwards"],
        help="what to measure (default: forwards); all of them take hours on a CPU",
    )
    add(
        "--models",
        nargs="+",
        default=["base", "upsample"],
        metavar="NAME",
        help="base, upsample, their -inpaint variants, and tiny- before each (default: base upsample)",
    )
    add("--dtype", nargs="+", choices=("auto", *DTYPES), default=["auto"], help="default: the fastest one here")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    add("--threads", type=common.count, metavar="N", help="of torch on a CPU (default: its own choice)")
    add("--repeats", type=common.count, default=5, metavar="N", help="rounds (default: %(default)s)")
    add("--preset", choices=PRESETS, default="standard", help="how ours paints pictures (default: %(default)s)")
    add(
        "--cpu-time",
        action="store_true",
        help="processor time instead of wall time, for a machine that others use too; with --threads 1",
    )
    add("--json", action="store_true", help="print the rows as JSON")
    add(
        "--against",
        type=Path,
        metavar="FILE",
        help="what an earlier run printed with --json: end with 1 where a ratio to the reference grew by over a tenth",
    )


def _measures(args: argparse.Namespace) -> Sequence[str]:
    """What --measure asks for, or by default what is measured without the options of CLIP."""
    if args.measure is not None:
        return list(args.measure)
    return () if args.best_of or args.clip_guidance else MEASURES


def run(args: argparse.Namespace) -> None:
    """Measure as the parsed options say, and print the tables.

    Raises:
        GlideError: see ``quality.measure`` and ``speed.measure``.
    """
    if getattr(args, "measurement", None) == "speed":
        _measure_speed(args)
        return
    from ..tiny import quality

    request = QualityRequest(
        measures=tuple(_measures(args)),
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
        best_of=tuple(args.best_of),
        judge_all=args.judge_all,
        clip_scales=tuple(args.clip_guidance),
        clip_until=args.clip_until,
        clip=args.clip,
    )
    for table in quality.measure(request):
        print(table)


def _measure_speed(args: argparse.Namespace) -> None:
    """Exits with 1 where something became slower than in the run of --against."""
    from ..bench import clock, speed

    unknown = [name for name in args.models if name not in speed.MODELS]
    if unknown:
        raise OptionError(f"--models: there is no {unknown[0]}: use {', '.join(speed.MODELS)}")
    request = speed.SpeedRequest(
        measures=tuple(_measures(args)),
        models=tuple(args.models),
        dtypes=tuple(args.dtype),
        device=args.device,
        threads=args.threads,
        preset=args.preset,
        clock=clock.Clock(args.repeats, args.cpu_time),
    )
    earlier = _earlier(args.against) if args.against else None
    rows = list(speed.measure(request))
    if args.json:
        print(json.dumps({"machine": speed.machine(), "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        print(f"{speed.machine()}, {'processor' if args.cpu_time else 'wall'} time\n\n{clock.table(rows)}")
    lost = clock.losses(rows, earlier) if earlier is not None else []
    for sentence in lost:
        print(sentence, file=sys.stderr)
    if lost:
        sys.exit(1)


def _earlier(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"--against {path}: this is not what `glide bench speed --json` wrote") from error
