"""How to train: every number of a training in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("decay", "cosine", "constant")


@dataclass(frozen=True)
class Phase:
    """A part of the training: ``steps`` updates on ``batch`` pictures of side ``resolution``."""

    resolution: int
    steps: int
    batch: int


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        phases: run one after the other.
        lr: learning rate, reached after ``warmup`` steps.
        schedule: "decay" lets the rate fall to zero over the last ``decay`` (0..1) of all steps, "cosine" over all of
            them, "constant" never.
        ema: decay of the averaged weights, which are what is exported.
        caption_dropout: part of the captions replaced by the empty one, for guidance.
        precision: "fp32", or "bf16" or "fp16" where autocast allows it; weights and averages are always fp32.
        muon: see ``Optimizer``.
        focus, noise_offset: see ``loss.DiffusionLoss``.
        layout: weight of the loss of ``layout.Layout``, which knows drawn scenes only; 0 for none.
        accumulate: pieces that each process's part of a batch is computed in, one after the other: saves memory.
        recompute: compute the blocks again in the backward pass instead of keeping what is inside of them.
        seed: decides data order, captions, noise and initial weights.
        minutes: stop (with a checkpoint) after this time.
        save_every: minutes between checkpoints.
        sample_every: steps between sample sheets, 0 for none.
        tensorboard: also write the log as TensorBoard's event files.
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
    layout: float = 0.0
    accumulate: int = 1
    recompute: bool = False
    seed: int = 0
    minutes: float = math.inf
    save_every: float = 5.0
    sample_every: int = 0
    tensorboard: bool = False

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("the training is over")

    def lr_scale(self, step: int) -> float:
        """Part of ``lr`` to use in a step, 0..1."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        if self.schedule == "cosine":
            return warm * (1 + math.cos(math.pi * step / self.steps)) / 2
        if self.schedule == "decay" and self.decay:
            return min(warm, (self.steps - step) / max(1, round(self.decay * self.steps)))
        return warm
