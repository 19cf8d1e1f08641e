"""GLIDE's own steps, samplers, noise and thresholding for ComfyUI's SamplerCustom and SamplerCustomAdvanced."""

from comfy_api.latest import io

from .checks import named, steps_error
from .host import sampling
from .host.threshold import CLIP, DYNAMIC, OFF, Threshold, with_threshold
from .sampling import DEFAULTS, denoise_input, eta_input, sampler_input, seed_input, steps_input
from .schema import schema


class GlideScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideScheduler",
            display_name="GLIDE Scheduler",
            search_aliases=["sigmas", "respacing", "timestep respacing", "align your steps", "fast27"],
            description="The steps of a GLIDE model's own noise schedule, as SIGMAS for SamplerCustomAdvanced and "
            "SamplerCustom.",
            inputs=[
                io.Model.Input("model", tooltip="The GLIDE model that will take the steps: each has its own schedule."),
                steps_input(DEFAULTS.steps),
                denoise_input("1 starts from noise. Less starts later, for a picture to repaint: fewer steps."),
            ],
            outputs=[io.Sigmas.Output(tooltip="For SamplerCustomAdvanced, SamplerCustom, SplitSigmas and the like.")],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

    @classmethod
    def execute(cls, model, steps, denoise) -> io.NodeOutput:
        with named("GlideScheduler"):
            sampling.require_glide(model)
            return io.NodeOutput(sampling.sigmas(model, steps, denoise))


class GlideSamplerSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideSamplerSelect",
            display_name="GLIDE Sampler Select",
            search_aliases=["ddpm", "learned variance", "plms", "ancestral sampling"],
            description="GLIDE's samplers for SamplerCustomAdvanced and SamplerCustom: ddpm with the variance that the "
            "model learned, plms, and the others of GlideSampler.",
            inputs=[sampler_input(DEFAULTS.sampler), eta_input(DEFAULTS.eta)],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustomAdvanced and SamplerCustom.")],
        )

    @classmethod
    def execute(cls, sampler, eta) -> io.NodeOutput:
        return io.NodeOutput(sampling.sampler(sampler, eta))


class GlideNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideNoise",
            display_name="GLIDE Noise",
            search_aliases=["temperature", "seed per image", "random noise"],
            description="Noise for SamplerCustomAdvanced. Picture k of a batch has a seed of its own, seed + k, so "
            "that it can be made again alone; temperature scales the noise.",
            inputs=[
                seed_input(),
                io.Float.Input(
                    "temperature",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.001,
                    round=0.0001,
                    tooltip="Strength of the noise. 1 for the base model; 0.997 is GLIDE's own for the upsampler, a "
                    "little cleaner; much less turns blurry.",
                ),
            ],
            outputs=[io.Noise.Output(tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, seed, temperature) -> io.NodeOutput:
        return io.NodeOutput(sampling.SeededNoise(seed, temperature))


class GlideThreshold(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideThreshold",
            display_name="GLIDE Threshold",
            search_aliases=["dynamic thresholding", "clip denoised", "clamp", "imagen"],
            description="How a GLIDE model keeps its picture between black and white at every step. GlideLoader's "
            "MODEL clips; this node changes that, for every sampler.",
            inputs=[
                io.Model.Input("model", tooltip="A GLIDE model."),
                io.Combo.Input(
                    "mode",
                    options=[CLIP, DYNAMIC, OFF],
                    default=DYNAMIC,
                    tooltip="clip: as GLIDE does. dynamic: scales the values down until most of them fit, which fades "
                    "the harsh colours of high guidance. off: for experiments; most samplers leave the range.",
                ),
                io.Float.Input(
                    "percentile",
                    default=Threshold.threshold,
                    min=0.5,
                    max=1.0,
                    step=0.001,
                    round=0.0001,
                    tooltip="Of dynamic: the part of the values that must fit. Less gives paler pictures.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The same model with this thresholding.")],
        )

    @classmethod
    def execute(cls, model, mode, percentile) -> io.NodeOutput:
        with named("GlideThreshold"):
            sampling.require_glide(model)
            return io.NodeOutput(with_threshold(model, Threshold(mode, percentile)))
