"""The training loop: it resumes to the same losses, alone or on several processes through ``accelerate``."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from ..device import DTYPES
from ..diffusion.schedule import NoiseSchedule
from ..errors import CheckpointError, TrainingError
from ..files import checkpoints
from ..images import write_text_whole
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from . import lora, state
from .auxiliary import AuxiliaryLoss
from .dataset import Dataset
from .decoding import warn
from .ema import WeightAverage
from .feed import Feed, Piece
from .log import Log
from .loss import DiffusionLoss, Objective
from .masks import DrawMasks
from .optim import Optimizer, trained
from .options import Options
from .precision import training_precision
from .recompute import recompute_blocks
from .samples import Samples
from .stop import StopRequest

MAX_BAD_STEPS = 20


class Trainer:
    """A model with everything that a training step needs.

    ``Trainer(model, tokenizer, data, options, out).run()`` trains a model; ``resume`` before ``run`` goes on with the
    training in ``out``.

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

    Attributes:
        step: how many steps have been done.
        interrupted: did ``run`` stop early because of a signal?
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
        self.tokenizer, self.options, self.out = tokenizer, options, Path(out)
        self.auxiliary = auxiliary
        cpu = next(model.parameters()).device.type == "cpu"
        self.accelerator = accelerator or Accelerator(cpu=cpu, mixed_precision="no")
        self.device, self.processes = self.accelerator.device, self.accelerator.num_processes
        self.precision = training_precision(options.precision, self.device)
        self.model = model.to(self.device)
        self.ema = WeightAverage(model, options.ema)
        if options.recompute:
            recompute_blocks(model)  # after the copy for the average was made
        self.parallel = self.accelerator.prepare_model(model)
        self.optimizer = self._optimizer()
        self.objective = objective or DiffusionLoss(
            NoiseSchedule(model.config.noise_schedule), self.device, options.focus, options.noise_offset
        )
        self.samples = self._samples(data, prompts) if options.sample_every else None
        self.feed = Feed(
            data,
            tokenizer,
            model.config,
            options,
            auxiliary=auxiliary,
            masks=masks,
            process=self.accelerator.process_index,
            processes=self.processes,
        )
        self.step, self.bad_steps = 0, 0
        self.interrupted = False

    def _optimizer(self) -> Optimizer:
        heads = []
        if self.auxiliary is not None:
            self.auxiliary.to(self.device)
            heads = list(self.auxiliary.parameters())
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        return Optimizer(
            self.model,
            self.options.lr,
            muon=self.options.muon,
            scaler=scaler,
            others=heads,
            muon_dtype=torch.bfloat16 if self.precision == "bf16" else torch.float32,
        )

    def _samples(self, data: Dataset, prompts: Sequence[str]) -> Samples:
        config, options = self.model.config, self.options
        side = options.phases[-1].side(config)
        return Samples(self.out, data, self.tokenizer, config, prompts=prompts, resolution=side, seed=options.seed)

    def run(self) -> list[float]:
        """Train until all steps are done, the minutes are over, or a signal such as Ctrl-C comes; then save.

        Returns:
            The loss of each step.
        Raises:
            TrainingError: the training diverged.
            OSError: the disk is full.
            None of these harms the last checkpoint.
        """
        options, losses, start = self.options, [], time.monotonic()
        main, saved, over = self.accelerator.is_main_process, start, False
        self.out.mkdir(parents=True, exist_ok=True)
        if main:
            state.remove_leftovers(self.out)
        log = Log(self.out, self.step, options.tensorboard) if main else None
        with (
            StopRequest(twice_stops_at_once=self.processes == 1) as stop,
            tqdm(total=options.steps, initial=self.step, disable=not main, smoothing=0.05) as bar,
        ):
            while self.step < options.steps and not (over or self.interrupted):
                began, batch = time.monotonic(), options.phase_at(self.step).batch
                loss, norm = self.train_step()
                losses.append(loss)
                now = time.monotonic()
                speed = batch / (now - began)
                if log:
                    lr = options.lr * options.lr_scale(self.step - 1)
                    log.write(self.step - 1, loss=loss, lr=lr, gradient_norm=norm, images_per_second=speed)
                bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.4f}, {speed:.0f} img/s", refresh=False)
                bar.update()
                if self.samples and main and self.step % options.sample_every == 0:
                    with self._autocast():
                        self.samples.draw(self.ema.module, self.step)
                self.interrupted, over, due = self._any_process(
                    stop.made, now - start > 60 * options.minutes, now - saved > 60 * options.save_every
                )
                if due:
                    self.save()
                    saved = time.monotonic()
        self.save()
        if log:
            log.close()
        self.feed.close()
        return losses

    def train_step(self) -> tuple[float, float]:
        """Update the weights once. What a step sees depends on the seed and its number alone.

        Returns:
            The mean loss of all processes and the norm of the gradient. Where one is not finite, nothing was updated.
        """
        pieces = self.feed(self.step)
        losses = torch.stack([self._backward(piece, last=piece is pieces[-1]) for piece in pieces])
        loss = float(self.accelerator.reduce(losses.sum(), "mean"))
        if self.auxiliary is not None and self.processes > 1:  # accelerate averages the gradients of the model alone
            for p in self.auxiliary.parameters():
                p.grad = self.accelerator.reduce(p.grad, "mean")
        norm = self.optimizer.step(self.options.lr_scale(self.step))
        if math.isfinite(loss) and math.isfinite(norm):
            self.bad_steps = 0
            self.ema.update_parameters(self.model)
        else:
            self._report_bad_step(loss, norm)
        self.step += 1
        return loss, norm

    def _backward(self, piece: Piece, *, last: bool) -> Tensor:
        """Add a piece's gradient; the last piece's backward pass averages those of all processes.

        Returns:
            The piece's part of the objective.
        """
        device = self.device
        targets = [part.to(device) for part in piece.targets]
        with nullcontext() if last else self.accelerator.no_sync(self.parallel):
            with self._autocast():
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

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")

    def _report_bad_step(self, loss: float, norm: float) -> None:
        self.bad_steps += 1
        if self.bad_steps == MAX_BAD_STEPS:
            raise TrainingError(
                f"the loss or its gradient was not finite in {MAX_BAD_STEPS} steps in a row; the last checkpoint was "
                "left as it is: go on from it with --resume and a lower --lr, or with --precision bf16 or fp32"
            )
        if self.accelerator.is_main_process:
            warn(f"step {self.step} is skipped: its loss is {loss:.3g}, its gradient's norm {norm:.3g}")

    def _any_process(self, *flags: bool) -> list[bool]:
        """For each flag: is it set in any of the processes? All processes get the same answer."""
        if self.processes == 1:
            return list(flags)
        wanted = self.accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=self.device), "sum")
        return [bool(flag) for flag in wanted]

    @property
    def state_path(self) -> Path:
        """The file that ``save`` writes and ``resume`` reads."""
        return self.out / "state.pt"

    @property
    def model_path(self) -> Path:
        """The file that ``save`` writes the averaged weights to."""
        return self.out / f"{self.model.config.kind}.safetensors"

    @property
    def lora_path(self) -> Path:
        """The file that ``save`` writes the additions to, where the model has some."""
        return self.out / "lora.safetensors"

    def save(self) -> None:
        """Write the training's state and the averaged model, each under a temporary name that is then renamed.

        Raises:
            OSError: a file cannot be written.
        """
        position = torch.tensor([self.feed.position], device=self.device)
        positions = self.accelerator.gather(position).tolist()
        if not self.accelerator.is_main_process:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        state.write(
            self.state_path,
            {
                "model": {name: p.detach() for name, p in trained(self.model).items()},
                "ema": {name: p.detach() for name, p in trained(self.ema.module).items()},
                "ema_count": self.ema.n_averaged,
                "optimizer": self.optimizer.state_dict(),
                "config": self.model.config.to_json(),
                "step": self.step,
                "positions": positions,
                "auxiliary": self.auxiliary.state_dict() if self.auxiliary is not None else None,
            },
        )
        config, average = self.model.config, self.ema.module
        write_text_whole(self.out / f"{config.kind}.tokenizer.json", self.tokenizer.to_json())
        notes = {"step": self.step}
        checkpoints.save(lora.merged(average), config, self.model_path, dtype=torch.float16, notes=notes)
        if lora.has_additions(average):
            lora.save(average, self.lora_path, notes=notes)

    def resume(self) -> None:
        """Continue from ``state.pt`` in ``out``.

        Raises:
            CheckpointError: the file does not exist, is damaged, or belongs to another training.
        """
        saved = state.read(self.state_path)
        self._require_same_training(saved)
        with torch.no_grad():
            for model, values in ((self.model, saved["model"]), (self.ema.module, saved["ema"])):
                for name, p in trained(model).items():
                    p.copy_(values[name])
        self.ema.n_averaged.copy_(saved["ema_count"])
        try:
            if self.auxiliary is not None:
                self.auxiliary.load_state_dict(saved["auxiliary"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except Exception as error:  # torch raises anything where parts are missing or of other shapes
            raise CheckpointError(
                f"{self.state_path} does not go on with these options: give --optimizer, --precision and --layout as "
                f"they were, or train into another folder ({error})"
            ) from error
        self.step = saved["step"]
        positions = saved["positions"]
        self.feed.seek(positions[self.accelerator.process_index % len(positions)])

    def _require_same_training(self, saved: Mapping[str, Any]) -> None:
        own = {name: p.shape for name, p in trained(self.model).items()}
        theirs = {name: p.shape for name, p in saved["model"].items()}
        averaged = {name: p.shape for name, p in saved["ema"].items()}
        same_losses = (saved["auxiliary"] is None) == (self.auxiliary is None)
        same_model = saved["config"] == self.model.config.to_json() and own == theirs == averaged
        if not same_model or not same_losses:
            raise CheckpointError(
                f"{self.state_path} is the state of another model, of other trained parts (--lora, --freeze) or of "
                "another auxiliary loss: give the options it was made with, or train into another folder"
            )
