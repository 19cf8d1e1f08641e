"""Enlarging by diffusion."""

import dataclasses

import torch
from comfy_api.latest import io

from ..glide_core.diffusion.arguments import padded
from ..glide_core.diffusion.inpainting import fit_mask
from ..glide_core.editing import regions
from ..glide_core.errors import counted
from ..glide_core.images import to_channels_first, to_channels_last
from ..glide_core.models.config import UPSCALE
from ..glide_core.pipeline import UPSAMPLING
from .checks import named, steps_error, still_to_come
from .host import conditioning, feedback
from .host.images import blank_canvas, picture_to_enlarge, require_one_picture
from .host.inpainting import inpaint_latent
from .host.sampling import placed, require_kind, require_own_clip, sample_latent, size_multiple
from .schema import (
    CUSTOM,
    batch_index_input,
    chosen,
    image_to_enlarge_input,
    latent_to_enlarge_input,
    negative_input,
    preset_input,
    sampling_inputs,
    schema,
    temperature_input,
)


class GlideUpsampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideUpsampler",
            category="upscaling",
            display_name="Upscale (GLIDE Upsampler)",
            description="Enlarges a picture 4 times with a GLIDE upsampler, which paints the detail that the prompt "
            "and the small picture suggest. It was trained to turn 64x64 into 256x256 pixels. It takes pictures of any "
            "size and paints larger ones in overlapping tiles. With original and mask, an inpainting upsampler keeps "
            "the pixels of the original that are not masked.",
            search_aliases=["upscale", "super resolution", "enlarge", "4x", "inpaint"],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of a GLIDE upsampler."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of the same GlideLoader. The prompt is encoded again with it, because base model "
                    "and upsampler have different text transformers.",
                ),
                io.Conditioning.Input(
                    "positive", tooltip="The prompt. The one that was made for the base model is right here too."
                ),
                *sampling_inputs(UPSAMPLING),
                temperature_input(UPSAMPLING.temperature),
                latent_to_enlarge_input(lazy=True),
                image_to_enlarge_input(lazy=True),
                negative_input(),
                io.Image.Input(
                    "original",
                    optional=True,
                    tooltip="For an inpainting upsampler: the picture that was repainted, in full size, such as the "
                    "crop of GlideCrop. Its pixels are kept where the mask is black.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="For an inpainting upsampler: what was repainted (white). Connect it together with "
                    "original.",
                ),
                batch_index_input(),
                preset_input(),
            ],
            outputs=[
                io.Latent.Output(tooltip="The enlarged picture as a latent."),
                io.Image.Output(tooltip="The enlarged picture as an image, 4 times as wide and as high."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

    @classmethod
    def check_lazy_status(cls, model, clip, positive, negative=None, **others):
        with named("GlideUpsampler"):
            if ("original" in others) != ("mask" in others):
                raise ValueError(
                    "original and mask belong together: connect both, or neither of them to enlarge a whole picture"
                )
            require_kind(model, "upsample-inpaint" if "mask" in others else "upsample")
            require_one_picture("latent" in others, "image" in others)
            require_own_clip(model, clip)
            for name, prompts in (("positive", positive), ("negative", negative or [])):
                conditioning.require_repeatable(clip, name, prompts)
        return still_to_come(others, "latent", "image")

    @classmethod
    def execute(
        cls,
        model,
        clip,
        positive,
        seed,
        steps,
        sampler,
        guidance_scale,
        eta,
        temperature,
        latent=None,
        image=None,
        negative=None,
        original=None,
        mask=None,
        batch_index=0,
        preset=CUSTOM,
    ) -> io.NodeOutput:
        with named("GlideUpsampler"):
            low_res = picture_to_enlarge(latent, image)
            batch = len(low_res)
            height, width = (UPSCALE * side for side in low_res.shape[-2:])
            canvas = blank_canvas(batch, height, width)
            if mask is not None:
                canvas, mask = _fit_original(original, mask, canvas)
                if not mask.any():
                    return feedback.untouched(cls.hidden.unique_id, canvas, original)
            options = dataclasses.replace(
                UPSAMPLING,
                steps=steps,
                sampler=sampler,
                guidance_scale=guidance_scale,
                eta=eta,
                temperature=temperature,
            )
            options = chosen(options, preset, upsampler=True)
            multiple = max(size_multiple(model), UPSCALE)
            low_res, canvas = padded(low_res, multiple // UPSCALE), padded(canvas, multiple)
            positive = conditioning.for_upsampler(clip, positive, low_res)
            if negative is not None:
                negative = conditioning.for_upsampler(clip, negative, low_res)
            latent_to_paint = placed({**_places(latent), "samples": canvas}, batch_index)
            if mask is None:
                enlarged = sample_latent(model, positive, negative, latent_to_paint, options, seed=seed)
            else:
                enlarged = inpaint_latent(
                    model, positive, negative, latent_to_paint, padded(mask, multiple), options, seed=seed
                )
            enlarged = {**enlarged, "samples": enlarged["samples"][..., :height, :width]}
        return io.NodeOutput(enlarged, to_channels_last(enlarged["samples"]))


def _places(latent: dict | None) -> dict:
    """Where the pictures of the LATENT stand in their batch, if it says so."""
    return {"batch_index": latent["batch_index"]} if latent and "batch_index" in latent else {}


def _fit_original(original, mask, canvas):
    """The picture to keep, [B, 3, H, W] in -1..1, and its mask, [B, 1, H, W], in the size of the canvas."""
    size = tuple(canvas.shape[-2:])
    if len(original) != len(canvas):
        raise ValueError(
            f"original holds {counted(len(original), 'picture')}, but {counted(len(canvas), 'picture')} should be "
            "enlarged: connect as many"
        )
    mask = fit_mask(regions.fit(original, mask, "original")[:, None], size)
    pictures = torch.stack([regions.resize(picture[..., :3], size) for picture in original])
    return to_channels_first(pictures).to(canvas), mask.to(canvas)
