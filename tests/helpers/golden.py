"""Reading the golden set: weights and noise are functions of their names (tests/data/golden/README.md)."""

import dataclasses
import json
import os
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch

from glide_core.models.config import PUBLISHED
from glide_core.models.text2im import Text2Im

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]


class Golden:
    def __init__(self):
        self.dir = Path(os.environ.get("GLIDE_GOLDEN_DIR", Path(__file__).parents[1] / "data" / "golden"))

    def json(self, name):
        return json.loads((self.dir / name).read_text())

    def npz(self, name):
        return np.load(self.dir / name)

    @cached_property
    def meta(self):
        return self.json("meta.json")

    @cached_property
    def _ids(self):
        return {entry["prompt"]: entry["gpt2"] for entry in self.json("tokens.json")}

    def _normal(self, name, shape):
        state = np.random.RandomState(zlib.crc32(name.encode()) ^ self.meta["seed"])
        return state.standard_normal(size=tuple(shape))

    def draw(self, tag, shape):
        return torch.from_numpy(self._normal(tag, shape)).float()

    def weight(self, name, shape):
        a = self._normal(name, shape)
        if len(shape) >= 2:
            a = a / np.sqrt(np.prod(shape) / shape[0])
        else:
            a = 1 + 0.1 * a if name.endswith("weight") else 0.1 * a
        return torch.from_numpy(a).float()

    def model(self, config, dtype=torch.float32, device="cpu"):
        with torch.device("meta"):
            model = Text2Im(config, dtype=dtype)
        weights = {name: self.weight(name, p.shape).to(dtype) for name, p in model.state_dict().items()}
        model.load_state_dict(weights, assign=True)
        return model.eval().to(device)

    def small_config(self, kind):
        small = {k: v for k, v in self.meta["small"].items() if k != "everything_else"}
        return dataclasses.replace(PUBLISHED[kind], **small)

    def tokens(self, prompts, text_ctx=128, pad=50256):
        ids = [self._ids[p][:text_ctx] for p in prompts]
        tokens = [i + [pad] * (text_ctx - len(i)) for i in ids]
        mask = [[True] * len(i) + [False] * (text_ctx - len(i)) for i in ids]
        return torch.tensor(tokens), torch.tensor(mask)

    def conditions(self, config, batch):
        """low_res, image and known mask as the golden runs drew them, for what the model reads."""
        size, out = config.image_size, {}
        if config.inpaint:
            out["image"] = self.draw("image", (batch, 3, size, size)).tanh()
            out["known"] = (self.draw("mask", (batch, 1, size, size)) > 0).float()
        if config.low_res:
            out["low_res"] = self.draw("low_res", (batch, 3, 64, 64)).tanh()
        return out
