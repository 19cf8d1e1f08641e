"""Joining a repainted part [H, W, 3] in 0..1 with the picture around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..choices import BLENDS as BLENDS
from ..errors import OptionError

RING = 8  # width in pixels of the ring that colours are matched on
BORDER = 8  # seamlessClone needs room around the mask
ERODED = 3  # seamlessClone shrinks the mask by so much before it takes gradients


@dataclass(frozen=True)
class Blend:
    """How a repainted part is joined with the picture around it.

    Attributes:
        how: "hard" keeps to the mask; "feather" fades out over so many pixels outside of it; "poisson" keeps the
            painted gradients and takes the colours from the border (Perez 2003).
        feather: pixels, used by "feather".
        match_colours: first give the painted part the colours that the picture has around it, see ``match_colours``.
    Raises:
        OptionError: ``how`` is none of these, or needs OpenCV and that is not installed.
    """

    how: str = "feather"
    feather: int = 8
    match_colours: bool = False

    def __post_init__(self) -> None:
        require_blend(self.how)

    def __call__(self, painted: Tensor, target: Tensor, degree: Tensor) -> Tensor:
        """The target with the painted pixels.

        Args:
            painted, target: [H, W, 3] in 0..1.
            degree: [H, W] in 0..1, how much each pixel was repainted. Painted pixels count by this degree.
        Returns:
            [H, W, 3]; where the blend has no part, the target's very own values.
        """
        own = degree > 0
        if self.match_colours:
            painted = match_colours(painted, target, own)
        if self.how == "poisson":
            painted = poisson(painted, target, own)
        feather = self.feather if self.how == "feather" else 0
        # The fading starts at what is repainted for the most part, so that soft edges of a mask and it do not add up.
        solid = degree >= 0.5
        weight = torch.maximum(degree.float(), feathered(solid, feather))[..., None]
        return torch.where(weight > 0, painted * weight + target * (1 - weight), target)


def require_blend(how: str) -> None:
    """Raise ValueError now where ``blend`` could not do this: better than after the painting."""
    if how not in BLENDS:
        raise OptionError(f"blend {how!r} is none of {', '.join(BLENDS)}")
    if how == "poisson":
        _opencv()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:  # nothing else here needs it, and ComfyUI does not bring it
        raise OptionError("blend poisson needs OpenCV: pip install opencv-python-headless") from error
    return cv2


FEATHERED = Blend()


def feathered(own: Tensor, feather: int) -> Tensor:
    """Weights [H, W]: 1 on own, falling to 0 at the distance feather (in pixels) from it."""
    if feather <= 0 or own.all() or not own.any():
        return own.float()
    distance = ndimage.distance_transform_edt((~own).cpu().numpy())
    return torch.from_numpy(1 - distance / (feather + 1)).float().clamp(0, 1).to(own.device)


def poisson(painted: Tensor, target: Tensor, own: Tensor) -> Tensor:
    """OpenCV's seamlessClone, in 8 bits, with room at the picture's edges: there the painted colours stay."""
    cv2 = _opencv()
    if not own.any():
        return target
    around = [(BORDER, BORDER), (BORDER, BORDER), (0, 0)]
    inner = (slice(BORDER, -BORDER),) * 2
    source = np.pad(_to_uint8(painted), around, mode="edge")
    destination = np.pad(_to_uint8(torch.where(own[..., None], painted, target)), around, mode="edge")
    destination[inner] = _to_uint8(target)
    mask = np.pad(own.cpu().numpy().astype(np.uint8), BORDER)
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=ERODED) * 255
    left, top, width, height = cv2.boundingRect(mask)
    centre = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(source, destination, mask, centre, cv2.NORMAL_CLONE)[inner]
    return torch.from_numpy(np.ascontiguousarray(cloned)).to(target) / 255


def match_colours(painted: Tensor, target: Tensor, own: Tensor, ring: int = RING) -> Tensor:
    """Painted with the mean and spread that the target has in a ring outside of own, per channel.

    For what was painted by a model that shifts colours. Nothing changes where there is no ring.
    """
    if own.all():
        return painted
    distance = ndimage.distance_transform_edt((~own).cpu().numpy())
    outside = torch.from_numpy(distance <= ring).to(own.device) & ~own
    if outside.sum() < 2:
        return painted
    (mean, std), (wanted_mean, wanted_std) = ((p.mean(0), p.std(0)) for p in (painted[outside], target[outside]))
    gain = ((wanted_std + 1e-3) / (std + 1e-3)).clamp(0.5, 2)
    return ((painted - mean) * gain + wanted_mean).clamp(0, 1)


def _to_uint8(image: Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().cpu().numpy().astype(np.uint8)
