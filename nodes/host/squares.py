"""The squares that GlideCrop cuts, and their preview for the page, before anything runs."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import folder_paths
import torch
from PIL import Image
from torch import Tensor

import nodes

from ...glide_core.editing import regions
from ...glide_core.images import to_channels_first, to_uint8

WHOLE, EACH, NEXT = "whole mask", "each region", "next square"
SIDE = 384  # pixels, the longer side of a preview
TINT = torch.tensor([0.9, 0.15, 0.25])  # what is painted, in a preview
STRENGTH = 0.55
SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Crop:
    """The inputs of GlideCrop that decide where the squares are; see there."""

    crop_factor: float = 2.0
    squares: str = WHOLE
    grow: int = 0
    square_side: int = 0
    invert_mask: bool = False
    fill_holes: bool = False
    blur: int = 0

    def prepared(self, image: Tensor, mask: Tensor) -> tuple[Tensor, int]:
        """The mask as it is painted, and how many specks were left out of it.

        Args:
            image: [B, H, W, C]; mask: [B or 1, h, w].
        """
        mask, specks = regions.without_specks(regions.fit(image, 1 - mask if self.invert_mask else mask))
        mask = regions.fill_holes(mask) if self.fill_holes else mask
        return regions.blur(regions.grow(mask, self.grow), self.blur), specks

    def placed(self, mask: Tensor) -> list[regions.Region]:
        """The squares of a prepared mask [B, H, W], at least one for each."""
        found = self._next(mask) if self.squares == NEXT else []
        return found or regions.around(mask, self.crop_factor, self.squares == EACH)

    def _next(self, mask: Tensor) -> list[regions.Region]:
        """The square to paint next, in a list; an empty list where nothing is masked."""
        if len(mask) > 1:
            raise ValueError(f"image is a batch of {len(mask)}, but next square works on one image at a time")
        side = self.square_side or min(mask.shape[1:])
        return list(itertools.islice(regions.walk(mask, side, side // 2), 1))


def preview(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Where the squares of a photo are -> {width, height, squares: [{left, top, side}], photo}.

    photo is a small JPEG with what is painted in red, as a data URL.

    Args:
        asked: "image" and "mask", files as LoadImage names them; perhaps "channel" of LoadImageMask, "pad" with four
            numbers of GlideOutpaintPad, and fields of ``Crop``.
    Raises:
        ValueError: a file is not there, or a value is wrong.
    """
    names = [_file(asked.get("image")), _file(asked.get("mask"))]
    crop = _crop(asked)
    pad = tuple(int(side) for side in asked.get("pad", ())) or (0, 0, 0, 0)
    if len(pad) != 4 or not all(0 <= side <= 8192 for side in pad):
        raise ValueError("pad is not four numbers from 0 to 8192")
    files = tuple((name, _changed(name)) for name in names)
    mask, photo = _prepared(files, str(asked.get("channel", "")), pad, replace(crop, crop_factor=1.0, squares=WHOLE))
    squares = [{"left": one.left, "top": one.top, "side": one.side} for one in crop.placed(mask)]
    return {"width": mask.shape[2], "height": mask.shape[1], "squares": squares, "photo": photo}


def _crop(asked: Mapping[str, Any]) -> Crop:
    """The fields of a ``Crop`` that the page sent. Raises ValueError: one has another type."""
    fields = {name: asked[name] for name in Crop.__dataclass_fields__ if name in asked}
    for name, value in fields.items():
        kind = type(getattr(Crop, name))
        if not isinstance(value, (int, float) if kind is float else kind) or (
            kind is float and not math.isfinite(value)
        ):
            raise ValueError(f"{name} is {value!r}, which is no {kind.__name__}")
    return Crop(**fields)


def _file(name: object) -> str:
    """The name, if it is a file as LoadImage names them. Raises ValueError: it is none."""
    if not isinstance(name, str) or not folder_paths.exists_annotated_filepath(name):
        raise ValueError(f"{name!r} is no file of the input folder")
    return name


def _changed(name: str) -> int:
    return Path(folder_paths.get_annotated_filepath(name)).stat().st_mtime_ns


@lru_cache(maxsize=4)
def _prepared(files: tuple[tuple[str, int], ...], channel: str, pad: tuple[int, ...], crop: Crop) -> tuple[Tensor, str]:
    """The mask [1, H, W] as it is painted, and the preview; the host's own nodes read the files."""
    (image_name, _), (mask_name, _) = files
    image, mask = _loaded("LoadImage", image_name)
    if channel:
        (mask,) = _loaded("LoadImageMask", mask_name, channel)
    elif mask_name != image_name:
        _, mask = _loaded("LoadImage", mask_name)
    image, mask = image[:1].float(), mask[:1].float()
    if any(pad):
        image, mask = regions.pad(image, *pad)
    mask, _ = crop.prepared(image, mask)
    return mask, _small(image[..., :3], mask)


def _loaded(node_type: str, *inputs: str) -> tuple[Tensor, ...]:
    """What a node of the host's gives; the name of its function varies between versions."""
    node = nodes.NODE_CLASS_MAPPINGS[node_type]()
    return tuple(getattr(node, node.FUNCTION)(*inputs))


def _small(image: Tensor, mask: Tensor) -> str:
    height, width = image.shape[1:3]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    shown = regions.resize(image[0], size)
    red = regions.resize(mask[0, ..., None].expand(-1, -1, 3), size) * STRENGTH
    pixels = to_uint8(to_channels_first((shown * (1 - red) + TINT * red)[None]))[0].numpy()
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
