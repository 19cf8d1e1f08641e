"""Inpainting checkpoints that read all their inputs, made of the embedded plain ones."""

import torch

from glide_core.files import checkpoints
from glide_core.models.text2im import with_inpaint_inputs

FIRST = "input_blocks.0.0.weight"


def write(kind, folder):
    """Write tiny-<kind> with random weights for the masked picture and its mask; returns the file's path."""
    state_dict, config = checkpoints.read_model(checkpoints.find(f"tiny-{kind}"))
    state_dict, config = with_inpaint_inputs(state_dict, config)
    weight = state_dict[FIRST].float()
    noise = torch.randn(weight[:, 3:7].shape, generator=torch.Generator().manual_seed(1))
    weight[:, 3:7] = 0.5 * weight[:, :3].std() * noise
    path = folder / f"random-{config.kind}.safetensors"
    checkpoints.save({**state_dict, FIRST: weight}, config, path)
    return path
