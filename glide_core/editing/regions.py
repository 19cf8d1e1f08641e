"""Squares around what is to be repainted: cut them out of pictures of any size, put them back.

Pictures are [B, H, W, C] float in 0..1, masks [B, H, W] in 0..1 with 1 = repaint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from ..diffusion.inpainting import fit_mask
from ..diffusion.tiles import starts
from ..errors import ImageError, counted
from .blending import FEATHERED, Blend

MIN_SIDE = 32
MAX_REGIONS = 64
TOLERANCE = 5.5 / 255  # masks as near to black or white as this are taken to be so
SPECK, SPECK_RATIO = 9, 50  # pixels of a speck at most, and how much larger the largest part must be


@dataclass(frozen=True)
class Region:
    """A square of one picture of a batch. It may stick out of the picture: there the picture is mirrored.

    Attributes:
        batch_index: the number of the picture in the batch.
        top, left, side: in pixels.
        degree: [H, W] in 0..1, how much this square repaints of each pixel of the picture.
    """

    batch_index: int
    top: int
    left: int
    side: int
    degree: Tensor

    @property
    def own(self) -> Tensor:
        """[H, W] bool, the pixels of the picture that this square repaints."""
        return self.degree > 0


def fit(image: Tensor, mask: Tensor, name: str = "image") -> Tensor:
    """The mask in the size of the pictures and one for each.

    Args:
        image: [B, H, W, C]; mask: [B or 1, h, w] or [h, w].
        name: what errors call the image.
    Raises:
        ValueError: mask and image cannot belong together.
    """
    mask = mask[None] if mask.ndim == 2 else mask
    if 0 in mask.shape:
        raise ImageError(f"mask is empty: its size is {'x'.join(map(str, mask.shape))}")
    if 0 in image.shape[1:]:
        raise ImageError(f"{name} is empty: its size is {'x'.join(map(str, image.shape))}")
    for what, values in ((name, image), ("mask", mask)):
        if values.isnan().any():
            raise ImageError(f"{what} has NaN values: look at the node it comes from")
    if len(mask) not in (1, len(image)):
        raise ImageError(
            f"mask is a batch of {len(mask)} for {counted(len(image), name)}: give one mask, or one for each"
        )
    mask = fit_mask(clean(mask)[:, None], (image.shape[1], image.shape[2]))[:, 0]
    return mask.expand(len(image), -1, -1)


def clean(mask: Tensor) -> Tensor:
    """The mask in 0..1 with what looks black made 0 and what looks white made 1: JPEG files and painting programs leave
    blacks of 1 to 5 of 255, and whites of 250 and more."""
    mask = mask.clamp(0, 1)
    return torch.where(mask <= TOLERANCE, 0, torch.where(mask >= 1 - TOLERANCE, 1, mask))


def without_specks(mask: Tensor) -> tuple[Tensor, int]:
    """The mask [B, H, W] without stray pixels, and how many pixels were left out.

    A connected part is a speck where it has at most ``SPECK`` pixels and the largest part of the same picture has at
    least ``SPECK_RATIO`` times as many.
    """
    kept, left_out = mask.clone(), 0
    for part in kept:
        labels, count = ndimage.label((part > 0).cpu().numpy(), structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        if count < 2:
            continue
        specks = 1 + np.flatnonzero((sizes <= SPECK) & (sizes * SPECK_RATIO <= sizes.max()))
        stray = torch.from_numpy(np.isin(labels, specks)).to(part.device)
        left_out += int(stray.sum())
        part[stray] = 0
    return kept, left_out


def grow(mask: Tensor, pixels: int) -> Tensor:
    """The mask [B, H, W] larger by so many pixels on all sides, round at corners; new ones are like the nearest old."""
    if pixels <= 0:
        return mask
    grown = []
    for part in mask.cpu().float().numpy():
        distance, nearest = ndimage.distance_transform_edt(part == 0, return_indices=True)
        grown.append(np.where(distance <= pixels, part[tuple(nearest)], 0) if part.any() else part)
    return torch.from_numpy(np.stack(grown)).to(mask)


def fill_holes(mask: Tensor) -> Tensor:
    """The mask [B, H, W] with the black parts that white surrounds made white."""
    filled = [ndimage.binary_fill_holes(part) for part in (mask > 0).cpu().numpy()]
    holes = torch.from_numpy(np.stack(filled)).to(mask.device) & (mask == 0)
    return torch.where(holes, 1, mask)


def blur(mask: Tensor, pixels: int) -> Tensor:
    """The mask [B, H, W] with an edge that fades over so many pixels to both sides, and a grey of 0 beyond them."""
    if pixels <= 0:
        return mask
    blurred = [ndimage.gaussian_filter(part, pixels / 2, truncate=2.0) for part in mask.cpu().float().numpy()]
    return clean(torch.from_numpy(np.stack(blurred)).to(mask))


def around(mask: Tensor, crop_factor: float = 2.0, each: bool = False) -> list[Region]:
    """Squares around the masked pixels, at least one per picture.

    Args:
        mask: [B, H, W].
        crop_factor: side of the square as a multiple of the longer side of what is masked, up to the picture's.
        each: one square for each connected region instead of one for the whole mask.
    """
    return [
        Region(index, *_square(own, crop_factor), picture * own)
        for index, picture in enumerate(mask)
        for own in _parts(picture > 0, each)
    ]


def _parts(own: Tensor, each: bool) -> list[Tensor]:
    if not each or not own.any():
        return [own]
    labels, count = ndimage.label(own.cpu().numpy(), structure=np.ones((3, 3)))
    if count > MAX_REGIONS:
        raise ImageError(f"mask has {count} separate regions: grow it until they join, or take it as a whole")
    return [torch.from_numpy(labels == k).to(own.device) for k in range(1, count + 1)]


def _square(own: Tensor, crop_factor: float) -> tuple[int, int, int]:
    """top, left, side; of an empty mask the middle of the picture."""
    size = own.shape
    if not own.any():
        side = min(size)
        return (size[0] - side) // 2, (size[1] - side) // 2, side
    spans = [torch.where(own.any(dim=1 - axis))[0][[0, -1]].tolist() for axis in (0, 1)]
    longest = max(last - first + 1 for first, last in spans)
    # Beyond the picture's longer side there is nothing to see but its mirror image.
    side = min(max(math.ceil(longest * max(crop_factor, 1.0)), MIN_SIDE), max(size))
    return *(_place(first, last, side, length) for (first, last), length in zip(spans, size)), side


def _place(first: int, last: int, side: int, length: int) -> int:
    """Start of a side with a span in its middle, moved into the picture if it fits there, else centred on that."""
    if side >= length:
        return (length - side) // 2
    return min(max((first + last + 1 - side) // 2, 0), length - side)


def walk(mask: Tensor, side: int, overlap: int) -> Iterator[Region]:
    """Squares that paint one picture's mask [1, H, W] from the known pixels outwards, each seeing the ones before.

    Args:
        side, overlap: of the squares, in pixels.
    """
    rest = mask[0] > 0
    height, width = rest.shape
    corners = [
        (_inside(top, side, height), _inside(left, side, width))
        for top in starts(height, side, overlap)
        for left in starts(width, side, overlap)
    ]
    while rest.any():
        windows = [(slice(max(top, 0), top + side), slice(max(left, 0), left + side)) for top, left in corners]
        known = [int((~rest[window]).sum()) if rest[window].any() else -1 for window in windows]
        k = known.index(max(known))
        own = torch.zeros_like(rest)
        own[windows[k]] = rest[windows[k]]
        rest = rest & ~own
        yield Region(0, *corners[k], side, mask[0] * own)


def _inside(start: int, side: int, length: int) -> int:
    return (length - side) // 2 if side > length else start


def cut(
    image: Tensor, mask: Tensor, squares: list[Region], size: int, interpolation: str = "area"
) -> tuple[Tensor, Tensor]:
    """The squares [N, size, size, C] and their masks [N, size, size].

    In the mask of a square everything that is masked is masked, also what another square repaints.

    Args:
        interpolation: "area" or "lanczos", to make squares smaller; larger is always Lanczos.
    """
    pieces, masks = [], []
    for region in squares:
        window = _window(region, image.shape[1:3], image.device)
        pieces.append(resize(image[region.batch_index][window], (size, size), interpolation))
        masks.append(fit_mask(mask[region.batch_index][window][None, None], (size, size))[0, 0])
    return torch.stack(pieces), torch.stack(masks)


def _window(region: Region, size: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column numbers of a square, mirrored at the picture's edges."""
    rows, columns = (
        _mirrored(start, region.side, length).to(device) for start, length in zip((region.top, region.left), size)
    )
    return rows[:, None], columns[None, :]


def _mirrored(start: int, count: int, length: int) -> Tensor:
    period = max(2 * (length - 1), 1)
    i = torch.arange(start, start + count) % period
    return torch.where(i < length, i, period - i)


def resize(image: Tensor, size: tuple[int, int], interpolation: str = "area") -> Tensor:
    """[H, W, C] in another size; the same size is the very same values."""
    if tuple(image.shape[:2]) == size:
        return image
    shrinks = max(size) < max(image.shape[:2])
    filter = Image.Resampling.BOX if interpolation == "area" and shrinks else Image.Resampling.LANCZOS
    channels = [Image.fromarray(channel) for channel in image.movedim(-1, 0).cpu().float().contiguous().numpy()]
    resized = np.stack([np.asarray(channel.resize(size[::-1], filter)) for channel in channels], axis=-1)
    return torch.from_numpy(resized.clip(0, 1)).to(image)


def stitch(
    image: Tensor,
    squares: list[Region],
    crops: Tensor,
    *,
    blend: Blend = FEATHERED,
    interpolation: str = "area",
) -> Tensor:
    """Put repainted squares back. Outside of what they own (and its feather) the values are the image's very own.

    Args:
        image: [B, H, W, C], what ``cut`` cut from; alpha is left alone.
        crops: [N, any, any, 3 or more], one per square.
        interpolation: see ``resize``.
    Raises:
        ImageError: the crops do not fit, or have NaN values.
    """
    if len(crops) != len(squares):
        raise ImageError(
            f"crops are {counted(len(crops), 'picture')}, but {counted(len(squares), 'square')} had been cut: "
            "give back one for each"
        )
    if crops.ndim != 4 or crops.shape[-1] < 3 or 0 in crops.shape:
        raise ImageError(f"crops have the shape {tuple(crops.shape)}: give images [N, height, width, 3]")
    if crops.isnan().any():
        raise ImageError("crops have NaN pixels: look at the node they come from")
    out = image.clone()
    for region, crop in zip(squares, crops):
        if not region.own.any():
            continue
        painted = resize(crop[..., :3].to(out), (region.side, region.side), interpolation)
        (rows, inner_rows), (columns, inner_columns) = (
            _overlap(start, region.side, length) for start, length in zip((region.top, region.left), image.shape[1:3])
        )
        painted = painted[inner_rows, inner_columns]
        target = out[region.batch_index, rows, columns, :3]
        degree = region.degree[rows, columns].to(out.device)
        out[region.batch_index, rows, columns, :3] = blend(painted, target, degree)
    return out


def _overlap(start: int, side: int, length: int) -> tuple[slice, slice]:
    """The part of a side that is inside the picture, counted in the picture and in the side."""
    first, last = max(start, 0), min(start + side, length)
    return slice(first, last), slice(first - start, last - start)


def pad(image: Tensor, left: int, top: int, right: int, bottom: int) -> tuple[Tensor, Tensor]:
    """The picture with mirrored margins of so many pixels, and the mask [B, H, W] of the margins, for outpainting.

    Raises:
        ValueError: a margin is negative.
    """
    if min(left, top, right, bottom) < 0:
        raise ImageError("left, top, right and bottom cannot be negative")
    _, height, width, _ = image.shape
    rows = _mirrored(-top, height + top + bottom, height).to(image.device)
    columns = _mirrored(-left, width + left + right, width).to(image.device)
    mask = torch.ones(len(image), len(rows), len(columns), device=image.device)
    mask[:, top : top + height, left : left + width] = 0
    return image[:, rows[:, None], columns[None, :]], mask
