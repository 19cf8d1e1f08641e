"""Training of a diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..diffusion.schedule import NoiseSchedule
from ..files import checkpoints
from ..images import write_text_whole
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from . import lora
from .ahead import Ahead
from .auxiliary import AuxiliaryLoss
from .dataset import Dataset
from .feed import Feed, Piece
from .loss import DiffusionLoss, Objective
from .masks import DrawMasks
from .options import Options
from .recompute import recompute_blocks
from .samples import Samples
from .training import Training


class Trainer(Training[Text2Im]):
    """A diffusion model that is trained: ``Trainer(model, tokenizer, data, options, out).run()``.

    Args:
        model: those of its parameters that require gradients are trained, in place.
        tokenizer: of the model.
        data: pictures of side ``model.config.image_size`` with captions; a ``LabelledDataset`` where there is an
            auxiliary loss.
        options: the numbers of the training.
        out: the folder for ``state.pt``, ``log.csv``, ``<kind>.safetensors`` (the averaged weights as fp16) with its
            tokenizer, ``lora.safetensors`` where the model has additions, and ``samples``.
        objective: what is minimised; the default is ``DiffusionLoss`` with the options' focus and noise offset.
        auxiliary: a loss of the same model, learned beside the objective.
        masks: what to erase from pictures for an inpainting model; the default is ``masks.random_masks``.
        accelerator: of the processes that train together; the default is this process alone, on the model's device.
        prompts: of the sample sheets; the default is captions of the data.
    """

    def __init__(
        self,
        model: Text2Im,
        tokenizer: Tokenizer,
        data: Dataset,
        options: Options,
        out: Path,
        *,
        objective: Objective | None = None,
        auxiliary: AuxiliaryLoss | None = None,
        masks: DrawMasks | None = None,
        accelerator: Accelerator | None = None,
        prompts: Sequence[str] = (),
    ) -> None:
        super().__init__(model, options, out, accelerator)
        self.tokenizer, self.auxiliary = tokenizer, auxiliary
        if options.recompute:
            recompute_blocks(model)  # after the copy for the average was made
        self.parallel = self.accelerator.prepare_model(model)
        if auxiliary is not None:
            auxiliary.to(self.device)
        self.optimizer = self.new_optimizer(list(auxiliary.parameters()) if auxiliary is not None else [])
        self.objective = objective or DiffusionLoss(
            NoiseSchedule(model.config.noise_schedule), self.device, options.focus, options.noise_offset
        )
        if options.sample_every:
            self.samples = self._samples(data, prompts)
            self.draw_samples = self._draw_samples
        feed = Feed(
            data,
            tokenizer,
            model.config,
            options,
            auxiliary=auxiliary,
            masks=masks,
            process=self.accelerator.process_index,
            processes=self.processes,
        )
        self.pieces = Ahead(feed, data, options.steps)

    def _samples(self, data: Dataset, prompts: Sequence[str]) -> Samples:
        config, options = self.model.config, self.options
        side = options.phases[-1].side(config)
        return Samples(self.out, data, self.tokenizer, config, prompts=prompts, resolution=side, seed=options.seed)

    def _draw_samples(self, step: int) -> None:
        with self.autocast():
            self.samples.draw(self.ema.module, step)

    def gradients(self) -> float:
        """See ``Training``."""
        pieces = self.pieces(self.step)
        losses = torch.stack([self._backward(piece, last=piece is pieces[-1]) for piece in pieces])
        if self.auxiliary is not None and self.processes > 1:  # accelerate averages the gradients of the model alone
            for p in self.auxiliary.parameters():
                p.grad = self.accelerator.reduce(p.grad, "mean")
        return float(self.accelerator.reduce(losses.sum(), "mean"))

    def _backward(self, piece: Piece, *, last: bool) -> Tensor:
        """Add a piece's gradient; the last piece's backward pass averages those of all processes.

        Returns:
            The piece's part of the objective.
        """
        device = self.device
        targets = [part.to(device) for part in piece.targets]
        with nullcontext() if last else self.accelerator.no_sync(self.parallel):
            with self.autocast():
                loss = self.objective(
                    self.parallel,
                    piece.images.to(device),
                    piece.tokens.to(device),
                    piece.mask.to(device),
                    piece.generator,
                    conditions={name: value.to(device) for name, value in piece.conditions.items()},
                    pixel_weights=self.auxiliary.pixel_weights(targets) if self.auxiliary is not None else None,
                )
                learned = loss
                if self.auxiliary is not None:
                    learned = loss + self.auxiliary.loss(targets)
            scaled: Tensor = self.optimizer.scaler.scale(learned / self.options.accumulate)
            torch.autograd.backward(scaled)
        return loss.detach() / self.options.accumulate

    @property
    def model_path(self) -> Path:
        """The file that ``save`` writes the averaged weights to."""
        return self.out / f"{self.model.config.kind}.safetensors"

    @property
    def lora_path(self) -> Path:
        """The file that ``save`` writes the additions to, where the model has some."""
        return self.out / "lora.safetensors"

    def save_model(self) -> None:
        """See ``Training``."""
        config, average = self.model.config, self.ema.module
        write_text_whole(self.out / f"{config.kind}.tokenizer.json", self.tokenizer.to_json())
        notes = {"step": self.step, checkpoints.NOISE_OFFSET_KEY: ",".join(map(str, self.options.noise_offset))}
        checkpoints.save(lora.merged(average), config, self.model_path, dtype=torch.float16, notes=notes)
        if lora.has_additions(average):
            lora.save(average, self.lora_path, notes=notes)

    def auxiliary_state(self) -> dict[str, Any] | None:
        """See ``Training``."""
        return self.auxiliary.state_dict() if self.auxiliary is not None else None

    def load_auxiliary_state(self, saved: Any) -> None:
        """See ``Training``."""
        if self.auxiliary is not None:
            self.auxiliary.load_state_dict(saved)
