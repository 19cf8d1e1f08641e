"""The training loop: resumable to the same losses, alone or on several processes under ``torchrun``."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .. import checkpoints
from ..model import Text2Im
from ..schedule import NoiseSchedule
from ..tokenizer import Tokenizer
from ..unet import AttentionBlock, ResBlock
from .loss import DiffusionLoss, prepare
from .optim import Optimizer


def warmed_up_ema(decay: float):
    """``torch.optim.swa_utils.get_ema_multi_avg_fn`` with a decay that grows, or random weights stay in for long."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return update


class Data(Protocol):
    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[str]]:
        """uint8 [size, S, S, 3] and a caption for each."""


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
        lr: learning rate, after ``warmup`` steps; falls to zero over the last ``decay`` (0..1) of all steps.
        ema: decay of the averaged weights, which are what is exported.
        caption_dropout: part of the captions replaced by the empty one, for guidance.
        precision: "bf16" or "fp32".
        muon: see ``Optimizer``.
        focus: see ``loss.timestep_density``.
        seed: decides data order, captions, noise and initial weights.
        minutes: stop (with a checkpoint) after this time.
        save_every: minutes between checkpoints.
    """

    phases: tuple[Phase, ...]
    lr: float = 1.5e-3
    warmup: int = 50
    decay: float = 0.3
    ema: float = 0.998
    caption_dropout: float = 0.15
    precision: str = "fp32"
    muon: bool = True
    focus: tuple[float, float] | None = None
    seed: int = 0
    minutes: float = float("inf")
    save_every: float = 5.0

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
        left = (self.steps - step) / max(1, round(self.decay * self.steps))
        return min(1.0, (step + 1) / max(1, self.warmup), left if self.decay else 1.0)


class Trainer:
    """A model with everything a step needs; ``state.pt`` in the folder ``out`` holds it all.

    Args:
        model: on the device to train on.
        data: pictures of side ``model.config.image_size`` and captions.
        out: gets ``state.pt`` and ``<kind>.safetensors``, the averaged weights as fp16.
    """

    def __init__(self, model: Text2Im, tokenizer: Tokenizer, data: Data, options: Options, out: Path):
        self.model, self.tokenizer, self.data, self.options, self.out = model, tokenizer, data, options, Path(out)
        self.ema = AveragedModel(model, multi_avg_fn=warmed_up_ema(options.ema))
        self.optimizer = Optimizer(model, options.lr, muon=options.muon)
        self.device = next(model.parameters()).device
        self.loss = DiffusionLoss(NoiseSchedule(model.config.noise_schedule), self.device, options.focus)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        self.step = 0

    def run(self) -> list[float]:
        """Train until all steps or the minutes are over, then save. Returns the loss of each step."""
        options, losses, start = self.options, [], time.monotonic()
        saved = start
        with tqdm(total=options.steps, initial=self.step, disable=self.rank > 0, smoothing=0.05) as bar:
            while self.step < options.steps and not self._agreed(time.monotonic() - start > 60 * options.minutes):
                began, batch = time.monotonic(), options.phase_at(self.step).batch
                losses.append(self.train_step())
                speed = batch / (time.monotonic() - began)
                bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.4f}, {speed:.0f} img/s", refresh=False)
                bar.update()
                if time.monotonic() - saved > 60 * options.save_every:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return losses

    def train_step(self) -> float:
        """One update. What it sees depends on the seed and the step alone, so a resumed run repeats it."""
        options = self.options
        phase = options.phase_at(self.step)
        rng = np.random.default_rng([options.seed, self.step, self.rank])
        pictures, captions = self.data.batch(rng, phase.batch // self.processes)
        captions = ["" if rng.random() < options.caption_dropout else text for text in captions]
        images, conditions = prepare(self.model.config, pictures, phase.resolution, rng)
        tokens, mask = self.tokenizer.batch(captions)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        to = self.device
        with torch.autocast(to.type, torch.bfloat16, enabled=options.precision == "bf16"):
            loss = self.loss(
                self.model, images.to(to), tokens.to(to), mask.to(to), generator,
                **{name: value.to(to) for name, value in conditions.items()},
            )
        loss.backward()
        value = self._average_gradients(loss.detach())
        nn.utils.clip_grad_norm_(self.optimizer.parameters, 1.0)
        self.optimizer.step(options.lr_scale(self.step))
        self.ema.update_parameters(self.model)
        self.step += 1
        return value

    def _average_gradients(self, loss: Tensor) -> float:
        """Give every process the mean gradient of all; returns the mean loss."""
        if self.processes == 1:
            return float(loss)
        parameters = self.optimizer.parameters
        flat = torch.cat([loss.view(1), *(p.grad.flatten() for p in parameters)])
        dist.all_reduce(flat)
        flat /= self.processes
        for p, part in zip(parameters, flat[1:].split([p.numel() for p in parameters])):
            p.grad = part.view_as(p)
        return float(flat[0])

    def _agreed(self, stop: bool) -> bool:
        """The first process decides for all."""
        if self.processes == 1:
            return stop
        flag = torch.tensor([float(stop)], device=self.device)
        dist.broadcast(flag, 0)
        return bool(flag)

    @property
    def state_path(self) -> Path:
        return self.out / "state.pt"

    def save(self) -> None:
        """Write the training state and the averaged model, each by an atomic rename."""
        if self.rank > 0:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict(),
            "ema_count": self.ema.n_averaged,
            "optimizer": self.optimizer.state_dict(),
            "config": self.model.config.to_json(),
            "step": self.step,
        }
        temporary = self.state_path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.state_path)
        config = self.model.config
        path = self.out / f"{config.kind}.safetensors"
        checkpoints.save(self.ema.module.state_dict(), config, path, dtype=torch.float16, step=self.step)

    def resume(self) -> None:
        """Continue from ``state.pt`` in ``out``. Raises FileNotFoundError, or ValueError for another model's state."""
        state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        if state["config"] != self.model.config.to_json():
            raise ValueError(f"{self.state_path} is the state of another model: train into another folder")
        self.model.load_state_dict(state["model"])
        self.ema.module.load_state_dict(state["ema"])
        self.ema.n_averaged.copy_(state["ema_count"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


@torch.no_grad()
def initialise(model: Text2Im) -> None:
    """Random initial weights, the reference's: every block starts as the identity, and the prediction as zero."""
    text = model.text
    for embedding in (text.token_embedding.weight, text.positional_embedding, text.padding_embedding):
        nn.init.normal_(embedding, std=0.02)
    last_layers = [model.unet.out[2]]
    for part in model.unet.modules():
        if isinstance(part, ResBlock):
            last_layers.append(part.out_layers[3])
        elif isinstance(part, AttentionBlock):
            last_layers.append(part.proj_out)
    for layer in last_layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
