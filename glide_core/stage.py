"""One model of the cascade, ready to sample: what every stage does alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .diffusion.arguments import negative_list, of_size, picture_batch, prompt_list
from .diffusion.clip_guidance import ClipGuide
from .diffusion.composition import compose
from .diffusion.finite import FiniteCheck
from .diffusion.guidance import Denoiser, TextEncoding, guided_sigmas
from .diffusion.inpainting import InpaintDenoiser, Inpainting, repainting
from .diffusion.noise import Seed, StepNoise, seeded_noise
from .diffusion.options import Sampling
from .diffusion.samplers import SAMPLERS, Variance
from .diffusion.schedule import NoiseSchedule
from .errors import OptionError
from .files import checkpoints
from .models import layers
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
        clip: ClipGuide | None = None,
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
            clip: a noised CLIP that guides towards the prompts, or its own texts, beside or instead of guidance_scale.
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
        noise = seeded_noise(shape, seed, options.noise_offset).to(self.device) * options.temperature
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
            clip=clip.start(prompts, sigmas) if clip is not None else None,
            gradient=Variance() if options.as_reference and options.sampler == "ddpm" else None,
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
        extra |= {"variance": denoiser.variance, "gradient": denoiser.gradient}
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
