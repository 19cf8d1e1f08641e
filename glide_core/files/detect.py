"""Recognising a model: which GLIDE a dictionary of tensors is, and whether its tensors are all there.

A model is recognised by its metadata or its tensors, never by the name of its file, and every refusal says what is
wrong.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..errors import CheckpointError, OptionError
from ..models import layers
from ..models.config import PUBLISHED, TINY_BASE, TINY_UPSAMPLE, ModelConfig
from ..models.text2im import Text2Im

CONFIG_KEY = "glide_config"

# Tensors that every GLIDE diffusion model has, with their number of dimensions.
SIGNATURE = {
    "positional_embedding": 2,
    "padding_embedding": 2,
    "token_embedding.weight": 2,
    "transformer_proj.weight": 2,
    "time_embed.0.weight": 2,
    "input_blocks.0.0.weight": 4,
    "middle_block.1.encoder_kv.weight": 3,
    "out.2.weight": 4,
}
TEXT_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.")
DOWN_STAGE = re.compile(r"input_blocks\.(\d+)\.")
ATTENTION_STAGE = re.compile(r"input_blocks\.(\d+)\.1\.")
UPSAMPLING_STAGE = re.compile(r"output_blocks\.(\d+)\.[1-9]\.in_layers\.")

StateDict = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def detect_config(state_dict: StateDict, metadata: dict[str, str]) -> ModelConfig:
    """Which GLIDE model this is: by its metadata if ``save`` wrote it, else by the names and shapes of its tensors.

    Args:
        state_dict: the tensors; only their names and shapes are looked at.
        metadata: of the safetensors file; {} for other kinds.
    Raises:
        CheckpointError: it is something else; the message names what is missing.
    """
    if CONFIG_KEY in metadata:
        try:
            return ModelConfig.from_json(metadata[CONFIG_KEY])
        except OptionError as error:
            raise CheckpointError(f"its metadata {CONFIG_KEY!r} cannot be understood: {error}") from error
    try:
        return _config_from_tensors(state_dict)
    except OptionError as error:
        raise CheckpointError(f"its tensors have sizes that no model has: {error}") from error


def _config_from_tensors(state_dict: StateDict) -> ModelConfig:
    """What tensors do not show (heads, norm groups, noise schedule) is taken from the nearest known model."""
    for name, ndim in SIGNATURE.items():
        if name not in state_dict:
            raise CheckpointError(f"this is {_other_model(state_dict)}: it has no tensor {name!r}")
        if state_dict[name].ndim != ndim:
            shape = tuple(state_dict[name].shape)
            raise CheckpointError(f"tensor {name!r} has shape {shape}, expected {ndim} dimensions")
    channels = state_dict["input_blocks.0.0.weight"].shape[1]
    kinds = {config.in_channels: config for config in PUBLISHED.values()}
    if channels not in kinds:
        raise CheckpointError(f"its U-Net reads {channels} channels, but GLIDE's read one of {sorted(kinds)}")
    width = state_dict["time_embed.0.weight"].shape[1]
    if not width:
        raise CheckpointError("tensor 'time_embed.0.weight' is empty")
    vocab_size, xf_width = state_dict["token_embedding.weight"].shape
    tiny = TINY_UPSAMPLE if kinds[channels].low_res else TINY_BASE
    family = tiny if width % 64 else kinds[channels]
    return dataclasses.replace(
        family,
        **_unet_levels(state_dict, width),
        num_channels=width,
        text_ctx=state_dict["positional_embedding"].shape[0],
        xf_width=xf_width,
        xf_layers=len(_matches(TEXT_LAYER, state_dict)),
        xf_heads=max(1, xf_width * family.xf_heads // family.xf_width),
        vocab_size=vocab_size,
        inpaint=kinds[channels].inpaint,
    )


def _unet_levels(state_dict: StateDict, width: int) -> dict[str, Any]:
    """The part of the config that says what the levels of the U-Net are made of.

    On the way down a level is ``num_res_blocks`` stages and one that halves the picture; on the way up the last of its
    stages holds a second residual block, which doubles it. The bottom level needs neither: ``input_blocks.0`` makes up.
    """
    stages = len(_matches(DOWN_STAGE, state_dict))
    levels = 1 + len(_matches(UPSAMPLING_STAGE, state_dict))
    if not stages or stages % levels:
        raise CheckpointError(f"its {stages} input blocks do not divide into {levels} levels")
    starts = range(1, stages, stages // levels)
    attention = _matches(ATTENTION_STAGE, state_dict)
    image_size = 2 ** (levels + 2)
    convolutions = [f"input_blocks.{start}.0.in_layers.2.weight" for start in starts]
    for name in convolutions:
        if name not in state_dict:
            raise CheckpointError(f"tensor {name!r} is missing")
    return {
        "image_size": image_size,
        "num_res_blocks": stages // levels - 1,
        "channel_mult": tuple(state_dict[name].shape[0] // width for name in convolutions),
        "attention_resolutions": tuple(
            image_size >> level for level, start in enumerate(starts) if str(start) in attention
        ),
    }


def _other_model(names: StateDict) -> str:
    """What a state dict that is no GLIDE diffusion model seems to be."""
    if any(name.startswith("blocks.input.") for name in names):
        return "GLIDE's noised CLIP encoder, not a diffusion model"
    if any("lora" in name.lower() for name in names):
        return "a LoRA, not a whole model"
    if any(name.startswith(("model.diffusion_model.", "diffusion_model.")) for name in names):
        return "a Stable Diffusion checkpoint, not a GLIDE model"
    return "not a GLIDE model"


def _matches(pattern: re.Pattern[str], names: Iterable[str]) -> set[str]:
    """What the group of ``pattern`` stands for in the names that begin with it."""
    return {match[1] for match in map(pattern.match, names) if match}


def shapes(config: ModelConfig) -> Shapes:
    """Names and shapes of the tensors of a model, without building it in memory.

    Raises:
        CheckpointError: the sizes of the config do not fit together.
    """
    return {name: tuple(tensor.shape) for name, tensor in _empty(config).state_dict().items()}


def _empty(config: ModelConfig) -> Text2Im:
    """The model without storage. Raises CheckpointError when the sizes do not fit together."""
    try:
        return Text2Im(config, operations=layers, device="meta")
    except Exception as error:  # a file's metadata can hold any nonsense
        raise CheckpointError(f"no model can be built with these sizes: {error}") from error


def check(state_dict: StateDict, expected: Shapes) -> None:
    """Make sure that tensors are those of a model.

    Args:
        state_dict: the tensors.
        expected: the names and shapes that they must have; see ``shapes``.
    Raises:
        CheckpointError: a tensor is missing, of another shape, not floating point, or unexpected; it is named.
    """
    for name, shape in expected.items():
        if name not in state_dict:
            raise CheckpointError(f"tensor {name!r} is missing (expected shape {shape})")
        tensor = state_dict[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(f"tensor {name!r} has shape {tuple(tensor.shape)}, expected {shape}")
        if not tensor.is_floating_point():
            raise CheckpointError(f"tensor {name!r} is {tensor.dtype}, expected floating point")
    for name, tensor in state_dict.items():
        if name not in expected:
            raise CheckpointError(f"tensor {name!r} of shape {tuple(tensor.shape)} is unexpected in this model")
