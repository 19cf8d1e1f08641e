"""The options of ``glide train``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from ..choices import MAX_RANK
from ..choices import SCENES as SCENES_DRAWN
from ..errors import OptionError
from ..models.config import PUBLISHED, TINY, ModelConfig
from ..train.options import PRECISIONS, SCHEDULES, Options, Phase
from . import common

MODELS: dict[str, ModelConfig] = {**PUBLISHED, **{f"tiny-{kind}": config for kind, config in TINY.items()}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide train``."""
    data_options(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="read all of DATA, say what is in it and what would be left out, draw some of it on a sheet "
        "(check.png in --out, else glide-check.png here), and stop",
    )
    _model_options(parser)
    training = parser.add_argument_group("training")
    update_options(training)
    _diffusion_options(training)
    memory_options(parser)
    _watching_options(saving_options(parser))


def data_options(parser: argparse.ArgumentParser) -> None:
    """Add what to train on and where the results go."""
    add = parser.add_argument
    add(
        "data",
        metavar="DATA",
        help="a folder of pictures with .txt captions of the same names, or with a metadata.jsonl; tar shards of a "
        "WebDataset (a folder of them, one file, or a pattern such as 'shards-{000..099}.tar'); parquet files (a "
        "folder, a file, or a pattern); or the word scenes, for drawn shapes",
    )
    add("--out", type=Path, metavar="DIR", help="the folder for the model, its log, samples and state")
    add(
        "--background",
        default="white",
        metavar="COLOUR",
        help="what to lay transparent pictures on, such as black or '#8090a0' (default: %(default)s)",
    )
    add("--resume", action="store_true", help="go on with the training in --out; give the other options as before")
    add(
        "--scenes",
        type=common.count,
        default=SCENES_DRAWN,
        metavar="N",
        help="how many scenes to draw ahead (default: %(default)s)",
    )


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
        type=_rank,
        metavar="RANK",
        help="train additions of this rank to the weights (4 to 64 are usual) instead of the weights, and save them "
        "for ComfyUI's LoRA loaders, too",
    )


def update_options(group: argparse._ArgumentGroup) -> None:
    """Add how the weights are updated."""
    add = group.add_argument
    add(
        "--steps",
        type=common.count,
        nargs="+",
        default=[3000],
        metavar="N",
        help="updates of the weights; several numbers are phases that follow each other, and so they are for the other "
        "options that take several (default: 3000)",
    )
    add(
        "--batch",
        type=common.count,
        nargs="+",
        default=[32],
        metavar="N",
        help="pictures in each update, of all processes together (default: 32)",
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
    add("--seed", type=int, default=Options.seed, metavar="N", help="default: %(default)s")


def _diffusion_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--resolution",
        type=common.count,
        nargs="+",
        metavar="N",
        help="side of the training pictures, or of an upsampler's crops (default: the model's)",
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


def memory_options(parser: argparse.ArgumentParser) -> None:
    """Add what saves memory, and where to compute."""
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


def saving_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add when to save and to stop -> the group of these options."""
    group = parser.add_argument_group("saving and watching")
    add = group.add_argument
    add(
        "--save-every",
        type=_above_zero,
        default=Options.save_every,
        metavar="MINUTES",
        help="time between checkpoints (default: %(default)s)",
    )
    add("--minutes", type=_above_zero, default=Options.minutes, help="stop and save after this time (default: never)")
    add("--tensorboard", action="store_true", help="write the log for TensorBoard, too")
    return group


def _watching_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
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


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _rank(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MAX_RANK:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a rank from 1 to {MAX_RANK}; 4 to 64 are usual")
    return int(text)


def phases(resolutions: list[int | None], steps: list[int], batches: list[int]) -> tuple[Phase, ...]:
    """The phases of a training. Raises OptionError: there are not as many values for each."""
    count = max(len(resolutions), len(steps), len(batches))
    if any(len(values) not in (1, count) for values in (resolutions, steps, batches)):
        raise OptionError("--resolution, --steps and --batch: give one value, or one for every phase")
    return tuple(
        Phase(resolutions[k % len(resolutions)], steps[k % len(steps)], batches[k % len(batches)]) for k in range(count)
    )
