"""Training of a noised CLIP: contrastive, on noised pictures (paper section 2.4; Radford 2021, section 2.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from ..device import DTYPES
from ..diffusion.schedule import NoiseSchedule
from ..errors import CheckpointError, TrainingError
from ..files import clip_checkpoints
from ..images import write_text_whole
from ..models.clip import NoisedClip
from ..models.clip_tokenizer import ClipTokenizer
from . import state
from .contrast_data import Batch, noised
from .dataset import Dataset
from .decoding import warn
from .ema import WeightAverage
from .log import Log
from .optim import Optimizer, trained
from .options import Options
from .precision import training_precision
from .stop import StopRequest

NOISE_SCHEDULE = "squaredcos_cap_v2"
MAX_LOGIT_SCALE = 100.0  # Radford 2021, section 2.5
MAX_BAD_STEPS = 20


class Lesson(Protocol):
    """Something that the embeddings must also tell; it helps a small model that is trained for an hour."""

    def parameters(self) -> Any:
        """What of it is trained, too."""

    def loss(self, image: Tensor, text: Tensor, labels: Sequence[Any], captions: Sequence[str]) -> Tensor:
        """One number to add to the loss, from the embeddings [B, embed_width] of a batch."""


class ContrastiveTrainer:
    """A noised CLIP with everything that a training step needs; used as ``loop.Trainer`` is.

    Of several processes each compares its own pictures with its own captions; their gradients are averaged.

    Args:
        model: trained in place, but for the vectors of the timesteps, which a picture in a thousand would reach.
        tokenizer: of the model.
        data: pictures of side ``model.config.image_size`` with captions, perhaps a ``ContrastDataset``.
        options: the numbers of the training. Those that only diffusion models have are ignored.
        out: the folder for ``state.pt``, ``log.csv`` and ``clip.safetensors`` (averaged weights, fp16) with its
            tokenizer.
        lesson: learned beside.

    Attributes:
        step: how many steps have been done.
        interrupted: did ``run`` stop early because of a signal?
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
        self.tokenizer, self.data, self.options, self.out = tokenizer, data, options, Path(out)
        self.lesson = lesson
        cpu = next(model.parameters()).device.type == "cpu"
        self.accelerator = accelerator or Accelerator(cpu=cpu, mixed_precision="no")
        self.device = self.accelerator.device
        self.precision = training_precision(options.precision, self.device)
        self.model = model.to(self.device)
        model.image.blocks["input"].w_t.requires_grad_(False)
        self.ema = WeightAverage(model, options.ema)
        model.image.recompute = model.text.recompute = options.recompute
        self.parallel = self.accelerator.prepare_model(model)
        self.log_scale = nn.Parameter(torch.tensor(math.log(model.config.logit_scale), device=self.device))
        self.optimizer = Optimizer(
            model,
            options.lr,
            muon=options.muon,
            scaler=torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16"),
            others=[self.log_scale, *(lesson.parameters() if lesson else ())],
            muon_dtype=torch.bfloat16 if self.precision == "bf16" else torch.float32,
        )
        alphas_cumprod = torch.from_numpy(NoiseSchedule(NOISE_SCHEDULE).alphas_cumprod).float()
        self.alphas_cumprod = alphas_cumprod[: model.config.timesteps]
        self.step, self.bad_steps, self.interrupted = 0, 0, False
        self.pool = ThreadPoolExecutor(1)
        self.ahead: dict[tuple[int, int], Future[tuple[Batch, int]]] = {}
        self.position = data.position

    def run(self) -> list[float]:
        """Train until all steps are done, the minutes are over, or a signal such as Ctrl-C comes; then save.

        Returns:
            The loss of each step.
        Raises:
            TrainingError: the training diverged.
            OSError: the disk is full.
        """
        options, losses, start = self.options, [], time.monotonic()
        main, saved, over = self.accelerator.is_main_process, start, False
        self.out.mkdir(parents=True, exist_ok=True)
        log = Log(self.out, self.step, options.tensorboard) if main else None
        with (
            StopRequest(twice_stops_at_once=self.accelerator.num_processes == 1) as stop,
            tqdm(total=options.steps, initial=self.step, disable=not main, smoothing=0.05, mininterval=2) as bar,
        ):
            while self.step < options.steps and not (over or self.interrupted):
                began = time.monotonic()
                loss, norm = self.train_step()
                losses.append(loss)
                now = time.monotonic()
                speed = options.phase_at(self.step - 1).batch / (now - began)
                if log:
                    lr = options.lr * options.lr_scale(self.step - 1)
                    log.write(self.step - 1, loss=loss, lr=lr, gradient_norm=norm, images_per_second=speed)
                bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.4f}, {speed:.0f} img/s", refresh=False)
                bar.update()
                self.interrupted, over, due = self._any_process(
                    stop.made, now - start > 60 * options.minutes, now - saved > 60 * options.save_every
                )
                if due:
                    self.save()
                    saved = time.monotonic()
        self.save()
        if log:
            log.close()
        self.pool.shutdown(cancel_futures=True)
        return losses

    def train_step(self) -> tuple[float, float]:
        """Update the weights once. What a step sees depends on the seed and its number alone.

        Returns:
            The mean loss of all processes and the norm of the gradient. Where one is not finite, nothing was updated.
        """
        pieces = self.options.accumulate
        total = 0.0
        for piece in range(pieces):
            last = piece == pieces - 1
            batch = self._batch(piece)
            with nullcontext() if last else self.accelerator.no_sync(self.parallel):
                with torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"):
                    loss = self._loss(batch)
                torch.autograd.backward(self.optimizer.scaler.scale(loss / pieces))
            total += float(self.accelerator.reduce(loss.detach(), "mean")) / pieces
        norm = self.optimizer.step(self.options.lr_scale(self.step))
        if math.isfinite(total) and math.isfinite(norm):
            self.bad_steps = 0
            self.log_scale.data.clamp_(max=math.log(MAX_LOGIT_SCALE))
            self.ema.update_parameters(self.model)
        else:
            self._report_bad_step(total, norm)
        self.step += 1
        return total, norm

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

    def _batch(self, piece: int) -> Batch:
        """The batch of a piece of this step; that of the next step is made meanwhile."""
        batch, self.position = self._started(self.step, piece).result()
        del self.ahead[self.step, piece]
        if self.step + 1 < self.options.steps:
            self._started(self.step + 1, piece)
        return batch

    def _started(self, step: int, piece: int) -> Future[tuple[Batch, int]]:
        if (step, piece) not in self.ahead:
            self.ahead[step, piece] = self.pool.submit(self._make, step, piece)
        return self.ahead[step, piece]

    def _make(self, step: int, piece: int) -> tuple[Batch, int]:
        options, processes = self.options, self.accelerator.num_processes
        size = options.phase_at(step).batch // (processes * options.accumulate)
        rng = np.random.default_rng([options.seed, step, piece, self.accelerator.process_index])
        batch = noised(self.data, rng, size, self.alphas_cumprod, options.timestep_power)
        return batch, self.data.position

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
        if self.accelerator.num_processes == 1:
            return list(flags)
        wanted = self.accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=self.device), "sum")
        return [bool(flag) for flag in wanted]

    @property
    def state_path(self) -> Path:
        """The file that ``save`` writes and ``resume`` reads."""
        return self.out / "state.pt"

    def save(self) -> None:
        """Write the training's state and the averaged model. Raises OSError where a file cannot be written."""
        position = torch.tensor([self.position], device=self.device)
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
                "auxiliary": self._auxiliary_state(),
            },
        )
        config = replace(self.model.config, logit_scale=float(self.log_scale.detach().exp()))
        path = self.out / "clip.safetensors"
        clip_checkpoints.save(self.ema.module, config, path, dtype=torch.float16, notes={"step": self.step})
        write_text_whole(self.out / "clip.tokenizer.json", self.tokenizer.to_json())

    def _auxiliary_state(self) -> list[Tensor]:
        lesson = self.lesson.parameters() if self.lesson else ()
        return [self.log_scale.detach(), *(p.detach() for p in lesson)]

    def resume(self) -> None:
        """Continue from ``state.pt`` in ``out``.

        Raises:
            CheckpointError: the file does not exist, is damaged, or belongs to another training.
        """
        saved = state.read(self.state_path)
        others = [self.log_scale, *(self.lesson.parameters() if self.lesson else ())]
        if saved["config"] != self.model.config.to_json() or len(others) != len(saved["auxiliary"]):
            raise CheckpointError(
                f"{self.state_path} is the state of another model: give the options it was made with, or train into "
                "another folder"
            )
        with torch.no_grad():
            for model, values in ((self.model, saved["model"]), (self.ema.module, saved["ema"])):
                for name, p in trained(model).items():
                    p.copy_(values[name])
            for p, value in zip(others, saved["auxiliary"]):
                p.copy_(value)
        self.ema.n_averaged.copy_(saved["ema_count"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]
        positions = saved["positions"]
        self.position = positions[self.accelerator.process_index % len(positions)]
        self.data.seek(self.position)


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
