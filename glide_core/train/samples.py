"""Sheets of what a model in training draws, always of the same prompts and from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..contact_sheet import write_sheet
from ..images import to_uint8
from ..models.config import UPSCALE, ModelConfig
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from ..pipeline import UPSAMPLING, Sampling, Stage
from .dataset import Dataset
from .inputs import prepare

COUNT = 4
SAMPLING = Sampling("20", "dpmpp_2m")


class Samples:
    """Draws ``samples/<step>.png``. Inpainting models and upsamplers get pictures of the data set to work on.

    Args:
        out: the folder of the training.
        data: also gives the captions where there are no prompts. It is read at the start and then rewound.
        config: of the model.
        prompts: what to draw; where it is empty, captions of the data.
        resolution: side to draw at, in pixels.
        seed: of the noise, and of the choice of pictures and captions.
    """

    def __init__(
        self,
        out: Path,
        data: Dataset,
        tokenizer: Tokenizer,
        config: ModelConfig,
        *,
        prompts: Sequence[str],
        resolution: int,
        seed: int,
    ) -> None:
        self.folder, self.tokenizer, self.seed = out / "samples", tokenizer, seed
        rng = np.random.default_rng(seed)
        shown, captions = data.batch(rng, len(prompts) or COUNT)
        data.seek(0)
        self.prompts = list(prompts) or captions
        _, self.conditions = prepare(config, shown, resolution, rng)
        self.sampling, self.size = UPSAMPLING if config.low_res else SAMPLING, resolution

    @torch.no_grad()
    def draw(self, model: Text2Im, step: int) -> None:
        """Write the sheet of a step. Raises OSError where that is not possible."""
        stage = Stage(model, self.tokenizer)
        conditions = {name: value.to(stage.device) for name, value in self.conditions.items()}
        drawn = stage.sample(self.prompts, self.sampling, size=self.size, conditions=conditions, seed=self.seed)
        given = self._given()
        images, captions = _pictures(drawn), list(self.prompts)
        if given is not None:
            images, captions = _pictures(given) + images, ["given"] * len(given) + captions
        self.folder.mkdir(parents=True, exist_ok=True)
        write_sheet(self.folder / f"{step:06d}.png", images, captions, columns=len(drawn))

    def _given(self) -> Tensor | None:
        """What the model sees besides the prompt, as pictures [B, 3, H, W] in -1..1; a hole is gray."""
        if "image" in self.conditions:
            return self.conditions["image"] * self.conditions["known"]
        if "low_res" in self.conditions:
            enlarged: Tensor = torch.nn.functional.interpolate(
                self.conditions["low_res"], scale_factor=UPSCALE, mode="nearest"
            )
            return enlarged
        return None


def _pictures(images: Tensor) -> list[Image.Image]:
    return [Image.fromarray(pixels.numpy()) for pixels in to_uint8(images)]
