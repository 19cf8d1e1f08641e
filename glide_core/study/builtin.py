"""What ``glide study`` asks where the user does not say: for the published models, and for the embedded ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from ..diffusion.options import UPSAMPLING, Sampling
from ..tiny import scenes

SAMPLERS = ("ddim", "dpmpp_2m", "ddpm")


@dataclass(frozen=True)
class BuiltIn:
    """The prompts, values and numbers of each section.

    Attributes:
        sampling, upsampling: how the other sections than steps and temperature paint.
        seeds: how many pictures there are of a prompt; steps_seeds: in the section on steps.
        bias: prompts with their labels; bias_sampling: how they are painted.
        count: how many pictures the bias of a prompt is counted in.
        bias_small: count in the base's small pictures.
    """

    sampling: Sampling
    upsampling: Sampling
    guidance: tuple[str, ...]
    guidance_values: tuple[float, ...]
    temperature: tuple[str, ...]
    temperature_values: tuple[float, ...]
    steps: tuple[str, ...]
    steps_values: tuple[str, ...]
    subjects: tuple[str, ...]
    patterns: tuple[str, ...]
    novelty: tuple[str, ...]
    bias: tuple[tuple[str, tuple[str, ...]], ...]
    bias_sampling: Sampling
    seeds: int = 2
    steps_seeds: int = 1
    count: int = 64
    bias_small: bool = True
    samplers: tuple[str, ...] = field(default=SAMPLERS)


def never_shown() -> tuple[str, ...]:
    """A prompt for each shape, of a combination that the embedded models never saw in training."""
    combinations = product(scenes.SHAPES, scenes.COLOURS, scenes.BACKGROUNDS)
    held_out = [each for each in combinations if each[1] != each[2] and scenes.held_out(*each)]
    of_shape = [[each for each in held_out if each[0] == shape] for shape in scenes.SHAPES]
    chosen = [some[k * len(some) // len(of_shape)] for k, some in enumerate(of_shape)]  # of many colours
    return tuple(f"{_a(colour)} {shape} on {_a(ground)} background" for shape, colour, ground in chosen)


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


EMBEDDED = BuiltIn(
    sampling=Sampling("20", "ddim"),
    upsampling=Sampling("5", "ddim", guidance_scale=1.0, temperature=0.997),
    guidance=("a red circle on a blue background",),
    guidance_values=(0.0, 1.0, 2.0, 3.0, 5.0, 8.0),
    temperature=("a large striped yellow star on a black background",),
    temperature_values=(0.9, 0.95, 0.997, 1.0, 1.05),
    steps=("a purple heart to the left of an orange square on a pink background",),
    steps_values=("5", "10", "20", "50"),
    subjects=("yellow star",),
    patterns=(
        "a {} on a black background",
        "an outlined {} on a black background",
        "a striped {} on a black background",
        "a small {} on a black background",
        "a large striped {} on a black background",
    ),
    novelty=never_shown(),
    bias=(
        ("a star", tuple(scenes.COLOURS)),
        ("something red", tuple(scenes.SHAPES)),
        ("a purple heart", tuple(f"{ground} background" for ground in scenes.BACKGROUNDS)),
    ),
    bias_sampling=Sampling("10", "ddim", guidance_scale=1.0),  # guidance would sharpen the frequencies
)

PUBLISHED = BuiltIn(
    sampling=Sampling("50", "ddpm"),
    upsampling=UPSAMPLING,
    guidance=("a house by the lake", "a living room with a couch"),
    guidance_values=(1.0, 3.0, 5.0),
    temperature=("a house by the lake",),
    temperature_values=(0.990, 0.995, 1.000),
    steps=("a living room with a couch",),
    steps_values=("10", "27", "50", "100"),
    subjects=("a corgi", "a waterfall"),
    patterns=(
        "an oil painting of {}",
        "a photograph of {}",
        "pixel art of {}",
        "chinese ink painting of {}",
        "a watercolor of {}",
        "a pencil sketch of {}",
        "a stained glass window of {}",
        "a woodcut of {}",
        "a plush toy of {}",
        "a low poly render of {}",
    ),
    novelty=(
        "polar bear sailing a ship",
        "a hedgehog using a calculator",
        "a panda eating bamboo on the moon",
        "a teapot in the shape of a rabbit",
        "a piano made of ice",
        "an owl reading a newspaper",
    ),
    bias=(("a religious building", ("a church", "a mosque", "a synagogue", "a temple")),),
    bias_sampling=Sampling("50", "ddpm"),
    seeds=4,
    bias_small=False,
)
