"""Training of a noised CLIP: contrastive, on noised pictures (paper section 2.4; Radford 2021, section 2.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from ..diffusion.schedule import NoiseSchedule
from ..files import clip_checkpoints
from ..images import write_text_whole
from ..models.clip import NoisedClip
from ..models.clip_tokenizer import ClipTokenizer
from .ahead import Ahead
from .contrast_data import Batch, noised
from .dataset import Dataset
from .options import Options
from .training import Training

NOISE_SCHEDULE = "squaredcos_cap_v2"
MAX_LOGIT_SCALE = 100.0  # Radford 2021, section 2.5


class Lesson(Protocol):
    """Something that the embeddings must also tell; it helps a small model that is trained for an hour."""

    def parameters(self) -> Any:
        """What of it is trained, too."""

    def loss(self, image: Tensor, text: Tensor, labels: Sequence[Any], captions: Sequence[str]) -> Tensor:
        """One number to add to the loss, from the embeddings [B, embed_width] of a batch."""


class ContrastiveTrainer(Training[NoisedClip]):
    """A noised CLIP that is trained; used as ``loop.Trainer`` is.

    Of several processes each compares its own pictures with its own captions; their gradients are averaged.

    Args:
        model: trained in place, but for the vectors of the timesteps, which a picture in a thousand would reach.
        tokenizer: of the model.
        data: pictures of side ``model.config.image_size`` with captions, perhaps a ``ContrastDataset``.
        options: the numbers of the training. Those that only diffusion models have are ignored.
        out: the folder for ``state.pt``, ``log.csv`` and ``clip.safetensors`` (averaged weights, fp16) with its
            tokenizer.
        lesson: learned beside.
    """

    def __init__(
        self,
        model: NoisedClip,
        tokenizer: ClipTokenizer,
        data: Dataset,
        options: Options,
        out: Path,
        *,
        lesson: Lesson | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        model.image.blocks["input"].w_t.requires_grad_(False)
        super().__init__(model, options, out, accelerator)
        self.tokenizer, self.data = tokenizer, data
        self.lesson = lesson
        model.image.recompute = model.text.recompute = options.recompute
        self.parallel = self.accelerator.prepare_model(model)
        self.log_scale = nn.Parameter(torch.tensor(math.log(model.config.logit_scale), device=self.device))
        self.others = [self.log_scale, *(lesson.parameters() if lesson else ())]
        self.optimizer = self.new_optimizer(self.others)
        alphas_cumprod = torch.from_numpy(NoiseSchedule(NOISE_SCHEDULE).alphas_cumprod).float()
        self.alphas_cumprod = alphas_cumprod[: model.config.timesteps]
        self.pieces = Ahead(self._batches, data, options.steps)

    def train_step(self) -> tuple[float, float]:
        """See ``Training``; the scale of the cosines stays in its range."""
        loss, norm = super().train_step()
        self.log_scale.data.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return loss, norm

    def gradients(self) -> float:
        """See ``Training``."""
        pieces = self.pieces(self.step)
        total = 0.0
        for batch in pieces:
            with nullcontext() if batch is pieces[-1] else self.accelerator.no_sync(self.parallel):
                with self.autocast():
                    loss = self._loss(batch)
                torch.autograd.backward(self.optimizer.scaler.scale(loss / len(pieces)))
            total += float(self.accelerator.reduce(loss.detach(), "mean")) / len(pieces)
        return total

    def _loss(self, batch: Batch) -> Tensor:
        tokens, lengths = self.tokenizer([*batch.captions, *batch.wrong])
        longest = int(lengths.max())
        image, text = self.parallel(
            batch.x.to(self.device),
            batch.timesteps.to(self.device),
            tokens[:, :longest].to(self.device),
            lengths.to(self.device),
        )
        loss = contrastive_loss(image, text, self.log_scale.exp(), batch.captions + batch.wrong)
        if self.lesson is not None:
            own = text[: len(image)]
            loss = loss + self.lesson.loss(image, own, batch.labels, batch.captions)
        return loss

    def _batches(self, step: int) -> list[Batch]:
        options, process = self.options, self.accelerator.process_index
        size = options.phase_at(step).batch // (self.processes * options.accumulate)
        streams = (np.random.default_rng([options.seed, step, k, process]) for k in range(options.accumulate))
        return [noised(self.data, rng, size, self.alphas_cumprod, options.timestep_power) for rng in streams]

    def save_model(self) -> None:
        """See ``Training``."""
        config = replace(self.model.config, logit_scale=float(self.log_scale.detach().exp()))
        path = self.out / "clip.safetensors"
        clip_checkpoints.save(self.ema.module, config, path, dtype=torch.float16, notes={"step": self.step})
        write_text_whole(self.out / "clip.tokenizer.json", self.tokenizer.to_json())

    def auxiliary_state(self) -> list[Tensor]:
        """See ``Training``."""
        return [p.detach() for p in self.others]

    def load_auxiliary_state(self, saved: Any) -> None:
        """See ``Training``."""
        with torch.no_grad():
            for p, value in zip(self.others, saved, strict=True):
                p.copy_(value)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, captions: Sequence[str]) -> Tensor:
    """The mean of two cross entropies: which text belongs to each picture, and which picture to each text.

    Pictures whose captions are the same are not held against each other.

    Args:
        image: [B, E], of length 1.
        text: [B + N, E], of length 1: the pictures' own texts in their order, then N that belong to none.
        scale: of the cosines.
        captions: the B + N texts.
    """
    count = len(image)
    logits = scale * image.float() @ text.float().T
    number = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    ids = torch.tensor([number[caption] for caption in captions])
    same = ids[:count, None] == ids[None, :]
    same[torch.arange(count), torch.arange(count)] = False
    logits = logits.masked_fill(same.to(logits.device), -math.inf)
    own = torch.arange(count, device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, :count].T, own)) / 2
