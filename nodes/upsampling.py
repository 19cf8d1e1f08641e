"""Enlarging by diffusion."""

import dataclasses

import torch
from comfy_api.latest import io

from ..glide_core.diffusion.inpainting import fit_mask
from ..glide_core.editing import regions
from ..glide_core.models.config import UPSCALE
from ..glide_core.pipeline import UPSAMPLING
from .checks import named, steps_error
from .host import conditioning, sampling
from .host.inpainting import inpaint
from .inpainting import untouched
from .sampling import sampling_inputs
from .schema import schema


class GlideUpsampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideUpsampler",
            display_name="GLIDE Upsampler",
            description="Enlarges a picture 4 times with a GLIDE upsampler, which paints the detail that the prompt "
            "and the small picture suggest. It was trained on 64x64 to 256x256; larger pictures are painted in "
            "overlapping tiles. With original and mask, an inpainting upsampler keeps the original's known pixels.",
            search_aliases=["upscale", "super resolution", "enlarge", "4x", "inpaint"],
            inputs=[
                io.Model.Input("model", tooltip="A GLIDE upsampler."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of the same GlideLoader. The prompt is encoded again with it: base and upsampler "
                    "have text transformers of their own.",
                ),
                io.Conditioning.Input("positive", tooltip="The prompt; the one made for the base model will do."),
                *sampling_inputs(UPSAMPLING),
                io.Float.Input(
                    "upsample_temp",
                    default=UPSAMPLING.temperature,
                    min=0.0,
                    max=2.0,
                    step=0.001,
                    round=0.0001,
                    tooltip="Strength of the noise it starts from. Slightly below 1 (0.997) is cleaner, 1 has more "
                    "texture, much less turns blurry.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="The picture to enlarge, as GlideSampler gives it."),
                io.Image.Input("image", optional=True, tooltip="Or the picture to enlarge as an image."),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What to move away from; used where guidance_scale is not 1."
                ),
                io.Image.Input(
                    "original",
                    optional=True,
                    tooltip="For an inpainting upsampler: the picture that was repainted, in full size, such as "
                    "GlideCrop's. Where the mask is black its pixels are kept.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="What was repainted (white); goes with original."),
            ],
            outputs=[
                io.Latent.Output(tooltip="The enlarged picture as a latent."),
                io.Image.Output(tooltip="The enlarged picture, 4 times the size."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

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
        upsample_temp,
        latent=None,
        image=None,
        negative=None,
        original=None,
        mask=None,
    ) -> io.NodeOutput:
        with named("GlideUpsampler"):
            if (original is None) != (mask is None):
                raise ValueError("original and mask belong together: connect both, or none to enlarge a whole picture")
            sampling.require_kind(model, "upsample" if mask is None else "upsample-inpaint")
            low_res = picture_to_enlarge(latent, image)
            batch, _, height, width = low_res.shape
            canvas = sampling.empty((batch, 3, UPSCALE * height, UPSCALE * width))
            if mask is not None:
                canvas, mask = _original(original, mask, canvas)
                if not mask.any():
                    return untouched(cls, canvas, original)
            options = dataclasses.replace(
                UPSAMPLING,
                steps=steps,
                sampler=sampler,
                guidance_scale=guidance_scale,
                eta=eta,
                temperature=upsample_temp,
            )
            positive, negative = (
                part and conditioning.with_low_res(conditioning.encode_again(clip, part), low_res)
                for part in (positive, negative)
            )
            if mask is None:
                enlarged = sampling.run(model, positive, negative, {"samples": canvas}, options, seed)
            else:
                enlarged = inpaint(model, positive, negative, canvas, mask, options, seed)
        return io.NodeOutput(enlarged, sampling.to_image(enlarged["samples"]))


def _original(original, mask, canvas):
    """The picture to keep and its mask in the canvas's size -> [B, 3, H, W] in -1..1, [B, 1, H, W]."""
    size = tuple(canvas.shape[-2:])
    if len(original) != len(canvas):
        raise ValueError(f"original is a batch of {len(original)}, but {len(canvas)} pictures are enlarged")
    mask = fit_mask(regions.fit(original, mask, "original")[:, None], size)
    pictures = torch.stack([regions.resize(picture[..., :3], size) for picture in original])
    return sampling.from_image(pictures).to(canvas), mask.to(canvas)


def picture_to_enlarge(latent, image):
    """[B, 3, h, w] in -1..1 from the one of the two that is connected."""
    if (latent is None) == (image is None):
        raise ValueError("connect either latent or image, the picture to enlarge")
    picture = sampling.from_image(image) if latent is None else latent["samples"]
    if picture.shape[1] != 3:
        raise ValueError(
            f"latent has {picture.shape[1]} channels, but GLIDE's are pictures with 3: "
            "decode it with its own VAE and connect it as image"
        )
    if picture.isnan().any():
        raise ValueError("the picture to enlarge has NaN pixels: look at the node it comes from")
    return picture
