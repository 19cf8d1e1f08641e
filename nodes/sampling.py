"""Painting at the base model's size."""

from comfy_api.latest import io

from ..glide_core.diffusion.samplers import SAMPLERS
from ..glide_core.pipeline import Sampling
from .checks import named, steps_error
from .host import sampling
from .schema import schema

DEFAULTS = Sampling()


def seed_input() -> io.Input:
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        tooltip="The noise to start from. Picture k of a batch is made with seed + k, so that you can make it "
        "again alone.",
    )


def steps_input(default: str | int) -> io.Input:
    return io.String.Input(
        "steps",
        default=str(default),
        tooltip="How many steps, 1 to 1000: more is slower and cleaner. Also GLIDE's respacings: fast27 (27 steps, "
        "most of them near the end), ddim50, or steps per section such as 10,10,3,2,2. ays10 is 10 steps placed for "
        "few steps (Align Your Steps), for the base model.",
    )


def sampler_input(default: str) -> io.Input:
    return io.Combo.Input(
        "sampler",
        options=list(SAMPLERS),
        default=default,
        tooltip="ddpm: GLIDE's own, with learned noise; needs 50 to 250 steps. ddim and plms: 25 to 100. "
        "dpmpp_2m and euler: good from about 20.",
    )


def eta_input(default: float) -> io.Input:
    return io.Float.Input(
        "eta",
        default=default,
        min=0.0,
        max=1.0,
        step=0.05,
        tooltip="Fresh noise in each step of ddim: 0 none, 1 as much as ddpm. Other samplers ignore it.",
    )


def denoise_input(tooltip: str) -> io.Input:
    return io.Float.Input("denoise", default=1.0, min=0.01, max=1.0, step=0.01, tooltip=tooltip)


def sampling_inputs(defaults: Sampling) -> list[io.Input]:
    """The widgets that GlideSampler and GlideUpsampler share."""
    return [
        seed_input(),
        steps_input(defaults.steps),
        sampler_input(defaults.sampler),
        io.Float.Input(
            "guidance_scale",
            default=defaults.guidance_scale,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="How closely to follow the prompt. 1 is loose, varied and twice as fast; 3 to 5 is close; much "
            "more gives harsh colours.",
        ),
        eta_input(defaults.eta),
    ]


class EmptyGlideLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="EmptyGlideLatent",
            display_name="Empty GLIDE Latent",
            description="A blank canvas for a GLIDE model. GLIDE paints in pixels: the size here is the size of the "
            "picture before upsampling. The base models were trained on 64x64.",
            search_aliases=["empty latent image", "canvas", "pixel latent", "blank"],
            inputs=[
                io.Int.Input(
                    "width",
                    default=64,
                    min=32,
                    max=256,
                    step=8,
                    tooltip="In pixels, a multiple of 8. Far from 64 the pictures get worse.",
                ),
                io.Int.Input(
                    "height",
                    default=64,
                    min=32,
                    max=256,
                    step=8,
                    tooltip="In pixels, a multiple of 8. Far from 64 the pictures get worse.",
                ),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=4096, tooltip="How many pictures to paint at the same time."
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For GlideSampler, or for KSampler with a GLIDE base model.")],
        )

    @classmethod
    def execute(cls, width, height, batch_size) -> io.NodeOutput:
        return io.NodeOutput({"samples": sampling.empty((batch_size, 3, height, width))})


class GlideSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideSampler",
            display_name="GLIDE Sampler",
            description="Paints a prompt with a GLIDE base model. With a picture as latent and denoise below 1 it "
            "repaints that picture instead (SDEdit).",
            search_aliases=["text to image", "ksampler", "img2img", "sdedit", "ddpm"],
            inputs=[
                io.Model.Input("model", tooltip="A GLIDE base model."),
                io.Conditioning.Input("positive", tooltip="What to paint."),
                io.Latent.Input("latent", tooltip="A blank canvas (EmptyGlideLatent), or a picture to repaint."),
                *sampling_inputs(DEFAULTS),
                io.Float.Input(
                    "dynamic_threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    tooltip="0 clips every step to black and white, as GLIDE does. Around 0.99 fades harsh colours of "
                    "high guidance instead: that part of the values keeps its place.",
                ),
                denoise_input("1 paints from noise. Less keeps more of the latent's picture, and takes fewer steps."),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What to move away from. Leave it open for GLIDE's own: nothing."
                ),
            ],
            outputs=[
                io.Latent.Output(tooltip="For GlideUpsampler: it stays on the device."),
                io.Image.Output(tooltip="The same picture, to look at or to save."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

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
        dynamic_threshold,
        denoise,
        negative=None,
    ) -> io.NodeOutput:
        with named("GlideSampler"):
            sampling.require_kind(model, "base")
            options = Sampling(steps, sampler, guidance_scale, eta, dynamic_threshold or None)
            latent = sampling.run(model, positive, negative, latent, options, seed, denoise)
        return io.NodeOutput(latent, sampling.to_image(latent["samples"]))
