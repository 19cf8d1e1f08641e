"""GLIDE's own steps, samplers, noise and thresholding for ComfyUI's SamplerCustom and SamplerCustomAdvanced."""

from comfy_api.latest import io

from .checks import named, steps_error
from .host.guidance_interval import with_guidance_interval
from .host.sampling import SeededNoise, make_sampler, make_sigmas, require_glide
from .host.threshold import CLIP, DYNAMIC, OFF, Threshold, with_threshold
from .schema import (
    DEFAULTS,
    batch_index_input,
    denoise_input,
    eta_input,
    sampler_input,
    schema,
    seed_input,
    steps_input,
    temperature_input,
)


class GlideScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideScheduler",
            category="sampling/custom",
            display_name="GLIDE Scheduler",
            search_aliases=["sigmas", "respacing", "timestep respacing", "align your steps", "fast27"],
            description="Makes the SIGMAS of a GLIDE model's own noise schedule for SamplerCustomAdvanced and "
            "SamplerCustom.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The GLIDE model that will take the steps. Base model and upsampler have different "
                    "schedules.",
                ),
                steps_input(DEFAULTS.steps),
                denoise_input(
                    "1 starts from noise. A smaller value starts later and takes fewer steps: use it to repaint a "
                    "picture."
                ),
            ],
            outputs=[
                io.Sigmas.Output(tooltip="Connect it to SamplerCustomAdvanced, SamplerCustom or SplitSigmas."),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

    @classmethod
    def execute(cls, model, steps, denoise) -> io.NodeOutput:
        with named("GlideScheduler"):
            require_glide(model)
            return io.NodeOutput(make_sigmas(model, steps, denoise))


class GlideSamplerSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideSamplerSelect",
            category="sampling/custom",
            display_name="GLIDE Sampler Select",
            search_aliases=["ddpm", "learned variance", "plms", "ancestral sampling"],
            description="Gives one of GLIDE's samplers to SamplerCustomAdvanced or SamplerCustom. Among them are ddpm "
            "with the noise that the model learned to add, and plms.",
            inputs=[sampler_input(DEFAULTS.sampler), eta_input(DEFAULTS.eta)],
            outputs=[io.Sampler.Output(tooltip="Connect it to SamplerCustomAdvanced or SamplerCustom.")],
        )

    @classmethod
    def execute(cls, sampler, eta) -> io.NodeOutput:
        return io.NodeOutput(make_sampler(sampler, eta))


class GlideNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideNoise",
            category="sampling/custom",
            display_name="GLIDE Noise",
            search_aliases=["temperature", "seed per image", "random noise"],
            description="Makes the noise for SamplerCustomAdvanced. Each picture of a batch has a seed of its own, so "
            "that it can be made again alone with batch_index or LatentFromBatch. temperature scales the noise.",
            inputs=[seed_input(), temperature_input(1.0), batch_index_input()],
            outputs=[io.Noise.Output(tooltip="Connect it to SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, seed, temperature, batch_index=0) -> io.NodeOutput:
        return io.NodeOutput(SeededNoise(seed, temperature, batch_index))


class GlideThreshold(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideThreshold",
            category="model",
            display_name="GLIDE Threshold",
            search_aliases=["dynamic thresholding", "clip denoised", "clamp", "imagen"],
            description="Changes how a GLIDE model keeps its picture between black and white in every step. The MODEL "
            "of GlideLoader clips. The change holds for every sampler.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of any GLIDE model."),
                io.Combo.Input(
                    "mode",
                    options=[CLIP, DYNAMIC, OFF],
                    default=DYNAMIC,
                    tooltip="clip cuts off what is darker than black or brighter than white, as GLIDE does. dynamic "
                    "scales all values down until most of them fit, which fades the harsh colours of high guidance. "
                    "off changes nothing; it is for experiments, because most samplers then leave the range.",
                ),
                io.Float.Input(
                    "threshold",
                    default=Threshold.threshold,
                    min=0.5,
                    max=1.0,
                    step=0.001,
                    round=0.0001,
                    tooltip="For mode dynamic: the share of the pixel values that must fit between black and white. A "
                    "smaller share gives paler pictures.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The same model with this thresholding.")],
        )

    @classmethod
    def execute(cls, model, mode, threshold) -> io.NodeOutput:
        with named("GlideThreshold"):
            require_glide(model)
            return io.NodeOutput(with_threshold(model, Threshold(mode, threshold)))


class GlideGuidanceInterval(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideGuidanceInterval",
            category="model",
            display_name="GLIDE Guidance Interval",
            search_aliases=["limited interval", "cfg", "skip guidance", "faster"],
            description="Guides a GLIDE model in a part of the steps alone. The other steps see the prompt without "
            "guidance and take half the time. It works with every sampler.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of any GLIDE model."),
                io.Float.Input(
                    "guidance_from",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="The share of the steps after which guidance begins. 0 guides from the first step on.",
                ),
                io.Float.Input(
                    "guidance_until",
                    default=0.7,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="The share of the steps after which guidance ends. 1 guides to the last step. What the "
                    "picture shows is decided in the first half of the steps; details come later.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The same model, guided in these steps.")],
        )

    @classmethod
    def execute(cls, model, guidance_from, guidance_until) -> io.NodeOutput:
        with named("GlideGuidanceInterval"):
            require_glide(model)
            return io.NodeOutput(with_guidance_interval(model, guidance_from, guidance_until))
