"""Sheets of what a model in training draws, always of the same prompts and the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..images import write_sheet
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from ..pipeline import UPSAMPLING, Sampling, Stage, to_uint8
from .data import Data
from .loss import prepare

COUNT = 4
SAMPLING = Sampling(steps="20", sampler="dpmpp_2m")


class Samples:
    """Draws ``samples/<step>.png``. Inpainting models and upsamplers are given pictures of the data.

    Args:
        prompts: what to draw; default: captions of the data.
        resolution: side to draw at, the one that is trained last.
    """

    def __init__(
        self, out: Path, data: Data, tokenizer: Tokenizer, config, prompts: Sequence[str], resolution: int, seed: int
    ):
        self.folder, self.tokenizer, self.seed = out / "samples", tokenizer, seed
        rng = np.random.default_rng(seed)
        shown, captions = data.batch(rng, len(prompts) or COUNT)
        data.seek(0)
        self.prompts = list(prompts) or captions
        _, self.conditions = prepare(config, shown, resolution, rng)
        self.sampling, self.size = UPSAMPLING if config.low_res else SAMPLING, resolution

    @torch.no_grad()
    def draw(self, model: Text2Im, step: int) -> None:
        """model: the averaged one."""
        stage = Stage(model, self.tokenizer)
        conditions = {name: value.to(stage.device) for name, value in self.conditions.items()}
        drawn = stage.sample(self.prompts, self.sampling, size=self.size, conditions=conditions, seed=self.seed)
        given = self._given()
        rows = [drawn] if given is None else [given, drawn]
        images = [Image.fromarray(row[k].numpy()) for row in map(to_uint8, rows) for k in range(len(drawn))]
        captions = ["given"] * (len(images) - len(drawn)) + self.prompts
        self.folder.mkdir(parents=True, exist_ok=True)
        write_sheet(self.folder / f"{step:06d}.png", images, captions, columns=len(drawn))

    def _given(self) -> torch.Tensor | None:
        """What the model sees besides the prompt, as a picture: the hole is gray."""
        if "image" in self.conditions:
            return self.conditions["image"] * self.conditions["known"]
        if "low_res" in self.conditions:
            return torch.nn.functional.interpolate(self.conditions["low_res"], scale_factor=4, mode="nearest")
        return None
