"""Inpainting and enlarging with ComfyUI's own samplers: these nodes put the pictures that GLIDE reads into the
CONDITIONING."""

from comfy_api.latest import io

from ..glide_core.images import to_channels_first
from ..glide_core.models.config import UPSCALE
from .checks import named
from .host import conditioning
from .host.images import blank_canvas, hard_mask, picture_to_enlarge
from .schema import image_to_enlarge_input, latent_to_enlarge_input, schema


class GlideUpsampleConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideUpsampleConditioning",
            category="conditioning",
            display_name="GLIDE Upsample Conditioning",
            search_aliases=["upscale", "super resolution", "low res", "4x"],
            description="Prepares enlarging with a GLIDE upsampler in KSampler or SamplerCustomAdvanced. It encodes "
            "the prompts again for the upsampler, adds the small picture to them, and makes a blank canvas that is 4 "
            "times as wide and as high.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the GlideLoader that loaded the upsampler."),
                io.Conditioning.Input(
                    "positive", tooltip="The prompt. The one that was made for the base model is right here too."
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="What the picture should move away from. It has no effect where the cfg of KSampler is 1.",
                ),
                latent_to_enlarge_input(),
                image_to_enlarge_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="positive", tooltip="Connect it to a sampler that has the upsampler's MODEL."
                ),
                io.Conditioning.Output(display_name="negative", tooltip="Connect it to the same sampler."),
                io.Latent.Output(display_name="latent", tooltip="A blank canvas of the enlarged size."),
            ],
        )

    @classmethod
    def execute(cls, clip, positive, negative, latent=None, image=None) -> io.NodeOutput:
        with named("GlideUpsampleConditioning"):
            for name, prompts in (("positive", positive), ("negative", negative)):
                conditioning.require_repeatable(clip, name, prompts)
            picture = picture_to_enlarge(latent, image)
            positive = conditioning.for_upsampler(clip, positive, picture)
            negative = conditioning.for_upsampler(clip, negative, picture)
        batch, _, height, width = picture.shape
        canvas = blank_canvas(batch, UPSCALE * height, UPSCALE * width)
        return io.NodeOutput(positive, negative, {"samples": canvas})


class GlideInpaintConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideInpaintConditioning",
            category="conditioning",
            display_name="GLIDE Inpaint Conditioning",
            search_aliases=["inpaint", "inpaint model conditioning", "mask", "repaint", "fill"],
            description="Prepares inpainting in KSampler or SamplerCustomAdvanced. It shows a GLIDE inpainting model "
            "the picture around the mask and keeps every pixel outside of the mask. A plain GLIDE model keeps these "
            "pixels too, but it does not look at them beforehand.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="The prompt: what the whole picture shows."),
                io.Conditioning.Input("negative", tooltip="What the picture should move away from."),
                io.Image.Input(
                    "image",
                    tooltip="The picture, in the size that the model paints: 64x64 pixels for a base model, 256x256 "
                    "for an upsampler.",
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="White is repainted. The mask is scaled to the picture, and its edge becomes hard.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="positive", tooltip="Connect it to a sampler that has the inpainting MODEL."
                ),
                io.Conditioning.Output(display_name="negative", tooltip="Connect it to the same sampler."),
                io.Latent.Output(
                    display_name="latent", tooltip="The picture with its mask. Connect it to the same sampler."
                ),
            ],
        )

    @classmethod
    def execute(cls, positive, negative, image, mask) -> io.NodeOutput:
        picture = to_channels_first(image)
        mask = hard_mask(mask, picture.shape[-2:])
        positive = conditioning.with_surroundings(positive, picture, mask)
        negative = conditioning.with_surroundings(negative, picture, mask)
        return io.NodeOutput(positive, negative, {"samples": picture, "noise_mask": mask})
