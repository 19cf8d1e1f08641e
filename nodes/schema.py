"""What the schemas of all nodes have in common: their category, and the inputs that several nodes share."""

import dataclasses
import inspect

import torch
from comfy_api.latest import io

from ..glide_core.choices import PRESETS
from ..glide_core.diffusion.presets import with_preset
from ..glide_core.diffusion.samplers import SAMPLERS
from ..glide_core.pipeline import Sampling

DEFAULTS = Sampling()
CUSTOM = "custom"  # no preset: what saved graphs without this input mean
# The choices of a loader for the precision of weights.
DTYPES = {
    "auto": None,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}
_SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


_INPUT_FIELDS = inspect.signature(io.Int.Input).parameters


def schema(*, category: str, search_aliases: list[str], **fields) -> io.Schema:
    """A schema in a category below GLIDE. Older hosts do not know search_aliases, and do not get them."""
    if "search_aliases" in _SCHEMA_FIELDS:
        fields["search_aliases"] = search_aliases
    return io.Schema(category=f"GLIDE/{category}", **fields)


# For inputs that few people change: newer hosts show them behind a button, older ones do not know the word.
ADVANCED = {"advanced": True} if "advanced" in _INPUT_FIELDS else {}


def seed_input() -> io.Input:
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        tooltip="Chooses the noise. The first picture of a batch is the one that this seed makes alone; every other "
        "picture has a seed of its own, which follows from this seed and its place. batch_index or LatentFromBatch "
        "makes one of them again alone.",
    )


def batch_index_input() -> io.Input:
    return io.Int.Input(
        "batch_index",
        **ADVANCED,
        default=0,
        min=0,
        max=4095,
        optional=True,
        tooltip="The place of the first picture in the batch of this seed, counted from 0. To make the third picture "
        "of a batch again, alone, set 2 and a batch_size of 1.",
    )


def steps_input(default: str | int) -> io.Input:
    return io.String.Input(
        "steps",
        default=str(default),
        tooltip="The number of steps, from 1 to 1000. More steps are slower and give cleaner pictures. You can also "
        "write one of GLIDE's respacings: fast27 (27 steps, most of them near the end), ddim50, or the number of steps "
        "in each section of the process, such as 10,10,3,2,2. ays10 means 10 steps of the schedule Align Your Steps, "
        "which is made for few steps and for the base model.",
    )


def sampler_input(default: str) -> io.Input:
    return io.Combo.Input(
        "sampler",
        options=list(SAMPLERS),
        default=default,
        tooltip="ddpm is GLIDE's own sampler. It adds noise in the amount that the model learned and needs 50 to 250 "
        "steps. ddim and plms need 25 to 100 steps, dpmpp_2m and euler about 20.",
    )


def eta_input(default: float) -> io.Input:
    return io.Float.Input(
        "eta",
        **ADVANCED,
        default=default,
        min=0.0,
        max=1.0,
        step=0.05,
        tooltip="How much fresh noise ddim adds in each step: 0 adds none, 1 adds as much as ddpm. The other samplers "
        "ignore it.",
    )


def guidance_scale_input(default: float) -> io.Input:
    return io.Float.Input(
        "guidance_scale",
        default=default,
        min=0.0,
        max=30.0,
        step=0.1,
        tooltip="How closely the picture follows the prompt. 1 follows it loosely, gives varied pictures and is twice "
        "as fast. 3 to 5 follows it closely. Much more gives harsh colours.",
    )


def denoise_input(tooltip: str) -> io.Input:
    return io.Float.Input("denoise", default=1.0, min=0.01, max=1.0, step=0.01, tooltip=tooltip)


def temperature_input(default: float) -> io.Input:
    return io.Float.Input(
        "temperature",
        **ADVANCED,
        default=default,
        min=0.0,
        max=2.0,
        step=0.001,
        round=0.0001,
        tooltip="The strength of the noise that sampling starts from. 1 is right for the base model. For the upsampler "
        "GLIDE uses 0.997, which is a little cleaner than 1. Much less gives blurry pictures.",
    )


def preset_input() -> io.Input:
    return io.Combo.Input(
        "preset",
        options=[CUSTOM, *PRESETS],
        default=CUSTOM,
        optional=True,
        tooltip="custom takes steps and sampler as they are set above. The others replace both: draft is the fastest, "
        "standard is as good as many steps for most pictures, fine takes more steps, and reference takes those of "
        "OpenAI.",
    )


def negative_input() -> io.Input:
    return io.Conditioning.Input(
        "negative",
        optional=True,
        tooltip="What the picture should move away from; it has no effect where guidance_scale is 1. If you connect "
        "nothing, the empty prompt is used, as GLIDE was trained.",
    )


def latent_to_enlarge_input(lazy: bool = False) -> io.Input:
    return io.Latent.Input(
        "latent",
        optional=True,
        lazy=lazy,
        tooltip="The picture to enlarge, as a sampler gives it. Connect either this or image.",
    )


def image_to_enlarge_input(lazy: bool = False) -> io.Input:
    return io.Image.Input(
        "image",
        optional=True,
        lazy=lazy,
        tooltip="The picture to enlarge as an image, of any size. Connect either this or latent.",
    )


def sampling_inputs(defaults: Sampling) -> list[io.Input]:
    """The widgets that GlideSampler, GlideInpaint and GlideUpsampler share."""
    return [
        seed_input(),
        steps_input(defaults.steps),
        sampler_input(defaults.sampler),
        guidance_scale_input(defaults.guidance_scale),
        eta_input(defaults.eta),
    ]


def chosen(options: Sampling, preset: str, *, upsampler: bool = False) -> Sampling:
    """The options of a node with its preset in their place, if one was chosen."""
    return options if preset == CUSTOM else with_preset(options, preset, upsampler=upsampler)
