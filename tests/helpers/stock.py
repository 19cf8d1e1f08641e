"""ComfyUI's own nodes in graphs of tests."""

import torch

from glide_core.files import checkpoints


def defaults(info):
    """The inputs that a node has when it is put into a graph, without those that are linked."""
    found = {}
    for name, (kind, *options) in info["input"]["required"].items():
        options = options[0] if options else {}
        choices = kind if isinstance(kind, list) else options.get("options")
        if "default" in options or choices:
            found[name] = options.get("default", choices[0] if choices else None)
    return found


def far(one, other):
    return float((one - other).abs().max())


def small_lora():
    """The tensors of a LoRA file for the tiny base model; it changes one layer."""
    weight, rank = checkpoints.read_model(checkpoints.find("tiny-base"))[0]["time_embed.0.weight"], 2
    halves = {"up": torch.ones(weight.shape[0], rank), "down": torch.ones(rank, weight.shape[1])}
    return {f"diffusion_model.time_embed.0.lora_{half}.weight": 0.1 * tensor for half, tensor in halves.items()}
