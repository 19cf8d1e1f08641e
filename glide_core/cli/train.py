"""``glide train``: train or fine-tune a GLIDE model on one's own pictures, or on drawn scenes."""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, DatasetError, OptionError
from ..models.config import PUBLISHED, TINY_BASE, ModelConfig
from ..train.options import Options
from . import common, training_end
from .train_options import MODELS, add_arguments, phases

if TYPE_CHECKING:
    from ..models.tokenizer import Tokenizer
    from ..train.request import TrainingRequest
    from ..train.session import DiffusionOutcome

__all__ = ["add_arguments", "run"]

SCENES = "scenes"


def run(args: argparse.Namespace) -> None:
    """Train as the parsed options say. Exits with 130 where the training was stopped, after saving it.

    Raises:
        GlideError, OSError: see ``session.run``.
    """
    warnings.filterwarnings("ignore", module="PIL")  # the summary counts what is wrong with pictures
    if args.check:
        _check(args)
        return
    from ..train import session

    outcome = session.run(_request(args))
    training_end.leave_if_stopped(outcome, resumed=args.resume)
    prompt = next(iter(args.sample_prompt), outcome.caption) or "a red circle on a blue background"
    training_end.tell("the model", outcome, _use(outcome, training_end.example(prompt)))
    if outcome.main_process and outcome.lora:
        print(f"the additions alone are {outcome.lora}: for ComfyUI's models/loras")


def _check(args: argparse.Namespace) -> None:
    """Say what the data set holds, and draw some of it. Raises DatasetError: nothing in it can be trained on."""
    from ..train.sources import FileSource
    from ..train.survey import lines, survey, write_shown
    from . import outputs

    if args.data == SCENES:
        raise OptionError("--check reads pictures in files: scenes are drawn, and nothing of them is left out")
    sheet = args.out / "check.png" if args.out else Path("glide-check.png")
    outputs.require_output("--check", sheet)
    config, tokenizer = _model_to_check_for(args)
    found = survey(FileSource(args.data, args.background).open(config.image_size), tokenizer, progress=True)
    print(*lines(found), sep="\n")
    if not found.usable:
        raise DatasetError(f"{args.data}: nothing in it can be trained on")
    write_shown(found, sheet)
    print(f"some of them, as the model sees them: {sheet}")


def _model_to_check_for(args: argparse.Namespace) -> tuple[ModelConfig, Tokenizer]:
    """The sizes and the tokenizer of the model in --init or --model, else of the published one."""
    from ..files import checkpoints

    if args.model:
        return MODELS[args.model], checkpoints.tokenizer_for(MODELS[args.model], args.model)
    source = _source(args.init or "base", args.stage, args.variant == "inpaint")
    if source in PUBLISHED:  # which need not be here
        return PUBLISHED[source], checkpoints.tokenizer_for(PUBLISHED[source], source)
    path = checkpoints.find(source)
    config = checkpoints.read_model(path)[1]
    return config, checkpoints.tokenizer_for(config, path)


def _use(outcome: DiffusionOutcome, words: str) -> list[str]:
    """A command that uses what was written."""
    model, kind = str(outcome.model), outcome.config.kind
    family = common.FAMILIES["tiny" if outcome.config.vocab_size == TINY_BASE.vocab_size else "openai"]
    edit = ["glide", "inpaint", "PHOTO.png", "--mask", "MASK.png", "--prompt", words, "--checkpoint"]
    return {
        "base": ["glide", "generate", words, "--checkpoint", model, "--stage", "base", "-o", "drawn.png"],
        "upsample": ["glide", "upsample", "SMALL.png", "--prompt", words, "--checkpoint", model, "-o", "large.png"],
        "base-inpaint": [*edit, model, "--upsampler", f"{family}upsample-inpaint", "-o", "edited.png"],
        "upsample-inpaint": [*edit, f"{family}base-inpaint", "--upsampler", model, "-o", "edited.png"],
    }[kind]


def _request(args: argparse.Namespace) -> TrainingRequest:
    from ..tiny.layout_lesson import LayoutLesson
    from ..tiny.scene_data import SceneSource
    from ..train.request import FineTune, FromScratch, TrainingRequest
    from ..train.sources import FileSource

    if args.out is None:
        raise OptionError("give --out, a folder for the model, or --check to look at the data alone")
    if (args.init is None) == (args.model is None):
        raise OptionError("give either --init (base, tiny or a file) to fine-tune, or --model to train from scratch")
    if args.layout and args.data != SCENES:
        raise OptionError("--layout knows what drawn scenes hold: leave it out, or train a base model with DATA scenes")
    inpaint = args.variant == "inpaint"
    return TrainingRequest(
        start=FromScratch(MODELS[args.model]) if args.model else FineTune(_source(args.init, args.stage, inpaint)),
        data=SceneSource(args.scenes) if args.data == SCENES else FileSource(args.data, args.background),
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
        phases=phases(args.resolution or [None], args.steps, args.batch),
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
