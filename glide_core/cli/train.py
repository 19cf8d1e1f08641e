"""``glide train``: train or fine-tune a GLIDE model on one's own pictures, or on drawn scenes."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..choices import SCENES as SCENES_DRAWN
from ..errors import CheckpointError, OptionError
from ..models.config import PUBLISHED, TINY, ModelConfig
from ..train.options import PRECISIONS, SCHEDULES, Options, Phase
from . import common

if TYPE_CHECKING:
    from ..train.request import TrainingRequest

MODELS: dict[str, ModelConfig] = {**PUBLISHED, **{f"tiny-{kind}": config for kind, config in TINY.items()}}
SCENES = "scenes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide train``."""
    add = parser.add_argument
    add(
        "data",
        metavar="DATA",
        help="a folder of pictures with .txt captions of the same names; tar shards of a WebDataset (a folder of "
        "them, one file, or a pattern such as 'shards-{000..099}.tar'); or the word scenes, for drawn shapes",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="the folder for the model, its log, samples and state")
    add("--resume", action="store_true", help="go on with the training in --out; give the other options as before")
    _model_options(parser)
    _training_options(parser)
    _memory_options(parser)
    _saving_options(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("model").add_argument
    add(
        "--init",
        metavar="base|tiny|NAME|FILE",
        help="fine-tune the published model (after `glide fetch base`), the embedded tiny one, or the one of "
        "another name or in a file",
    )
    add("--model", choices=MODELS, help="train a model of these sizes from random weights instead")
    add(
        "--stage",
        choices=("base", "upsample"),
        default="base",
        help="which model `--init base` and `--init tiny` mean: the one that draws 64x64, or the one that makes "
        "256x256 of that (default: %(default)s)",
    )
    add(
        "--variant",
        choices=("plain", "inpaint"),
        default="plain",
        help="inpaint trains a model to fill erased regions; a plain model in --init gets the inputs for that, with "
        "weights of zero (default: %(default)s)",
    )
    add("--freeze", choices=("text", "unet"), help="leave the text transformer or the U-Net as it is")
    add(
        "--lora",
        type=common.count,
        metavar="RANK",
        help="train additions of this rank to the weights (4 to 64) instead of the weights, and save them for "
        "ComfyUI's LoRA loaders, too",
    )


def _training_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("training").add_argument
    add(
        "--steps",
        type=common.count,
        nargs="+",
        default=[3000],
        metavar="N",
        help="updates of the weights; several numbers are phases that follow each other, and so they are for "
        "--resolution and --batch (default: 3000)",
    )
    add(
        "--batch",
        type=common.count,
        nargs="+",
        default=[32],
        metavar="N",
        help="pictures in each update, of all processes together (default: 32)",
    )
    add(
        "--resolution",
        type=common.count,
        nargs="+",
        metavar="N",
        help="side of the training pictures, or of an upsampler's crops (default: the model's)",
    )
    add("--optimizer", choices=("adamw", "muon"), help="default: muon for a new tiny model, else adamw")
    add(
        "--lr",
        type=_above_zero,
        metavar="RATE",
        help="learning rate (default: 1.5e-3 for muon, 1e-4 for adamw, 5e-4 for a LoRA)",
    )
    add(
        "--schedule",
        choices=SCHEDULES,
        default=Options.schedule,
        help="how the rate falls: decay, along a line at the end; cosine, over all steps; constant, not at all "
        "(default: %(default)s)",
    )
    add(
        "--decay",
        type=common.number(0, 1),
        default=Options.decay,
        metavar="SHARE",
        help="the last share of all steps, over which --schedule decay falls to zero (default: %(default)s)",
    )
    add(
        "--warmup",
        type=int,
        default=Options.warmup,
        metavar="N",
        help="steps in which the rate rises at first (default: %(default)s)",
    )
    add(
        "--ema",
        type=common.number(0, 1),
        default=Options.ema,
        metavar="DECAY",
        help="decay of the averaged weights, which are what is saved (default: %(default)s)",
    )
    add(
        "--caption-dropout",
        type=common.number(0, 1),
        default=Options.caption_dropout,
        metavar="SHARE",
        help="share of the captions that are replaced by the empty one, without which guidance does not work "
        "(default: %(default)s)",
    )
    add(
        "--focus",
        type=float,
        nargs=2,
        metavar=("MEAN", "STD"),
        help="draw more of the timesteps whose log(sigma) is near MEAN (default: all alike)",
    )
    add(
        "--noise-offset",
        type=common.number(0, 1),
        nargs="+",
        default=[],
        metavar="STD",
        help="add low frequencies to the noise, so that colours are learned sooner: up to the first number per "
        "channel, up to the second on a grid of 4x4, up to the third on one of 16x16, and so on (try 0.15; default: "
        "none, as GLIDE)",
    )
    add(
        "--layout",
        type=common.number(0, 1),
        default=0.0,
        metavar="WEIGHT",
        help="for a base model on scenes: also learn to tell what lies where, with this weight, so that shapes are "
        "learned much sooner (try 0.02; default: none, as GLIDE)",
    )
    add("--seed", type=int, default=Options.seed, metavar="N", help="default: %(default)s")
    add(
        "--scenes",
        type=common.count,
        default=SCENES_DRAWN,
        metavar="N",
        help="how many scenes to draw ahead (default: %(default)s)",
    )


def _memory_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("memory and speed").add_argument
    add("--accumulate", type=common.count, default=1, metavar="N", help="compute each batch in N pieces")
    add("--gradient-checkpointing", action="store_true", help="use much less memory and a third more time")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="auto is bf16 where the hardware computes in it, else fp32 (default: %(default)s)",
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")


def _saving_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("saving and watching").add_argument
    add(
        "--save-every",
        type=_above_zero,
        default=Options.save_every,
        metavar="MINUTES",
        help="time between checkpoints (default: %(default)s)",
    )
    add("--minutes", type=_above_zero, default=Options.minutes, help="stop and save after this time (default: never)")
    add(
        "--sample-every",
        type=int,
        default=0,
        metavar="N",
        help="draw a sheet of samples every N steps (default: never)",
    )
    add(
        "--sample-prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="what to draw on it; can be given several times (default: captions of DATA)",
    )
    add("--tensorboard", action="store_true", help="write the log for TensorBoard, too")


def run(args: argparse.Namespace) -> None:
    """Train as the parsed options say. Exits with 130 where the training was stopped, after saving it.

    Raises:
        GlideError, OSError: see ``session.run``.
    """
    from ..train import session

    outcome = session.run(_request(args))
    if outcome.interrupted:
        if outcome.main_process:
            command = _resuming_command(resumed=args.resume)
            print(f"stopped after step {outcome.step}; to go on: {command}", file=sys.stderr)
        sys.exit(130)


def _resuming_command(*, resumed: bool) -> str:
    command = ["glide", *sys.argv[1:]] if sys.argv[1:2] == ["train"] else ["glide", "train", "..."]
    return shlex.join(command) + ("" if resumed else " --resume")


def _request(args: argparse.Namespace) -> TrainingRequest:
    from ..tiny.layout_lesson import LayoutLesson
    from ..tiny.scene_data import SceneSource
    from ..train.request import FineTune, FromScratch, TrainingRequest
    from ..train.sources import FileSource

    if (args.init is None) == (args.model is None):
        raise OptionError("give either --init (base, tiny or a file) to fine-tune, or --model to train from scratch")
    if args.layout and args.data != SCENES:
        raise OptionError("--layout knows what drawn scenes hold: leave it out, or train a base model with DATA scenes")
    inpaint = args.variant == "inpaint"
    return TrainingRequest(
        start=FromScratch(MODELS[args.model]) if args.model else FineTune(_source(args.init, args.stage, inpaint)),
        data=SceneSource(args.scenes) if args.data == SCENES else FileSource(args.data),
        out=args.out,
        options=_options(args),
        inpaint=inpaint,
        freeze=args.freeze,
        lora_rank=args.lora,
        auxiliary=partial(LayoutLesson, weight=args.layout) if args.layout else None,
        prompts=tuple(args.sample_prompt),
        device=args.device,
        resume=args.resume,
    )


def _source(init: str, stage: str, inpaint: bool) -> str:
    """The name or file of the model to fine-tune.

    For the inpainting variant of a family, that is its inpainting model, which can fill holes already, or else its
    plain one.
    """
    from ..files import checkpoints

    name = common.family_member("openai" if init == "base" else init, stage)
    if name is None:
        return init
    if not inpaint:
        return name
    try:
        checkpoints.find(f"{name}-inpaint")
    except CheckpointError:
        return name
    return f"{name}-inpaint"


def _options(args: argparse.Namespace) -> Options:
    new_tiny = args.model is not None and args.model.startswith("tiny")
    muon = args.optimizer == "muon" if args.optimizer else new_tiny and not args.lora
    return Options(
        phases=_phases(args.resolution or [None], args.steps, args.batch),
        lr=args.lr or (5e-4 if args.lora else 1.5e-3 if muon else 1e-4),
        warmup=args.warmup,
        schedule=args.schedule,
        decay=args.decay,
        ema=args.ema,
        caption_dropout=args.caption_dropout,
        precision=args.precision,
        muon=muon,
        focus=tuple(args.focus) if args.focus else None,
        noise_offset=tuple(args.noise_offset),
        accumulate=args.accumulate,
        recompute=args.gradient_checkpointing,
        seed=args.seed,
        minutes=args.minutes,
        save_every=args.save_every,
        sample_every=args.sample_every,
        tensorboard=args.tensorboard,
    )


def _phases(resolutions: list[int | None], steps: list[int], batches: list[int]) -> tuple[Phase, ...]:
    count = max(len(resolutions), len(steps), len(batches))
    if any(len(values) not in (1, count) for values in (resolutions, steps, batches)):
        raise OptionError("--resolution, --steps and --batch: give one value, or one for every phase")
    return tuple(
        Phase(resolutions[k % len(resolutions)], steps[k % len(steps)], batches[k % len(batches)]) for k in range(count)
    )


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
