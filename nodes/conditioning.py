"""GLIDE's inpainting and upsampling for ComfyUI's own samplers: the pictures they read, put into the CONDITIONING."""

from comfy_api.latest import io

from ..glide_core.models.config import UPSCALE
from .checks import named
from .host import conditioning, sampling
from .schema import schema
from .upsampling import picture_to_enlarge


class GlideUpsampleConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideUpsampleConditioning",
            display_name="GLIDE Upsample Conditioning",
            search_aliases=["upscale", "super resolution", "low res", "4x"],
            description="Prepares enlarging with a GLIDE upsampler in KSampler or SamplerCustomAdvanced: gives the "
            "prompts the small picture, in the upsampler's own encoding, and a blank canvas 4 times as large.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the GlideLoader that loaded the upsampler."),
                io.Conditioning.Input("positive", tooltip="The prompt; the one made for the base model will do."),
                io.Conditioning.Input("negative", tooltip="What to move away from; KSampler ignores it at cfg 1."),
                io.Latent.Input("latent", optional=True, tooltip="The picture to enlarge, as a sampler gives it."),
                io.Image.Input("image", optional=True, tooltip="Or the picture to enlarge as an image."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For a sampler with the upsampler's MODEL."),
                io.Conditioning.Output(display_name="negative", tooltip="For the same sampler."),
                io.Latent.Output(display_name="latent", tooltip="A blank canvas of the enlarged size."),
            ],
        )

    @classmethod
    def execute(cls, clip, positive, negative, latent=None, image=None) -> io.NodeOutput:
        with named("GlideUpsampleConditioning"):
            picture = picture_to_enlarge(latent, image)
            positive, negative = (
                conditioning.with_low_res(conditioning.encode_again(clip, part), picture)
                for part in (positive, negative)
            )
        batch, _, height, width = picture.shape
        canvas = sampling.empty((batch, 3, UPSCALE * height, UPSCALE * width))
        return io.NodeOutput(positive, negative, {"samples": canvas})


class GlideInpaintConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideInpaintConditioning",
            display_name="GLIDE Inpaint Conditioning",
            search_aliases=["inpaint", "inpaint model conditioning", "mask", "repaint", "fill"],
            description="Prepares inpainting in KSampler or SamplerCustomAdvanced: shows a GLIDE inpainting model the "
            "picture around the mask, and keeps every pixel outside of the mask. With a plain GLIDE model the pixels "
            "are kept too, but it does not look at them beforehand.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="What to paint into the mask."),
                io.Conditioning.Input("negative", tooltip="What to move away from."),
                io.Image.Input("image", tooltip="The picture, in the size that the model paints: 64x64 or 256x256."),
                io.Mask.Input("mask", tooltip="White is repainted. It is scaled to the picture and made hard-edged."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For a sampler with the inpainting MODEL."),
                io.Conditioning.Output(display_name="negative", tooltip="For the same sampler."),
                io.Latent.Output(display_name="latent", tooltip="The picture with its mask, for the same sampler."),
            ],
        )

    @classmethod
    def execute(cls, positive, negative, image, mask) -> io.NodeOutput:
        picture = sampling.from_image(image)
        mask = sampling.hard_mask(mask, picture.shape[-2:])
        positive, negative = (conditioning.with_surroundings(part, picture, mask) for part in (positive, negative))
        return io.NodeOutput(positive, negative, {"samples": picture, "noise_mask": mask})
