"""How to train: every number of a training in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..choices import DTYPES
from ..errors import OptionError
from ..models.config import ModelConfig

SCHEDULES = ("decay", "cosine", "constant")
PRECISIONS = ("auto", *DTYPES)


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        resolution: side of the pictures, or of an upsampler's crops, in pixels; None is the model's own size.
        steps: updates of the weights.
        batch: pictures in each update, over all processes.
    """

    resolution: int | None
    steps: int
    batch: int

    def side(self, config: ModelConfig) -> int:
        """The side of the pictures for this model, in pixels."""
        return config.image_size if self.resolution is None else self.resolution


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        phases: they follow each other.
        lr: learning rate, reached after ``warmup`` steps.
        schedule: how the rate falls to zero: "decay" over the last part of all steps, "cosine" over all of them,
            "constant" not at all.
        decay: that last part, 0..1.
        ema: decay of the averaged weights, which are what is exported.
        caption_dropout: share of the captions that are replaced by the empty one, as guidance needs it, 0..1.
        precision: "fp32"; or "bf16" or "fp16" where autocast allows it; or "auto", see ``training_precision``. Weights
            and averages are always fp32.
        muon: train the inner matrices with Muon instead of AdamW, see ``Optimizer``.
        focus, noise_offset: see ``DiffusionLoss``.
        timestep_power: of a uniform number, which gives the timesteps of a noised CLIP's pictures: the higher, the less
            noise. With 1.5 a fifth of the pictures have almost none, as those have that are scored.
        accumulate: in how many pieces each process computes its part of a batch, one after the other, to save memory.
        recompute: compute the blocks again in the backward pass instead of keeping what is inside of them.
        seed: decides the order of the data, captions, noise, and initial weights.
        minutes: stop, with a checkpoint, after this time.
        save_every: minutes between checkpoints.
        sample_every: steps between sample sheets, 0 for none.
        tensorboard: also write the log as TensorBoard's event files.

    Raises:
        OptionError: there is no such schedule or precision, or there is no phase.
    """

    phases: tuple[Phase, ...]
    lr: float = 1.5e-3
    warmup: int = 50
    schedule: str = "decay"
    decay: float = 0.3
    ema: float = 0.998
    caption_dropout: float = 0.15
    precision: str = "fp32"
    muon: bool = True
    focus: tuple[float, float] | None = None
    noise_offset: tuple[float, ...] = ()
    timestep_power: float = 1.5
    accumulate: int = 1
    recompute: bool = False
    seed: int = 0
    minutes: float = math.inf
    save_every: float = 5.0
    sample_every: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise OptionError(f"the schedule is {self.schedule!r}: use one of {', '.join(SCHEDULES)}")
        if self.precision not in PRECISIONS:
            raise OptionError(f"the precision is {self.precision!r}: use one of {', '.join(PRECISIONS)}")
        if not self.phases:
            raise OptionError("there is no phase: give at least one")

    @property
    def steps(self) -> int:
        """Updates of the weights in all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase that a step, counted from 0, belongs to. Raises IndexError after the last one."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("the training is over")

    def lr_scale(self, step: int) -> float:
        """The part of ``lr``, 0..1, to use in a step."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        if self.schedule == "cosine":
            return warm * (1 + math.cos(math.pi * step / self.steps)) / 2
        if self.schedule == "decay" and self.decay:
            return min(warm, (self.steps - step) / max(1, round(self.decay * self.steps)))
        return warm

    def check(self, config: ModelConfig, processes: int) -> None:
        """Make sure that the phases suit a model and a number of processes.

        Raises:
            OptionError: a resolution or a batch does not; the message names the option of ``glide train``.
        """
        pieces = processes * self.accumulate
        for phase in self.phases:
            side, multiple = phase.side(config), config.size_multiple
            if side % multiple or side > config.image_size:
                raise OptionError(f"--resolution {side}: not a multiple of {multiple} up to {config.image_size}")
            if phase.batch % pieces:
                raise OptionError(f"--batch {phase.batch}: not a multiple of {pieces} (processes times --accumulate)")
