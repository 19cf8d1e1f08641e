"""The cascade: a prompt becomes a 64x64 picture, and that a 256x256 one; with a picture and a mask both repaint it.

The command line calls this; ComfyUI's nodes use the same encoder, samplers, schedules and noise through the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .diffusion.arguments import mask_batch, negative_list, of_size, padded, picture_batch, prompt_list
from .diffusion.composition import compose
from .diffusion.finite import FiniteCheck
from .diffusion.guidance import Denoiser, TextEncoding, guided_sigmas
from .diffusion.inpainting import REPAINT_PASSES, InpaintDenoiser, Inpainting, fit_mask, repainting
from .diffusion.noise import Seed, StepNoise, seeded_noise
from .diffusion.options import SAMPLING as SAMPLING
from .diffusion.options import UPSAMPLING as UPSAMPLING
from .diffusion.options import Sampling as Sampling
from .diffusion.samplers import SAMPLERS
from .diffusion.schedule import NoiseSchedule
from .errors import ImageError, OptionError
from .files import checkpoints
from .images import quantize
from .models import layers
from .models.config import UPSCALE
from .models.text2im import Text2Im
from .models.tokenizer import Tokenizer

Callback = Callable[[int, int, Tensor], None]  # step, steps, x_start


@dataclass
class Stage:
    """One model of the cascade with its tokenizer, ready to sample.

    Attributes:
        name: what errors call the model; by default its kind.
    """

    model: Text2Im
    tokenizer: Tokenizer
    name: str = ""
    schedule: NoiseSchedule = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name or f"the {self.model.config.kind} model"
        self.schedule = NoiseSchedule(self.model.config.noise_schedule)

    @classmethod
    def load(
        cls, source: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> Stage:
        """Load a checkpoint.

        Args:
            source: its path, or a name that ``checkpoints.find`` knows.
            dtype: to compute in. Pictures are float32 in any case.
        Raises:
            CheckpointError: it is missing, unreadable or no GLIDE model.
        """
        model = checkpoints.load_model(source, device=device, dtype=dtype)
        model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        layers.keep_packed(model.unet)
        return cls(model, checkpoints.tokenizer_for(model.config, checkpoints.find(source)), str(source))

    @property
    def device(self) -> torch.device:
        return self.model.text.padding_embedding.device

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextEncoding:
        """Run the text transformer: once for each prompt, never in a step."""
        tokens, mask = self.tokenizer.batch(prompts)
        return TextEncoding(*self.model.text(tokens.to(self.device), mask.to(self.device)))

    def sample(
        self,
        prompts: str | Sequence[str],
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
        """Sample one picture for each prompt. AND and NOT join the parts of a prompt, see ``composition``.

        Args:
            size: side or (height, width) in pixels; default: what the model was trained on.
            negative: what guidance moves away from, one text for all pictures or a list with one for each; empty is
                GLIDE's unconditional.
            seed: one integer for the batch, or one for each picture, see ``noise.picture_seeds``. A picture is the
                same alone or in any batch.
            conditions: low_res, as in ``unet_input``; image and known too, hard and always seen.
            inpainting: what to repaint; the rest is kept exactly.
            image: [B or 1, 3, H, W] in -1..1 to start from where denoise is below 1: it is noised to timestep
                1000 * denoise and sampled from there (SDEdit, Meng 2021).
            denoise: share of the way from noise to picture that is walked, above 0 and up to 1.
            tile: denoise pictures with longer sides in overlapping windows of this side, in pixels.
            callback: called with step, number of steps and x_start after each model step; raise from it to stop.
        Returns:
            [B, 3, H, W] float32 in -1..1.
        Raises:
            OptionError: the size or an option does not fit, or there is not one entry for each picture.
            ImageError: the image does not fit.
            NotFiniteError: the model gave NaN or infinite numbers.
        """
        prompts = prompt_list(prompts)
        height, width = self._size(size)
        shape = (len(prompts), 3, height, width)
        sigmas = self.schedule.respaced_sigmas(options.steps, denoise).to(self.device)
        negatives = negative_list(negative, len(prompts))
        noise = seeded_noise(shape, seed).to(self.device) * options.temperature
        step_noise = StepNoise(seed, len(prompts))
        if image is not None:
            image = of_size("image", picture_batch("image", image, len(prompts)), (height, width)).to(self.device)
        if not prompts:
            return noise
        composition = compose(prompts, negatives if options.guidance_scale != 1 else None)
        denoiser = Denoiser(
            model=self.model,
            schedule=self.schedule,
            cond=self.encode(composition.cond_texts),
            uncond=self.encode(composition.uncond_texts) if composition.uncond is not None else None,
            composition=composition,
            guidance_scale=options.guidance_scale,
            guided_sigmas=guided_sigmas(sigmas, options.guidance_from, options.guidance_until),
            cache_interval=options.cache_interval,
            threshold=options.threshold,
            conditions=conditions or {},
            tile=tile,
            as_reference=options.as_reference,
            check=FiniteCheck(self.name, sigmas),
        )
        x = self._noised(noise, sigmas[0], image)
        x = _walk(denoiser, x, sigmas, options, step_noise, inpainting=inpainting, callback=callback)
        return x.float()

    def _noised(self, noise: Tensor, sigma: Tensor, image: Tensor | None) -> Tensor:
        """x to start from: near the first timestep noise alone, so that nothing of the image shines through."""
        if image is None or self.schedule.is_noise(float(sigma)):
            return noise * (1 + sigma**2).sqrt()
        return image + sigma * noise

    def _size(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        config = self.model.config
        if size is None:
            size = config.image_size
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 1 or height % config.size_multiple or width % config.size_multiple:
            raise OptionError(f"size {width}x{height}: both sides must be multiples of {config.size_multiple}")
        return height, width


def _walk(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    options: Sampling,
    step_noise: StepNoise,
    *,
    inpainting: Inpainting | None,
    callback: Callback | None,
) -> Tensor:
    """Take all steps from x [B, 3, H, W] on. Raises NotFiniteError where the model gave no numbers."""
    sampler, extra = SAMPLERS[options.sampler], dict[str, Any]()
    if options.sampler == "ddpm":
        extra["variance"] = denoiser.variance
    if options.sampler == "ddim":
        extra["eta"] = options.eta
    model: Denoiser | InpaintDenoiser = denoiser
    if inpainting is not None:
        model = InpaintDenoiser(denoiser, inpainting.to(x.device), sigmas)
        sampler = repainting(sampler, inpainting.repaint_passes, model.visible_sigma)
    total = len(sigmas) - 1

    def report(step: dict[str, Any]) -> None:
        if callback is not None:
            callback(step["i"], total, step["denoised"])

    x = sampler(model, x, sigmas, callback=report, noise=step_noise, **extra)
    if denoiser.check is not None:
        denoiser.check.require()
    return x


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
