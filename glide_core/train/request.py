"""What ``session.run`` is asked to do, as one typed value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..models.config import ModelConfig
from .auxiliary import MakeAuxiliaryLoss
from .dataset import DataSource
from .loss import MakeObjective
from .masks import DrawMasks
from .options import Options


@dataclass(frozen=True)
class FineTune:
    """Start from a checkpoint: a file, or a name that ``checkpoints.find`` knows."""

    source: str | Path


@dataclass(frozen=True)
class FromScratch:
    """Start from random weights in a model of these sizes."""

    config: ModelConfig


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on what, and how.

    Attributes:
        start: the model to start with.
        data: where the pictures and captions come from.
        out: the folder for all results, see ``Trainer``.
        options: the numbers of the training.
        inpaint: train the model to fill erased regions; a plain checkpoint gets the inputs for that.
        freeze: the part of the model that stays as it is, if any.
        lora_rank: train additions of this rank instead of the weights; None trains the weights.
        auxiliary: makes a loss to learn beside the diffusion loss from the model; needs a ``LabelledDataset``.
        objective: makes what is minimised; the default is ``DiffusionLoss`` with the options' focus and noise offset.
        masks: see ``Trainer``.
        prompts: of the sample sheets; where it is empty, captions of the data.
        device: "auto", "cpu" or "cuda".
        resume: go on with the training in ``out``; everything else must be as it was.
    """

    start: FineTune | FromScratch
    data: DataSource
    out: Path
    options: Options
    inpaint: bool = False
    freeze: Literal["text", "unet"] | None = None
    lora_rank: int | None = None
    auxiliary: MakeAuxiliaryLoss | None = None
    objective: MakeObjective | None = None
    masks: DrawMasks | None = None
    prompts: tuple[str, ...] = ()
    device: str = "auto"
    resume: bool = False
