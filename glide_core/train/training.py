"""What every training does: its steps, its pace, its stops, its saves, and how it goes on."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from ..device import DTYPES
from ..errors import CheckpointError, TrainingError
from ..models.clip import NoisedClip
from ..models.text2im import Text2Im
from . import state
from .ahead import Ahead
from .decoding import warn
from .ema import WeightAverage
from .log import Log
from .optim import Optimizer, trained
from .options import Options
from .precision import training_precision
from .stop import StopRequest

MAX_BAD_STEPS = 20
Model = TypeVar("Model", Text2Im, NoisedClip)


class Training(ABC, Generic[Model]):
    """A model that is trained, alone or on several processes through ``accelerate``.

    ``run`` trains it; ``resume`` before ``run`` goes on with the training in ``out``, to the same losses.

    Args:
        model: those of its parameters that require gradients are trained, in place.
        options: the numbers of the training.
        out: the folder for ``state.pt``, ``log.csv`` and the model.
        accelerator: of the processes that train together; the default is this process alone, on the model's device.

    Attributes:
        step: how many steps have been done.
        interrupted: did ``run`` stop early because of a signal?
    """

    optimizer: Optimizer
    pieces: Ahead[Any]  # of each step
    draw_samples: Callable[[int], None] | None = None  # after every ``sample_every`` steps

    def __init__(self, model: Model, options: Options, out: Path, accelerator: Accelerator | None) -> None:
        self.options, self.out = options, Path(out)
        cpu = next(model.parameters()).device.type == "cpu"
        self.accelerator = accelerator or Accelerator(cpu=cpu, mixed_precision="no")
        self.device, self.processes = self.accelerator.device, self.accelerator.num_processes
        self.precision = training_precision(options.precision, self.device)
        self.model: Model = model.to(self.device)
        self.ema: WeightAverage[Model] = WeightAverage(model, options.ema)
        self.step, self.bad_steps, self.interrupted = 0, 0, False

    @abstractmethod
    def gradients(self) -> float:
        """Compute the gradients of the next step. What it sees depends on the seed and the step's number alone.

        Returns:
            The mean loss of all processes.
        """

    @abstractmethod
    def save_model(self) -> None:
        """Write the averaged model. Raises OSError where a file cannot be written."""

    @abstractmethod
    def auxiliary_state(self) -> Any:
        """What is learned beside the model, for ``state.pt``; None for nothing."""

    @abstractmethod
    def load_auxiliary_state(self, saved: Any) -> None:
        """Take what ``auxiliary_state`` gave. It may raise anything where that does not fit."""

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
            tqdm(total=options.steps, initial=self.step, disable=not main, smoothing=0.05, mininterval=1) as bar,
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
                if self.draw_samples and main and self.step % options.sample_every == 0:
                    self.draw_samples(self.step)
                self.interrupted, over, due = self._any_process(
                    stop.made, now - start > 60 * options.minutes, now - saved > 60 * options.save_every
                )
                if due:
                    self.save()
                    saved = time.monotonic()
        self.save()
        if log:
            log.close()
        self.pieces.close()
        return losses

    def train_step(self) -> tuple[float, float]:
        """Update the weights once.

        Returns:
            The mean loss of all processes and the norm of the gradient. Where one is not finite, nothing was updated.
        """
        loss = self.gradients()
        norm = self.optimizer.step(self.options.lr_scale(self.step))
        if math.isfinite(loss) and math.isfinite(norm):
            self.bad_steps = 0
            self.ema.update_parameters(self.model)
        else:
            self._report_bad_step(loss, norm)
        self.step += 1
        return loss, norm

    def new_optimizer(self, others: list[nn.Parameter]) -> Optimizer:
        """An optimizer of the model and of other parameters, by the options."""
        return Optimizer(
            self.model,
            self.options.lr,
            muon=self.options.muon,
            scaler=torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16"),
            others=others,
            muon_dtype=torch.bfloat16 if self.precision == "bf16" else torch.float32,
        )

    def autocast(self) -> torch.autocast:
        """The precision of the forward passes."""
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

    def save(self) -> None:
        """Write the training's state and the averaged model, each under a temporary name that is then renamed.

        Raises:
            OSError: a file cannot be written.
        """
        position = torch.tensor([self.pieces.position], device=self.device)
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
                "auxiliary": self.auxiliary_state(),
            },
        )
        self.save_model()

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
            self.load_auxiliary_state(saved["auxiliary"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except Exception as error:  # torch raises anything where parts are missing or of other shapes
            raise CheckpointError(
                f"{self.state_path} does not go on with these options: give --optimizer, --precision and --layout as "
                f"they were, or train into another folder ({error})"
            ) from error
        self.step = saved["step"]
        positions = saved["positions"]
        self.pieces.seek(positions[self.accelerator.process_index % len(positions)])

    def _require_same_training(self, saved: Mapping[str, Any]) -> None:
        own, theirs, averaged = map(_shapes, (trained(self.model), saved["model"], saved["ema"]))
        same_losses = (saved["auxiliary"] is None) == (self.auxiliary_state() is None)
        same_model = saved["config"] == self.model.config.to_json() and own == theirs == averaged
        if not same_model or not same_losses:
            raise CheckpointError(
                f"{self.state_path} is the state of another model, of other trained parts (--lora, --freeze) or of "
                "another auxiliary loss: give the options it was made with, or train into another folder"
            )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
