"""The training loop: resumable to the same losses, alone or on several processes through ``accelerate``."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..device import DTYPES
from ..diffusion.schedule import NoiseSchedule
from ..files import checkpoints
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from ..models.unet import AttentionBlock, ResBlock
from ..tiny.layout_lesson import Layout, pixel_weights
from . import lora
from .data import Data, warn
from .feed import Feed, Piece
from .log import Log
from .loss import DiffusionLoss
from .optim import Optimizer, trained
from .options import Options
from .recompute import recompute_blocks
from .samples import Samples

MAX_BAD_STEPS = 20


def warmed_up_ema(decay: float):
    """``torch.optim.swa_utils.get_ema_multi_avg_fn`` with a decay that grows, or random weights stay in for long."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return update


class Trainer:
    """A model with everything a step needs; ``state.pt`` in the folder ``out`` holds it all.

    Args:
        model: what of it requires gradients is trained.
        data: pictures of side ``model.config.image_size`` and captions.
        out: gets ``state.pt``, ``log.csv``, ``<kind>.safetensors`` (the averaged weights as fp16) with its tokenizer,
            ``lora.safetensors`` where the model has one, and ``samples``.
        accelerator: of the processes that train together (default: this one alone, on the device of the model).
        prompts: of the sample sheets (default: captions of the data).
    """

    def __init__(
        self,
        model: Text2Im,
        tokenizer: Tokenizer,
        data: Data,
        options: Options,
        out: Path,
        accelerator: Accelerator | None = None,
        prompts: Sequence[str] = (),
    ):
        self.tokenizer, self.options, self.out = tokenizer, options, Path(out)
        cpu = next(model.parameters()).device.type == "cpu"
        self.accelerator = accelerator or Accelerator(cpu=cpu, mixed_precision="no")
        self.device, self.processes = self.accelerator.device, self.accelerator.num_processes
        self.model = model.to(self.device)
        self.ema = AveragedModel(model, multi_avg_fn=warmed_up_ema(options.ema))
        if options.recompute:
            recompute_blocks(model)
        self.parallel = self.accelerator.prepare_model(model)
        scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "fp16")
        self.layout = Layout(model).to(self.device) if options.layout else None
        heads = list(self.layout.parameters()) if self.layout else []
        self.optimizer = Optimizer(model, options.lr, muon=options.muon, scaler=scaler, others=heads)
        self.loss = DiffusionLoss(
            NoiseSchedule(model.config.noise_schedule), self.device, options.focus, options.noise_offset
        )
        self.samples = None
        if options.sample_every:
            side = options.phases[-1].resolution
            self.samples = Samples(self.out, data, tokenizer, model.config, prompts, side, options.seed)
        self.feed = Feed(data, tokenizer, model.config, options, self.accelerator.process_index, self.processes)
        self.step, self.bad_steps = 0, 0
        self.signalled = False  # this process was asked to stop
        self.interrupted = False  # all processes agreed to

    def run(self) -> list[float]:
        """Train until all steps or the minutes are over, or until Ctrl-C, then save. Returns the loss of each step.

        Raises:
            ValueError: the training diverged; OSError: the disk is full. Neither harms the last checkpoint.
        """
        options, losses, start = self.options, [], time.monotonic()
        main, saved, over = self.accelerator.is_main_process, start, False
        self.out.mkdir(parents=True, exist_ok=True)
        log = Log(self.out, self.step, options.tensorboard) if main else None
        with (
            self._signals(),
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
                    log(step=self.step - 1, loss=loss, lr=lr, gradient_norm=norm, images_per_second=speed)
                bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.4f}, {speed:.0f} img/s", refresh=False)
                bar.update()
                if self.samples and main and self.step % options.sample_every == 0:
                    with self._autocast():
                        self.samples.draw(self.ema.module, self.step)
                self.interrupted, over, due = self._agreed(
                    self.signalled, now - start > 60 * options.minutes, now - saved > 60 * options.save_every
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
        """One update. What it sees depends on the seed and the step alone, so a resumed run repeats it.

        Returns:
            The mean loss of all processes and the norm of the gradient. Where one is not finite, nothing was updated.
        """
        pieces = self.feed(self.step)
        loss = torch.stack([self._backward(piece, last=piece is pieces[-1]) for piece in pieces]).sum()
        loss = float(self.accelerator.reduce(loss, "mean"))
        if self.layout and self.processes > 1:  # the heads are not among what DDP averages
            for p in self.layout.parameters():
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
        """Add a piece's gradient; the last piece's backward pass averages those of all processes."""
        to = self.device
        conditions = {name: value.to(to) for name, value in piece.conditions.items()}
        layout = [part.to(to) for part in piece.layout or ()]
        extra = pixel_weights(*layout) if layout else None
        with nullcontext() if last else self.accelerator.no_sync(self.parallel):
            with self._autocast():
                loss = self.loss(
                    self.parallel,
                    piece.images.to(to),
                    piece.tokens.to(to),
                    piece.mask.to(to),
                    piece.generator,
                    extra=extra,
                    **conditions,
                )
                learned = loss
                if self.layout:
                    learned = loss + self.options.layout * self.layout.loss(*layout)
            self.optimizer.scaler.scale(learned / self.options.accumulate).backward()
        return loss.detach() / self.options.accumulate

    def _autocast(self):
        precision = self.options.precision
        return torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "fp32")

    def _report_bad_step(self, loss: float, norm: float) -> None:
        self.bad_steps += 1
        if self.bad_steps == MAX_BAD_STEPS:
            raise ValueError(
                f"the loss or its gradient was not finite in {MAX_BAD_STEPS} steps in a row; the last checkpoint was "
                "left as it is: go on from it with --resume and a lower --lr, or with --precision bf16 or fp32"
            )
        if self.accelerator.is_main_process:
            warn(f"step {self.step} is skipped: its loss is {loss:.3g}, its gradient's norm {norm:.3g}")

    def _agreed(self, *flags: bool) -> list[bool]:
        """What any process wants, all do."""
        if self.processes == 1:
            return list(flags)
        wanted = self.accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=self.device), "sum")
        return [bool(flag) for flag in wanted]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C lets the step finish; a second one stops at once, if no other process waits for this one."""

        def interrupt(number, frame):
            if self.signalled and self.processes == 1:
                raise KeyboardInterrupt
            self.signalled = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def state_path(self) -> Path:
        return self.out / "state.pt"

    def save(self) -> None:
        """Write the training state and the averaged model, each by an atomic rename. Raises OSError."""
        position = torch.tensor([self.feed.position], device=self.device)
        positions = self.accelerator.gather(position).tolist()
        if not self.accelerator.is_main_process:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        _write_state(
            self.state_path,
            {
                "model": {name: p.detach() for name, p in trained(self.model).items()},
                "ema": {name: p.detach() for name, p in trained(self.ema.module).items()},
                "ema_count": self.ema.n_averaged,
                "optimizer": self.optimizer.state_dict(),
                "config": self.model.config.to_json(),
                "step": self.step,
                "positions": positions,
                "layout": self.layout.state_dict() if self.layout else None,
            },
        )
        config, average = self.model.config, self.ema.module
        path = self.out / f"{config.kind}.safetensors"
        checkpoints.save(lora.merged(average), config, path, dtype=torch.float16, step=self.step)
        self.out.joinpath(f"{config.kind}.tokenizer.json").write_text(self.tokenizer.to_json(), encoding="utf-8")
        if any(parametrize.is_parametrized(layer) for layer in average.modules()):
            lora.save(average, self.out / "lora.safetensors", step=self.step)

    def resume(self) -> None:
        """Continue from ``state.pt`` in ``out``. Raises ValueError: it isn't there, or is another training's."""
        if not self.state_path.is_file():
            raise ValueError(f"{self.state_path} is not there: start without --resume")
        state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        mine, theirs = ({name: p.shape for name, p in part.items()} for part in (trained(self.model), state["model"]))
        if state["config"] != self.model.config.to_json() or mine != theirs:
            raise ValueError(
                f"{self.state_path} is the state of another model, or of other trained parts (--lora, --freeze): "
                "give the options it was made with, or train into another folder"
            )
        with torch.no_grad():
            for model, values in ((self.model, state["model"]), (self.ema.module, state["ema"])):
                for name, p in trained(model).items():
                    p.copy_(values[name])
        self.ema.n_averaged.copy_(state["ema_count"])
        if self.layout:
            self.layout.load_state_dict(state["layout"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        positions = state["positions"]
        self.feed.seek(positions[self.accelerator.process_index % len(positions)])


def _write_state(path: Path, state: dict) -> None:
    """All or nothing: a failure leaves what was there."""
    temporary = path.with_suffix(".tmp")
    try:
        torch.save(state, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except RuntimeError as error:  # how torch reports a full disk
        raise OSError(f"{path} cannot be written, is the disk full? ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


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
