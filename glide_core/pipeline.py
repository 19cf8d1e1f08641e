"""The cascade: a prompt becomes a 64x64 picture, and that a 256x256 one; with a picture and a mask both repaint it.

The command line calls this; ComfyUI's nodes use the same encoder, samplers, schedules and noise through the host.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .diffusion.arguments import mask_batch, of_size, padded, picture_batch, prompt_list
from .diffusion.clip_guidance import ClipGuide
from .diffusion.inpainting import REPAINT_PASSES, Inpainting, fit_mask
from .diffusion.noise import Seed
from .diffusion.options import SAMPLING as SAMPLING
from .diffusion.options import UPSAMPLING as UPSAMPLING
from .diffusion.options import Sampling as Sampling
from .errors import ImageError, OptionError
from .images import quantize
from .models.config import UPSCALE
from .stage import Callback as Callback
from .stage import Stage as Stage


def generate(
    stage: Stage,
    prompts: str | Sequence[str],
    options: Sampling = SAMPLING,
    *,
    size: int | tuple[int, int] | None = None,
    negative: str | Sequence[str] = "",
    seed: Seed = 0,
    image: Tensor | None = None,
    denoise: float = 1.0,
    clip: ClipGuide | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Draw a small picture for each prompt, 64x64 with the published model.

    Arguments, result and errors are those of ``Stage.sample``.

    Raises:
        OptionError: also where the checkpoint is not a base model.
    """
    require_kind(stage, "base")
    return stage.sample(
        prompts,
        options,
        size=size,
        negative=negative,
        seed=seed,
        image=image,
        denoise=denoise,
        clip=clip,
        callback=callback,
    )


def inpaint(
    stage: Stage,
    prompts: str | Sequence[str],
    image: Tensor,
    mask: Tensor,
    options: Sampling = SAMPLING,
    *,
    hide_until: float = 0.0,
    repaint_passes: int = REPAINT_PASSES,
    negative: str | Sequence[str] = "",
    seed: Seed = 0,
    denoise: float = 1.0,
    clip: ClipGuide | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Repaint a part of small pictures (paper section 2.4).

    Args:
        prompts: one for each picture, or a single one for all.
        image: [B or 1, 3 or 1, H, W] in -1..1, as large as the model paints (64x64); one channel is grey.
        mask: [B or 1, 1, h, w], 1 = repaint, between: by degree; of any size, see ``inpainting.fit_mask``.
        hide_until: see ``Inpainting``.
        repaint_passes: see ``Inpainting``.
        negative: see ``Stage.sample``, and so for the others.
    Returns:
        [B, 3, H, W] float32 in -1..1; where the mask is 0 exactly the image.
    Raises:
        OptionError: the checkpoint is not an inpainting base model, or an option does not fit.
        ImageError: prompts, image and mask do not fit each other.
        NotFiniteError: the model gave NaN or infinite numbers.
    """
    require_kind(stage, "base-inpaint")
    prompts = prompt_list(prompts, len(image))
    size = (image.shape[-2], image.shape[-1])
    inpainting = _inpainting(image, mask, len(prompts), size, hide_until=hide_until, repaint_passes=repaint_passes)
    return stage.sample(
        prompts,
        options,
        size=size,
        inpainting=inpainting,
        image=inpainting.image,
        negative=negative,
        seed=seed,
        denoise=denoise,
        clip=clip,
        callback=callback,
    )


def upsample(
    stage: Stage,
    prompts: str | Sequence[str],
    low_res: Tensor,
    options: Sampling = UPSAMPLING,
    *,
    image: Tensor | None = None,
    mask: Tensor | None = None,
    negative: str | Sequence[str] = "",
    seed: Seed = 0,
    clip: ClipGuide | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Enlarge pictures 4 times by diffusion (the upsampling model of the paper's section 2.1).

    What is larger than the model was trained for is denoised in overlapping windows (``tiles``).

    Args:
        prompts: one for each picture, or a single one for all.
        low_res: [B or 1, 3 or 1, h, w] in -1..1, of any size; one channel is grey.
        image: for an inpainting upsampler: [B or 1, 3 or 1, 4h, 4w] in -1..1, kept where the mask is 0.
        mask: for an inpainting upsampler: [B or 1, 1, any height, any width], 1 = repaint.
        negative: see ``Stage.sample``, and so for the others.
    Returns:
        [B, 3, 4h, 4w] float32 in -1..1.
    Raises:
        OptionError: the checkpoint is not such an upsampler, or an option does not fit.
        ImageError: prompts and pictures do not fit each other, or only one of image and mask is there.
        NotFiniteError: the model gave NaN or infinite numbers.
    """
    if (image is None) != (mask is None):
        raise ImageError("image and mask belong together: give both, or none to enlarge a whole picture")
    require_kind(stage, "upsample" if image is None else "upsample-inpaint")
    prompts = prompt_list(prompts, len(low_res))
    low_res = picture_batch("low_res", low_res, len(prompts))
    height, width = (UPSCALE * side for side in low_res.shape[-2:])
    multiple = max(stage.model.config.size_multiple, UPSCALE)
    inpainting = None
    if image is not None and mask is not None:
        whole = _inpainting(image, mask, len(prompts), (height, width))
        inpainting = Inpainting(padded(whole.image, multiple), padded(whole.mask, multiple))
    low_res = padded(quantize(low_res.to(stage.device)), multiple // UPSCALE)
    enlarged = stage.sample(
        prompts,
        options,
        size=(UPSCALE * low_res.shape[-2], UPSCALE * low_res.shape[-1]),
        conditions={"low_res": low_res},
        inpainting=inpainting,
        tile=stage.model.config.image_size,
        negative=negative,
        seed=seed,
        clip=clip,
        callback=callback,
    )
    return enlarged[..., :height, :width]


def _inpainting(
    image: Tensor,
    mask: Tensor,
    count: int,
    size: tuple[int, int],
    *,
    hide_until: float = 0.0,
    repaint_passes: int = REPAINT_PASSES,
) -> Inpainting:
    image = of_size("image", picture_batch("image", image, count), size)
    return Inpainting(image, fit_mask(mask_batch(mask, count), size), hide_until, repaint_passes)


def require_kind(stage: Stage, kind: str) -> None:
    """Raise OptionError unless the stage's model is of this ``ModelConfig.kind``."""
    found = stage.model.config.kind
    if found != kind:
        raise OptionError(f"this stage needs a checkpoint of kind {kind}, but the one given is of kind {found}")
