"""From a prompt to a small picture."""

from comfy_api.latest import io

from ..glide_core.images import to_channels_last
from ..glide_core.pipeline import Sampling
from .checks import named, steps_error, still_to_come
from .host.conditioning import texts_of
from .host.images import blank_canvas
from .host.pictures import sheet
from .host.sampling import picture_seeds, placed, require_kind, require_prompts, sample_latent
from .schema import (
    CUSTOM,
    DEFAULTS,
    batch_index_input,
    chosen,
    denoise_input,
    negative_input,
    preset_input,
    sampling_inputs,
    schema,
)

SIDE = {"default": 64, "min": 32, "max": 256, "step": 8}


class EmptyGlideLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="EmptyGlideLatent",
            category="latent",
            display_name="Empty GLIDE Latent",
            description="Makes a blank canvas for a GLIDE base model. GLIDE paints pixels, so the size here is the "
            "size of the picture before it is enlarged. The base models were trained on 64x64 pixels.",
            search_aliases=["empty latent image", "canvas", "pixel latent", "blank"],
            inputs=[
                io.Int.Input(
                    "width",
                    **SIDE,
                    tooltip="The width in pixels, a multiple of 8. Pictures get worse far from 64.",
                ),
                io.Int.Input(
                    "height",
                    **SIDE,
                    tooltip="The height in pixels, a multiple of 8. Pictures get worse far from 64.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="How many pictures are painted at the same time.",
                ),
            ],
            outputs=[
                io.Latent.Output(tooltip="Connect it to GlideSampler, or to KSampler with a GLIDE base model."),
            ],
        )

    @classmethod
    def execute(cls, width, height, batch_size) -> io.NodeOutput:
        return io.NodeOutput({"samples": blank_canvas(batch_size, height, width)})


class GlideSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideSampler",
            category="sampling",
            display_name="Text to Image (GLIDE Sampler)",
            description="Paints a prompt with a GLIDE base model. If the latent is a picture and denoise is below 1, "
            "it repaints that picture instead (SDEdit).",
            search_aliases=["text to image", "ksampler", "img2img", "sdedit", "ddpm"],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of a GLIDE base model."),
                io.Conditioning.Input("positive", tooltip="The prompt: what the picture should show."),
                io.Latent.Input(
                    "latent",
                    lazy=True,
                    tooltip="A blank canvas from EmptyGlideLatent, or a picture that should be repainted.",
                ),
                *sampling_inputs(DEFAULTS),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    tooltip="0 clips the picture to black and white in every step, as GLIDE does. A value such as 0.99 "
                    "is the share of the pixel values that must fit between black and white: all values are scaled "
                    "down until they do. This fades the harsh colours of high guidance (dynamic thresholding).",
                ),
                denoise_input(
                    "1 paints from noise alone. A smaller value keeps more of the latent's picture and takes fewer "
                    "steps."
                ),
                negative_input(),
                batch_index_input(),
                preset_input(),
            ],
            outputs=[
                io.Latent.Output(tooltip="The picture for GlideUpsampler. It stays on the GPU."),
                io.Image.Output(tooltip="The same picture as an image, to look at or to save."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

    @classmethod
    def check_lazy_status(cls, model, positive, negative=None, **others):
        with named("GlideSampler"):
            require_kind(model, "base")
            require_prompts(model, positive, negative)
        return still_to_come(others, "latent")

    @classmethod
    def execute(
        cls,
        model,
        positive,
        latent,
        seed,
        steps,
        sampler,
        guidance_scale,
        eta,
        threshold,
        denoise,
        negative=None,
        batch_index=0,
        preset=CUSTOM,
    ) -> io.NodeOutput:
        with named("GlideSampler"):
            options = Sampling(steps, sampler, guidance_scale, eta, threshold or None)
            options = chosen(options, preset)
            latent = placed(latent, batch_index)
            latent = sample_latent(model, positive, negative, latent, options, seed=seed, denoise=denoise)
        image = to_channels_last(latent["samples"])
        seeds, prompts = picture_seeds(latent, seed), texts_of(positive, len(image))
        return io.NodeOutput(latent, image, ui=sheet(image, seeds, prompts))
