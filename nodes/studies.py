"""Many pictures of one question: lists of prompts, and two axes of values."""

from comfy_api.latest import io

from ..glide_core.prompts import prompts_of_text
from .axes import OUTPUTS, SWEPT, listed, swept
from .checks import named, steps_error
from .host.feedback import missing
from .host.grid import AxesSocket, is_connected
from .host.text import encode_batch
from .schema import (
    DEFAULTS,
    guidance_scale_input,
    sampler_input,
    schema,
    seed_input,
    steps_input,
    temperature_input,
)


class _AnyChoice(str):
    """A type that fits inputs with choices: those of older nodes have the list of them in the place of a type."""

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, list) and str.__ne__(self, other)


AnyChoice = io.Custom("COMBO,STRING")
AnyChoice.io_type = _AnyChoice(AnyChoice.io_type)  # afterwards, because older hosts make a plain text of what they get
TextOrNumber = io.Custom("STRING,INT")
NO_CLIP = "GlidePrompts: connect clip, or take prompts instead of positive and negative"
AXIS_TOOLTIP = (
    "A name and its values, such as guidance=1,2,3 or seed=0..3. The names are guidance, steps, sampler, temperature, "
    "seed, prompt, negative, checkpoint, lora and clip-guidance. Values are separated by commas, or by semicolons or "
    "line breaks where there is one: prompt=a red circle; a blue star. lora=; my.safetensors:0.5 compares without and "
    "with one at half its strength."
)


class GlidePrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlidePrompts",
            category="studies",
            display_name="GLIDE Prompts",
            description="Makes a list of prompts of a text with one a line, also with alternatives. Nodes with one "
            "text run once for each prompt; with a CLIP connected, all of them are one CONDITIONING for a batch.",
            search_aliases=["prompt list", "prompts", "wildcards", "alternatives", "batch prompts", "styles"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="{an oil painting|a photo|pixel art} of a corgi",
                    tooltip="One prompt a line; what to move away from follows after ###. Lines that begin with # are "
                    "passed over. Alternatives stand in braces with bars between them, as the text here shows.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Encodes all prompts as one CONDITIONING, for a latent whose batch_size is their number, "
                    "or for as many squares of GlideCrop.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="prompts", is_output_list=True, tooltip="The prompts, as a list."),
                io.String.Output(
                    display_name="negatives",
                    is_output_list=True,
                    tooltip="What each moves away from; empty where the line has no ###.",
                ),
                AxesSocket.Output(display_name="axes", tooltip="For GlideGrid: the prompts as labels."),
                io.Conditioning.Output(
                    display_name="positive", tooltip="All prompts as one batch, if clip is connected."
                ),
                io.Conditioning.Output(
                    display_name="negative", tooltip="All negatives as one batch, if clip is connected."
                ),
                io.Int.Output(display_name="count", tooltip="How many prompts there are, for batch_size."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text):
        return True if text is None else _told(lambda: prompts_of_text(text, "text"))

    @classmethod
    def execute(cls, text, clip=None) -> io.NodeOutput:
        with named("GlidePrompts"):
            prompts = prompts_of_text(text, "text")
            texts = [prompt.text for prompt in prompts]
            negatives = [prompt.negative or "" for prompt in prompts]
            batches = [missing(NO_CLIP)] * 2
            if clip is not None:
                batches = [encode_batch(clip, each) for each in (texts, negatives)]
        return io.NodeOutput(texts, negatives, listed(prompts), *batches, len(prompts))


class GlideSweep(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideSweep",
            category="studies",
            display_name="GLIDE Sweep",
            description="Crosses two axes of values, such as guidance and seeds. Connect its outputs to any sampler, "
            "KSampler too, and axes to GlideGrid, which makes a labelled picture of the results.",
            search_aliases=["xy plot", "xyz plot", "sweep", "grid", "compare", "parameter study", "x/y"],
            inputs=[
                io.String.Input("x", default="guidance=1,2,3,5", multiline=True, tooltip=AXIS_TOOLTIP),
                io.String.Input(
                    "y", default="seed=0..3", multiline=True, tooltip="The same, downwards. It may be empty."
                ),
                seed_input(),
                steps_input(DEFAULTS.steps),
                sampler_input(DEFAULTS.sampler),
                guidance_scale_input(DEFAULTS.guidance_scale),
                temperature_input(DEFAULTS.temperature),
                io.String.Input("prompt", multiline=True, default="", tooltip="The prompt, where it is on no axis."),
                io.String.Input(
                    "negative", multiline=True, default="", tooltip="The negative, where it is on no axis."
                ),
            ],
            outputs=[
                io.Float.Output(display_name="guidance", is_output_list=True, tooltip="For guidance_scale, or cfg."),
                TextOrNumber.Output(display_name="steps", is_output_list=True, tooltip="For the steps of any sampler."),
                AnyChoice.Output(
                    display_name="sampler", is_output_list=True, tooltip="For sampler, or KSampler's sampler_name."
                ),
                io.Float.Output(
                    display_name="temperature", is_output_list=True, tooltip="For GlideUpsampler or GlideNoise."
                ),
                io.Int.Output(display_name="seed", is_output_list=True, tooltip="For the seed of any sampler."),
                io.String.Output(display_name="prompt", is_output_list=True, tooltip="For GlideTextEncode."),
                io.String.Output(display_name="negative", is_output_list=True, tooltip="For GlideTextEncode."),
                AnyChoice.Output(
                    display_name="checkpoint", is_output_list=True, tooltip="For GlideLoader, if it is on an axis."
                ),
                AnyChoice.Output(
                    display_name="lora_name", is_output_list=True, tooltip="For LoraLoader, if lora is on an axis."
                ),
                io.Float.Output(
                    display_name="lora_strength",
                    is_output_list=True,
                    tooltip="For the strengths of LoraLoader; 0 where the axis says none.",
                ),
                io.Float.Output(
                    display_name="clip_guidance",
                    is_output_list=True,
                    tooltip="For the scale of GlideCLIPGuidance, if it is on an axis.",
                ),
                AxesSocket.Output(display_name="axes", tooltip="For GlideGrid: which cell is which."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, x, y, steps):
        if steps_error(steps) is not True:
            return steps_error(steps)
        if x is None or y is None:
            return True
        return _told(lambda: swept(x, y, dict.fromkeys(SWEPT, 0)))

    @classmethod
    def execute(cls, x, y, seed, steps, sampler, guidance_scale, temperature, prompt, negative) -> io.NodeOutput:
        base = (guidance_scale, steps, sampler, temperature, seed, prompt, negative)
        with named("GlideSweep"):
            axes = swept(x, y, dict(zip(SWEPT, base)))
            cls._require_on_axis(axes.slots[0])
        lists = [list(values) for values in zip(*axes.slots)]
        # What is the same in all cells is given once: the nodes before the sampler then run once.
        return io.NodeOutput(*(values[:1] if len(set(values)) == 1 else values for values in lists), axes)

    @classmethod
    def _require_on_axis(cls, values) -> None:
        """Raise ValueError where an output of ``LOADED`` is connected that has no value."""
        for name, value in zip(OUTPUTS, values):
            if value is None and is_connected(cls.hidden.prompt, cls.hidden.unique_id, OUTPUTS.index(name)):
                raise ValueError(f"{name} is connected, but on no axis: write it on x or y, or take the link away")


def _told(check) -> bool | str:
    """True, or the message of the ValueError that a check raises."""
    try:
        check()
    except ValueError as error:
        return str(error)
    return True
