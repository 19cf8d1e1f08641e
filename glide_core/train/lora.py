"""LoRA (Hu 2021): train small additions of low rank to the weights, and save them for ComfyUI's own LoRA loaders."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..choices import MAX_RANK
from ..errors import CheckpointError, OptionError
from ..files import checkpoints
from ..files.detect import StateDict
from ..files.reading import read
from ..models import layers
from ..models.text2im import Text2Im
from ..stage import Stage

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
UP, DOWN = ".lora_up.weight", ".lora_down.weight"  # after the name of a layer


class LowRank(nn.Module):
    """Adds scale * up @ down to a weight; the addition is zero at first.

    Args:
        weight: [out, in, ...], of the layer that gets the addition.
        rank: of the addition; a weight of a lower rank gets one of its own rank.
        scale: of the addition.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        out, *rest = weight.shape
        rank = min(rank, out, math.prod(rest))
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, *rest))
        self.up = nn.Parameter(weight.new_zeros(out, rank, *[1] * (weight.ndim - 2)))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight [out, in, ...] with the addition."""
        return weight + self.scale * (self.up.flatten(1) @ self.down.flatten(1)).view_as(weight)


def add(model: Text2Im, rank: int, scale: float = 1.0) -> None:
    """Give every layer that would be trained an addition, and train nothing but the additions from now on.

    Args:
        rank: of the additions.
        scale: alpha / rank in the words of the paper.
    Raises:
        OptionError: the rank is not from 1 to ``MAX_RANK``.
    """
    if not 1 <= rank <= MAX_RANK:
        raise OptionError(f"--lora {rank}: the rank of a LoRA is from 1 to {MAX_RANK}")
    trained = [layer for _, layer in _layers(model) if layer.weight.requires_grad]
    model.requires_grad_(False)
    for layer in trained:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight.detach(), rank, scale))


def merged(model: Text2Im) -> StateDict:
    """The state dict of a model without additions that computes the same."""
    state_dict: StateDict = model.state_dict()
    plain = {name: tensor for name, tensor in state_dict.items() if ".parametrizations." not in name}
    with torch.no_grad():
        return plain | {f"{name}.weight": layer.weight for name, layer in _layers(model)}


def save(model: Text2Im, path: Path, *, notes: Mapping[str, object] = checkpoints.NO_NOTES) -> None:
    """Write the additions as fp16, under the names by which ComfyUI's loaders find the weights of a MODEL and a CLIP.

    Args:
        notes: more to note in the file, stored as text.
    Raises:
        OSError: the file cannot be written.
    """
    tensors = {}
    for part, prefix in _parts(model):
        for name, layer in part.named_modules():
            if parametrize.is_parametrized(layer):
                addition = layer.parametrizations.weight[0]
                rank = len(addition.down)
                tensors[f"{prefix}.{name}{UP}"] = addition.up
                tensors[f"{prefix}.{name}{DOWN}"] = addition.down
                tensors[f"{prefix}.{name}.alpha"] = torch.tensor(float(addition.scale * rank))
    checkpoints.write(tensors, path, dtype=torch.float16, notes={"glide_kind": model.config.kind, **notes})


def apply(model: Text2Im, path: Path, strength: float = 1.0) -> None:
    """Add what ``save`` wrote to the weights of a model, in place.

    Args:
        strength: 1 is as it was trained, 0 is nothing.
    Raises:
        CheckpointError: the file is missing or broken, or its additions are of another model.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file of a LoRA")
    tensors, _ = read(path)
    modules = {f"{prefix}.{name}": layer for part, prefix in _parts(model) for name, layer in part.named_modules()}
    found = [name.removesuffix(UP) for name in tensors if name.endswith(UP)]
    if not found:
        raise CheckpointError(f"{path}: this is no LoRA")
    for name in found:
        layer, up, down = modules.get(name), tensors[name + UP].float(), tensors[name + DOWN].float()
        if not isinstance(layer, LAYERS) or layer.weight.numel() != up.shape[0] * down[0].numel():
            raise CheckpointError(f"{path}: its addition to {name} does not fit the {model.config.kind} model")
        scale = strength * float(tensors[f"{name}.alpha"]) / len(down)
        addition = scale * (up.flatten(1) @ down.flatten(1)).view(layer.weight.shape)
        layer.weight = nn.Parameter(layer.weight.detach() + addition.to(layer.weight), requires_grad=False)


def onto(stage: Stage, text: str) -> None:
    """Add what ``save`` wrote to the weights of a stage, in place.

    Args:
        text: see ``named``.
    Raises:
        CheckpointError: see ``apply``.
    """
    apply(stage.model, *named(text))
    layers.keep_packed(stage.model.unet)


def named(text: str) -> tuple[Path, float]:
    """The file and the strength of a text such as "mine.safetensors:0.5"; without a number the strength is 1."""
    found = re.fullmatch(r"(.+):(-?\d+(?:\.\d+)?)", text)
    return (Path(found[1]), float(found[2])) if found else (Path(text), 1.0)


def _parts(model: Text2Im) -> tuple[tuple[nn.Module, str], ...]:
    """The parts of a model with the names by which ComfyUI finds them."""
    return (model.unet, "diffusion_model"), (model.text, "text_encoders.text")


def has_additions(model: Text2Im) -> bool:
    """Does any layer have an addition?"""
    return any(parametrize.is_parametrized(layer) for layer in model.modules())


def _layers(model: Text2Im) -> Iterator[tuple[str, nn.Linear | nn.Conv1d | nn.Conv2d]]:
    """The layers with a matrix or kernels, by their names in a checkpoint."""
    for part in (model.unet, model.text):
        for name, layer in part.named_modules():
            if isinstance(layer, LAYERS):
                yield name, layer
