"""GLIDE's U-Net as a ComfyUI MODEL, so that the host's samplers, guidance and memory management run it."""

from __future__ import annotations

from collections.abc import Callable

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.supported_models_base
import comfy.utils
import torch
from torch import Tensor

from ...glide_core.diffusion.finite import FiniteCheck
from ...glide_core.diffusion.prediction import STRONGEST
from ...glide_core.diffusion.schedule import NoiseSchedule
from ...glide_core.images import quantize
from ...glide_core.models.config import UPSCALE, ModelConfig
from ...glide_core.models.run_packing import pack_no_more
from ...glide_core.models.text2im import unet_input
from . import conditioning
from .schedule import ModelSampling
from .steps import checked_steps
from .threshold import Threshold, with_threshold
from .unet import HostUNet


class PixelLatents(comfy.latent_formats.LatentFormat):
    """GLIDE paints pixels: a latent is the picture, [B, 3, H, W] in -1..1."""

    latent_channels = 3
    spacial_downscale_ratio = 1
    latent_rgb_factors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


class GlideConfig(comfy.supported_models_base.BASE):
    """What ComfyUI asks about a model family."""

    unet_extra_config: dict[str, object] = {}
    latent_format = PixelLatents
    memory_usage_factor = 0.6

    def __init__(self, config: ModelConfig, encoder: str):
        # The U-Net reads config; FreeU and other nodes read the other two.
        super().__init__({"config": config, "model_channels": config.num_channels, "in_channels": 3})
        self.config, self.encoder = config, encoder

    def get_model(self, state_dict, prefix="", device=None):
        return GlideModel(self, device=device)

    # CheckpointSave writes the flat names of the published files, so that GlideLoader reads its files again.

    def process_unet_state_dict_for_saving(self, state_dict):
        return state_dict

    def process_clip_state_dict_for_saving(self, state_dict):
        return {name.removeprefix("text."): tensor for name, tensor in state_dict.items()}

    def process_vae_state_dict_for_saving(self, state_dict):
        return {}


class GlideModel(comfy.model_base.BaseModel):
    """Turns CONDITIONING and LATENT into the U-Net's inputs, and refuses what belongs to other models."""

    def __init__(self, model_config: GlideConfig, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.EPS, device=device, unet_model=HostUNet)
        self.config, self.encoder = model_config.config, model_config.encoder
        self.schedule = NoiseSchedule(self.config.noise_schedule)
        self.model_sampling = ModelSampling(self.schedule)
        self.last_timestep = float(self.schedule.timestep(torch.tensor(STRONGEST)))
        self.text_transformer: Callable[[], dict[str, Tensor]] | None = None  # reads that of the loaded file
        self.finite_check: FiniteCheck | None = None  # of the run in progress, see ``checked_steps``

    def process_timestep(self, timestep, **kwargs):
        """The timestep that the U-Net is asked at, as ``ModelSampling.calculate_denoised`` takes its answer."""
        return timestep.clamp(max=self.last_timestep)

    def state_dict_for_saving(self, *args, **kwargs):
        """The host's tensors, and for ModelSave, which saves no CLIP, the text transformer of the loaded file.

        So GlideLoader reads again what ModelSave writes.
        """
        tensors = super().state_dict_for_saving(*args, **kwargs)
        if "positional_embedding" not in tensors and self.text_transformer is not None:
            tensors.update(self.text_transformer())
        return tensors

    def _apply_model(self, x, t, *args, **kwargs):
        if getattr(self.current_patcher, "hook_patches", None):  # which change weights from step to step
            pack_no_more(self.diffusion_model)
        x_start = super()._apply_model(x, t, *args, **kwargs)
        if self.finite_check is not None:
            self.finite_check.look(x_start, t)
        return x_start

    def extra_conds(self, **kwargs):
        noise = kwargs["noise"]
        self.check_size(noise)
        conditioning.require_encoder(kwargs, self.encoder, self.config.kind)
        conditioning.check_area(kwargs.get("area"), self.config)
        text, pooled = conditioning.text_of(kwargs)
        # CONDRegular, because CONDCrossAttn repeats short texts, and text and pixels share one softmax here.
        conds = {
            "c_crossattn": comfy.conds.CONDRegular(text),
            "y": comfy.conds.CONDRegular(pooled),
        }
        if self.config.in_channels > 3:
            conds["c_concat"] = comfy.conds.CONDNoiseShape(self._conditions(noise, kwargs))
        return conds

    def scale_latent_inpaint(self, x, **kwargs):
        return x  # the known pixels are put back into x_start, as in the reference, and not into the noisy picture

    def check_size(self, samples: Tensor, name: str = "the LATENT") -> None:
        """Raise ValueError unless the samples [B, C, H, W] of a LATENT can be painted.

        Args:
            name: of the input, for errors.
        """
        _, channels, height, width = samples.shape
        if channels != 3:
            raise ValueError(
                f"GLIDE's latents are pictures with 3 channels, but {name} has {channels}: connect EmptyGlideLatent, "
                "or VAEEncode with the VAE of a GlideLoader"
            )
        multiple, native = self.config.size_multiple, self.config.image_size
        if self.config.low_res:  # upsamplers paint in tiles
            if height % multiple or width % multiple:
                raise ValueError(
                    f"{name} is a picture of {width}x{height} pixels, but outside of GlideUpsampler, which takes any "
                    f"size, a GLIDE upsampler paints sides that are multiples of {multiple}: use that node, or cut the "
                    f"picture to enlarge with ImageCrop until its sides are multiples of {multiple // UPSCALE}"
                )
            return
        smallest, largest = native // 4, native * 4
        if height % multiple or width % multiple or min(height, width) < smallest or max(height, width) > largest:
            raise ValueError(
                f"{name} is a picture of {width}x{height} pixels, but this GLIDE model paints sides of {smallest} to "
                f"{largest} pixels that are multiples of {multiple}, and {native}x{native} best: to paint from noise, "
                "use EmptyGlideLatent (older versions of ComfyUI divide the numbers of EmptyLatentImage by 8); to "
                "repaint a photo, cut a square out of it with GlideCrop"
            )

    def _conditions(self, noise: Tensor, kwargs: dict) -> Tensor:
        """The U-Net's channels after the noisy picture."""
        inputs, device = {}, kwargs["device"]
        if self.config.low_res:
            low_res = conditioning.low_res_of(kwargs)
            low_res = quantize(low_res.to(device, torch.float32))
            inputs["low_res"] = comfy.utils.resize_to_batch_size(low_res, noise.shape[0])
        if self.config.inpaint:
            inputs |= _surroundings(noise, kwargs)
        return unet_input(self.config, noise.to(device), **inputs)[:, 3:]


def _surroundings(noise: Tensor, kwargs: dict) -> dict[str, Tensor]:
    """The image and the known pixels for ``unet_input``, or nothing where nothing is known.

    They come from what the stock InpaintModelConditioning adds, or else from the LATENT and its noise mask.
    """
    mask = kwargs.get("concat_mask", kwargs.get("denoise_mask"))
    image = kwargs.get("concat_latent_image", kwargs.get("latent_image"))
    if mask is None or image is None:
        return {}
    mask = mask[:, :1] if mask.ndim == 4 else mask[:, None]
    mask, image = (_fit(part.to(kwargs["device"], torch.float32), noise) for part in (mask, image))
    return {"image": image, "known": 1 - mask.round()}  # the host's mask is 1 where it repaints


def _fit(image: Tensor, noise: Tensor) -> Tensor:
    """An image in the size and the batch of the noise."""
    if image.shape[-2:] != noise.shape[-2:]:
        image = comfy.utils.common_upscale(image, noise.shape[-1], noise.shape[-2], "bilinear", "center")
    return comfy.utils.resize_to_batch_size(image, noise.shape[0])


def load_model(
    state_dict: dict[str, Tensor],
    config: ModelConfig,
    encoder: str,
    dtype: torch.dtype | None,
    disable_dynamic: bool = False,
):
    """Make a MODEL.

    Args:
        state_dict: the U-Net's tensors. It is empty afterwards.
        encoder: the tag of the text transformer that belongs to the U-Net (``conditioning.encoder_tag``).
        dtype: of the weights. None leaves the choice to the host.
        disable_dynamic: newer hosts' dynamic VRAM is not used for this MODEL, whose weights then are plain tensors.
    """
    mm = comfy.model_management
    host_config = GlideConfig(config, encoder)
    supported = host_config.supported_inference_dtypes
    parameters = comfy.utils.calculate_parameters(state_dict)
    device, offload_device = mm.get_torch_device(), mm.unet_offload_device()
    dtype = dtype or mm.unet_dtype(model_params=parameters, supported_dtypes=supported)
    host_config.set_inference_dtype(dtype, mm.unet_manual_cast(dtype, device, supported))
    model = host_config.get_model(state_dict, device=offload_device)
    patcher_class = comfy.model_patcher.ModelPatcher
    if not disable_dynamic:
        patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", patcher_class)
    patcher = patcher_class(model, load_device=device, offload_device=offload_device)
    if hasattr(patcher, "is_dynamic") and patcher.is_dynamic():  # newer hosts, whose dynamic VRAM takes tensors as is
        model.load_model_weights(state_dict, "", assign=True)
    else:
        model.load_model_weights(state_dict, "")
    patcher.add_wrapper(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, checked_steps)
    # Pixels need the reference's clipping in every step: without it sampling ends far outside of -1..1.
    return with_threshold(patcher, Threshold())
