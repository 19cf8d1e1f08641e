"""What options offer by name, and their numbers: free of torch, so that ``glide ... --help`` answers at once."""

from __future__ import annotations

SAMPLERS = ("ddpm", "ddim", "plms", "dpmpp_2m", "euler")  # the keys of ``diffusion.samplers.SAMPLERS``
DTYPES = ("fp32", "bf16", "fp16")  # the keys of ``device.DTYPES``
BLENDS = ("hard", "feather", "poisson")  # how a repainted part is put back, see ``editing.blending.Blend``
PRESETS = ("draft", "standard", "fine", "reference")  # the keys of ``diffusion.presets``, from fast to slow
SPEED_MEASURES = ("forwards", "pictures", "batches", "tiles", "training")  # of ``glide bench speed``
REPAINT_PASSES = 4  # times that a step is taken while the surroundings are hidden from the inpainting model
SCENES = 60_000  # that a training on drawn scenes usually draws ahead
BATCH_COLUMNS = ("id", "prompt", "negative", "seed", "guidance_scale", "steps", "sampler", "image", "mask")
SHARD_SIZE = 1000  # rows of ``glide batch`` that lie together
MOST_OFFSETS = 4  # numbers of a noise offset: the fourth is of a grid of 64x64, the size of the base's pictures
MAX_RANK = 256  # of a LoRA: above it the additions to most layers would be larger than the layers
PAINTED_IN = "painted-in"  # the parameter of pictures that says how many the base and the upsampler painted together
FAMILIES = {"tiny": "tiny-", "openai": ""}  # before a model's kind in the names of a family's models


def family_member(checkpoint: str, kind: str) -> str | None:
    """The family's model of this kind where ``checkpoint`` names a family ("tiny", "openai"), else None."""
    return FAMILIES[checkpoint] + kind if checkpoint in FAMILIES else None
