"""``glide train clip``: train or fine-tune a noised CLIP on one's own pictures and captions."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..models.clip_config import PUBLISHED_CLIP, START_LOGIT_SCALE, TINY_CLIP, ClipConfig
from ..train.options import Options
from . import training_end
from .clip import CLIPS
from .train_options import data_options, memory_options, phases, saving_options, update_options

if TYPE_CHECKING:
    from ..train.clip_session import ClipTrainingRequest

MODELS = {"tiny-clip": TINY_CLIP, "clip": PUBLISHED_CLIP}
DRAWN = "scenes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide train clip``."""
    data_options(parser)
    add = parser.add_argument_group("model").add_argument
    add(
        "--init",
        metavar="openai|tiny|FILE",
        help="fine-tune OpenAI's noised CLIP (after `glide fetch clip-image-enc clip-text-enc`), the embedded tiny "
        "one, or the one in a file",
    )
    add(
        "--model",
        choices=MODELS,
        help="train one of these sizes from random weights instead. clip has OpenAI's vocabulary; tiny-clip has the "
        "512 words and letters of the embedded models, and reads 32 of them of a caption",
    )
    add("--freeze", choices=("text", "image"), help="leave one of the two encoders as it is")
    update_options(parser.add_argument_group("training"))
    memory_options(parser)
    saving_options(parser)


def run(args: argparse.Namespace) -> None:
    """Train as the parsed options say. Exits with 130 where the training was stopped, after saving it.

    Raises:
        GlideError, OSError: see ``clip_session.run``.
    """
    warnings.filterwarnings("ignore", module="PIL")  # the summary counts what is wrong with pictures
    from ..train import clip_session

    outcome = clip_session.run(_request(args))
    training_end.leave_if_stopped(outcome, resumed=args.resume)
    model, words = str(outcome.model), training_end.example(outcome.caption or "a red circle")
    training_end.tell(
        "the noised CLIP",
        outcome,
        ["glide", "score", "PICTURE.png", "--prompt", words, "--clip", model],
        ["glide", "generate", words, "-o", "best.png", "--best-of", "8", "--clip", model],
    )


def _request(args: argparse.Namespace) -> ClipTrainingRequest:
    from ..tiny.clip_lesson import ContrastSource
    from ..train.clip_session import ClipTrainingRequest
    from ..train.sources import FileSource

    if args.out is None:
        raise OptionError("give --out, a folder for the noised CLIP")
    if (args.init is None) == (args.model is None):
        raise OptionError("give either --init (openai, tiny or a file) to fine-tune, or --model to train from scratch")
    start: str | ClipConfig = CLIPS.get(args.init, args.init)
    if args.model:
        start = replace(MODELS[args.model], logit_scale=START_LOGIT_SCALE)
    return ClipTrainingRequest(
        start=start,
        data=ContrastSource(args.scenes) if args.data == DRAWN else FileSource(args.data, args.background),
        out=args.out,
        options=_options(args),
        freeze=args.freeze,
        device=args.device,
        resume=args.resume,
    )


def _options(args: argparse.Namespace) -> Options:
    muon = args.optimizer == "muon" if args.optimizer else args.model == "tiny-clip"
    return Options(
        phases=phases([None], args.steps, args.batch),
        lr=args.lr or (1.5e-3 if muon else 1e-4),
        warmup=args.warmup,
        schedule=args.schedule,
        decay=args.decay,
        ema=args.ema,
        caption_dropout=0.0,
        precision=args.precision,
        muon=muon,
        accumulate=args.accumulate,
        recompute=args.gradient_checkpointing,
        seed=args.seed,
        minutes=args.minutes,
        save_every=args.save_every,
        tensorboard=args.tensorboard,
    )
