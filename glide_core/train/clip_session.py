"""One training of a noised CLIP from its request to its result; ``session`` is the same for diffusion models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from ..device import pick_device
from ..errors import OptionError
from ..files import clip_checkpoints
from ..models.clip import NoisedClip
from ..models.clip_config import ClipConfig
from ..models.clip_tokenizer import ClipTokenizer
from ..models.unet import sdpa
from . import session
from .clip_initial import initialise
from .dataset import DataSource
from .initial import matmul_attention
from .options import Options

if TYPE_CHECKING:
    from .contrastive import Lesson

MODEL = "clip.safetensors"


@dataclass(frozen=True)
class ClipTrainingRequest:
    """What to train, on what, and how.

    Attributes:
        start: a noised CLIP, by a file or a name that ``clip_checkpoints.find`` knows, or the sizes of a new one.
        data: where the pictures and captions come from.
        out: the folder for all results, see ``ContrastiveTrainer``.
        options: the numbers of the training; those that only diffusion models have are ignored.
        freeze: the encoder that stays as it is, if any.
        tokenizer: of a new model; None takes that which ``clip_checkpoints.tokenizer_for`` finds for its sizes.
        lesson: makes what is learned beside, from the model.
        device: "auto", "cpu" or "cuda".
        resume: go on with the training in ``out``; everything else must be as it was.
    """

    start: str | Path | ClipConfig
    data: DataSource
    out: Path
    options: Options
    freeze: Literal["text", "image"] | None = None
    tokenizer: ClipTokenizer | None = None
    lesson: Callable[[NoisedClip], Lesson] | None = None
    device: str = "auto"
    resume: bool = False


def run(request: ClipTrainingRequest) -> session.Outcome:
    """Train as a request says; under ``accelerate launch`` on all its processes together.

    Raises:
        What ``session.run`` raises.
    """
    device, options = pick_device(request.device), request.options
    accelerator = session.start(request.out, device, resume=request.resume)
    from .contrastive import ContrastiveTrainer

    _check(options, accelerator.num_processes)
    torch.manual_seed(options.seed)
    model, tokenizer = _built(request, device)
    lesson = request.lesson(model) if request.lesson else None
    data, found = session.opened(request.data, model.config.image_size, tokenizer, options.seed, accelerator)
    trainer = ContrastiveTrainer(model, tokenizer, data, options, request.out, lesson=lesson, accelerator=accelerator)
    if request.resume:
        trainer.resume()
    trainer.run()
    accelerator.end_training()
    return session.Outcome(
        step=trainer.step,
        interrupted=trainer.interrupted,
        main_process=accelerator.is_main_process,
        model=request.out / MODEL,
        caption=found.caption if found else "",
    )


def _built(request: ClipTrainingRequest, device: torch.device) -> tuple[NoisedClip, ClipTokenizer]:
    """The model to start with, in fp32 and on the CPU, of which only what is to be trained requires gradients."""
    attention = matmul_attention if device.type == "cpu" else sdpa
    if isinstance(request.start, ClipConfig):
        config = request.start
        model = NoisedClip(config, attention=attention)
        initialise(model)
        tokenizer = request.tokenizer or clip_checkpoints.tokenizer_for(config, request.out / MODEL)
    else:
        files = clip_checkpoints.find(request.start)
        tensors, config = clip_checkpoints.read_clip(*files)
        model = NoisedClip(config, attention=attention)
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        tokenizer = clip_checkpoints.tokenizer_for(config, files[0])
    if request.freeze:
        getattr(model, request.freeze).requires_grad_(False)
    return model, tokenizer


def _check(options: Options, processes: int) -> None:
    """Raise OptionError where a batch cannot be shared out so that pictures have others to be compared with."""
    pieces = processes * options.accumulate
    for phase in options.phases:
        if phase.batch % pieces or phase.batch < 2 * pieces:
            raise OptionError(
                f"--batch {phase.batch}: not a multiple of {pieces} (processes times --accumulate) with 2 pictures or "
                "more in each piece: captions are compared with those of the other pictures in a piece"
            )
