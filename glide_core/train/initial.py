"""The model that a training starts with: a checkpoint, or random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from ..files import checkpoints
from ..models.config import ModelConfig
from ..models.text2im import Text2Im, with_inpaint_inputs
from ..models.tokenizer import Tokenizer
from ..models.unet import AttentionBlock, ResBlock, sdpa
from . import lora
from .request import FineTune, TrainingRequest


def build(request: TrainingRequest, device: torch.device) -> tuple[Text2Im, Tokenizer]:
    """Build the model that a request starts with, and its tokenizer.

    Args:
        device: where the model will be trained; the model itself is left on the CPU.
    Returns:
        The model in fp32, of which only the parts to train require gradients, and its tokenizer.
    Raises:
        CheckpointError: the checkpoint or the tokenizer is missing or broken.
    """
    if isinstance(request.start, FineTune):
        source = checkpoints.find(request.start.source)
        state_dict, config = checkpoints.read_model(source)
        if request.inpaint and not config.inpaint:
            state_dict, config = with_inpaint_inputs(state_dict, config)
        model = _empty(config, device)
        model.load_state_dict({name: tensor.float() for name, tensor in state_dict.items()})
    else:
        config = request.start.config
        config = dataclasses.replace(config, inpaint=config.inpaint or request.inpaint)
        source = Path(request.out) / f"{config.kind}.safetensors"
        model = _empty(config, device)
        initialise(model)
    if request.freeze == "text":
        model.text.requires_grad_(False)
    if request.freeze == "unet":
        model.unet.requires_grad_(False)
    if request.lora_rank is not None:
        lora.add(model, request.lora_rank)
    return model, checkpoints.tokenizer_for(config, source)


def _empty(config: ModelConfig, device: torch.device) -> Text2Im:
    return Text2Im(config, attention=matmul_attention if device.type == "cpu" else sdpa)


def matmul_attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, skip_reshape: bool = False
) -> Tensor:
    """Attention for training on a CPU, where the backward pass of the fused one in ``sdpa`` is slower.

    Arguments and result are those of ``sdpa``.
    """
    if not skip_reshape:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights: Tensor = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if mask is not None:
        weights = weights + mask
    return (weights.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


@torch.no_grad()
def initialise(model: Text2Im) -> None:
    """Set the random initial weights of OpenAI's code: every block starts as the identity, the prediction as zero."""
    text = model.text
    for embedding in (text.token_embedding.weight, text.positional_embedding, text.padding_embedding):
        nn.init.normal_(embedding, std=0.02)
    last_layers = [model.unet.out[2]]
    for part in model.unet.modules():
        if isinstance(part, ResBlock):
            last_layers.append(part.out_layers[3])
        elif isinstance(part, AttentionBlock):
            last_layers.append(part.proj_out)
    for layer in last_layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
