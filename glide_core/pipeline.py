"""The cascade: a prompt becomes a 64x64 picture, and that a 256x256 one; with a picture and a mask both repaint it.

The command line calls this; ComfyUI's nodes use the same encoder, samplers, schedules and noise through the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .diffusion.guidance import Denoiser, TextEncoding
from .diffusion.inpainting import REPAINT_PASSES, InpaintDenoiser, Inpainting, fit_mask, repainting
from .diffusion.noise import Seed, StepNoise, seeded_noise
from .diffusion.samplers import SAMPLERS
from .diffusion.schedule import NoiseSchedule
from .errors import OptionError
from .files import checkpoints
from .images import quantize
from .models.config import UPSCALE
from .models.text2im import Text2Im
from .models.tokenizer import Tokenizer

Callback = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Sampling:
    """How to sample. The defaults are the base model's (OpenAI took 100 steps); ``UPSAMPLING`` is OpenAI's upsampler's.

    Attributes:
        steps: how many, or a respacing string: see ``schedule.respace``.
        sampler: a name in ``samplers.SAMPLERS``.
        guidance_scale: 1 follows the prompt loosely; 3 to 5 closely, with less variety.
        eta: DDIM's noise, 0 to 1; other samplers ignore it.
        threshold: None clips x_start at every step; 0..1 is dynamic thresholding.
        temperature: scale of the initial noise.
    """

    steps: str | int = "50"
    sampler: str = "ddpm"
    guidance_scale: float = 3.0
    eta: float = 0.0
    threshold: float | None = None
    temperature: float = 1.0

    def __post_init__(self):
        if self.sampler not in SAMPLERS:
            raise OptionError(f"unknown sampler {self.sampler!r}: use one of {', '.join(SAMPLERS)}")
        for name in ("guidance_scale", "eta", "temperature"):
            if not math.isfinite(getattr(self, name)):
                raise OptionError(f"{name} is {getattr(self, name)}: give a finite number")
        if not 0 <= self.eta <= 1:
            raise OptionError(f"eta is {self.eta}: give a number from 0 to 1")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise OptionError(f"threshold is {self.threshold}: give a number above 0 and up to 1, or None to clip")


UPSAMPLING = Sampling(steps="fast27", sampler="ddim", guidance_scale=1.0, temperature=0.997)


@dataclass
class Stage:
    """One model of the cascade with its tokenizer, ready to sample."""

    model: Text2Im
    tokenizer: Tokenizer
    schedule: NoiseSchedule = field(init=False)

    def __post_init__(self):
        self.schedule = NoiseSchedule(self.model.config.noise_schedule)

    @classmethod
    def load(cls, source: str | Path, *, device="cpu", dtype=torch.float32) -> Stage:
        """source: a checkpoint's path or a name that ``checkpoints.find`` knows. Raises CheckpointError."""
        model = checkpoints.load_model(source, device=device, dtype=dtype)
        model.unet.to(memory_format=torch.channels_last)
        return cls(model, checkpoints.tokenizer_for(model.config, checkpoints.find(source)))

    @property
    def device(self) -> torch.device:
        return self.model.text.padding_embedding.device

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextEncoding:
        """Run the text transformer: once per prompt, never per step."""
        tokens, mask = self.tokenizer.batch(prompts)
        return TextEncoding(*self.model.text(tokens.to(self.device), mask.to(self.device)))

    def sample(
        self,
        prompts: Sequence[str],
        options: Sampling,
        *,
        size: int | tuple[int, int] | None = None,
        negative: str | Sequence[str] = "",
        seed: Seed = 0,
        conditions: dict[str, Tensor] | None = None,
        inpainting: Inpainting | None = None,
        image: Tensor | None = None,
        denoise: float = 1.0,
        tile: int | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Sample one picture per prompt.

        Args:
            size: side or (height, width) in pixels; default: what the model was trained on.
            negative: what guidance moves away from, one text for all pictures or one for each; empty is GLIDE's
                unconditional.
            seed: one integer for the batch, or one for each picture, see ``noise.picture_seeds``. A picture is the
                same alone or in any batch.
            conditions: low_res, as in ``model.unet_input``; image and known too, hard and always seen.
            inpainting: what to repaint; the rest is kept exactly.
            image: [B, 3, H, W] in -1..1 to start from where denoise is below 1: it is noised to timestep
                1000 * denoise and sampled from there (SDEdit, Meng 2021).
            tile: denoise pictures with longer sides in overlapping windows of this side.
            callback: called with (step, total, x_start) after each model step; raise from it to stop.
        Returns:
            [B, 3, H, W] float32 in -1..1.
        Raises:
            ValueError: the size or an option does not fit the model.
        """
        shape = (len(prompts), 3, *self._size(size))
        sigmas = self.schedule.respaced_sigmas(options.steps, denoise).to(self.device)
        cond = self.encode(prompts)
        uncond = self.encode(_negatives(negative, len(prompts))) if options.guidance_scale != 1 else None
        denoiser = Denoiser(
            self.model, self.schedule, cond, uncond, options.guidance_scale, options.threshold, conditions or {}, tile
        )
        model, sampler, extra = denoiser, SAMPLERS[options.sampler], {}
        if inpainting:
            model = InpaintDenoiser(denoiser, inpainting.to(self.device), sigmas)
            sampler = repainting(sampler, inpainting.repaint_passes, model.visible_sigma)
        if options.sampler == "ddpm":
            extra["variance"] = denoiser.variance
        if options.sampler == "ddim":
            extra["eta"] = options.eta
        noise = seeded_noise(shape, seed).to(self.device) * options.temperature
        x = self._noised(noise, sigmas[0], None if image is None else image.to(self.device))
        on_step = _step_callback(callback, len(sigmas) - 1)
        return sampler(model, x, sigmas, callback=on_step, noise=StepNoise(seed, len(prompts)), **extra)

    def _noised(self, noise: Tensor, sigma: Tensor, image: Tensor | None) -> Tensor:
        """x to start from: near the first timestep noise alone, so that nothing of the image shines through."""
        if image is None or self.schedule.is_noise(float(sigma)):
            return noise * (1 + sigma**2).sqrt()
        return image + sigma * noise

    def _size(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        config = self.model.config
        height, width = (size, size) if isinstance(size, int) else size or (config.image_size, config.image_size)
        if min(height, width) < 1 or height % config.size_multiple or width % config.size_multiple:
            raise OptionError(f"size {width}x{height}: both sides must be multiples of {config.size_multiple}")
        return height, width


def _negatives(negative: str | Sequence[str], count: int) -> list[str]:
    """The text that each of ``count`` pictures is led away from. Raises OptionError: there is not one for each."""
    if isinstance(negative, str):
        return [negative] * count
    if len(negative) != count:
        raise OptionError(f"negative: {len(negative)} texts for {count} prompts: give one text, or one per prompt")
    return list(negative)


def _step_callback(callback: Callback | None, total: int):
    return callback and (lambda step: callback(step["i"], total, step["denoised"]))


def generate(stage: Stage, prompts: Sequence[str], options: Sampling = Sampling(), **kwargs) -> Tensor:
    """Prompts -> 64x64 pictures. kwargs: size, negative, seed, image, denoise, callback of ``Stage.sample``.

    Raises:
        ValueError: the checkpoint is not a base model.
    """
    require_kind(stage, "base")
    return stage.sample(prompts, options, **kwargs)


def inpaint(
    stage: Stage,
    prompts: Sequence[str],
    image: Tensor,
    mask: Tensor,
    options: Sampling = Sampling(),
    *,
    hide_until: float = 0.0,
    repaint_passes: int = REPAINT_PASSES,
    **kwargs,
) -> Tensor:
    """Repaint a part of small pictures (paper section 2.4). kwargs: negative, seed, denoise, callback.

    Args:
        image: [B, 3, H, W] in -1..1, as large as the model paints (64x64).
        mask: [B or 1, 1, h, w], 1 = repaint, between: by degree; of any size, see ``inpainting.fit_mask``.
        hide_until: see ``Inpainting``.
        repaint_passes: see ``Inpainting``.
    Returns:
        [B, 3, H, W]; where the mask is 0 exactly the image.
    Raises:
        ValueError: the checkpoint is not an inpainting base model, or prompts, image and mask do not fit.
    """
    require_kind(stage, "base-inpaint")
    inpainting = _inpainting(
        prompts, image, mask, image.shape[-2:], hide_until=hide_until, repaint_passes=repaint_passes
    )
    size = (image.shape[-2], image.shape[-1])
    return stage.sample(prompts, options, size=size, inpainting=inpainting, image=inpainting.image, **kwargs)


def upsample(
    stage: Stage,
    prompts: Sequence[str],
    low_res: Tensor,
    options: Sampling = UPSAMPLING,
    *,
    image: Tensor | None = None,
    mask: Tensor | None = None,
    **kwargs,
) -> Tensor:
    """Pictures [B, 3, h, w] in -1..1 -> [B, 3, 4h, 4w] by diffusion. kwargs: negative, seed, callback.

    What is larger than the model was trained for is denoised in overlapping windows (``tiles``).

    Args:
        image: for an inpainting upsampler: [B, 3, 4h, 4w] in -1..1, kept where the mask is 0.
        mask: for an inpainting upsampler: [B or 1, 1, any height, any width], 1 = repaint.
    Raises:
        ValueError: the checkpoint is not such an upsampler, there is not one prompt per picture, or image and mask do
            not fit.
    """
    require_kind(stage, "upsample" if image is None else "upsample-inpaint")
    if len(prompts) != len(low_res):
        raise OptionError(f"{len(low_res)} pictures but {len(prompts)} prompts: give one prompt per picture")
    size = (UPSCALE * low_res.shape[-2], UPSCALE * low_res.shape[-1])
    return stage.sample(
        prompts,
        options,
        size=size,
        conditions={"low_res": quantize(low_res.to(stage.device, torch.float32))},
        inpainting=None if image is None else _inpainting(prompts, image, mask, size),
        tile=stage.model.config.image_size,
        **kwargs,
    )


def _inpainting(prompts, image: Tensor, mask: Tensor | None, size, **context) -> Inpainting:
    size, batch = tuple(size), len(image)
    if mask is None:
        raise OptionError("there is a picture but no mask: give both")
    if tuple(image.shape[-2:]) != size:
        raise OptionError(f"the picture is {image.shape[-1]}x{image.shape[-2]}, but {size[1]}x{size[0]} is painted")
    if batch != len(prompts) or len(mask) not in (1, batch):
        raise OptionError(
            f"{len(prompts)} prompts, {batch} pictures and {len(mask)} masks: give one prompt and one mask per "
            "picture, or one mask for all"
        )
    if image.isnan().any() or mask.isnan().any():
        raise OptionError("the picture or the mask has NaN values")
    return Inpainting(image.float(), fit_mask(mask.float(), size).expand(batch, -1, -1, -1), **context)


def require_kind(stage: Stage, kind: str) -> None:
    """Raise ValueError unless the stage's model is of this ``ModelConfig.kind``."""
    found = stage.model.config.kind
    if found != kind:
        raise OptionError(f"this stage needs a checkpoint of kind {kind}, but the one given is of kind {found}")
