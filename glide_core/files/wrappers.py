"""The tensors of a model inside what training tools save around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .detect import StateDict

# Dictionaries that hold a model, the averaged weights first: those are the ones to paint with.
WRAPPERS = (
    "params_ema",
    "model_ema",
    "ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "params",
)
PREFIXES = ("_orig_mod.", "module.", "glide_model.", "model.")
MAX_DEPTH = 4
FIRST_CONVOLUTION = "input_blocks.0.0.weight"


def unwrap(content: object, depth: int = 0) -> StateDict:
    """Find the tensors of a model in what a file holds, and free their names of the prefixes of other tools.

    Args:
        content: what the file holds: a dictionary of tensors, or one of dictionaries as in ``WRAPPERS``.
        depth: how many wrappers are around ``content``.
    Returns:
        The first dictionary with the first convolution of a U-Net in it; without one, the largest; {} if there is none.
    """
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return {}
    own = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    candidates = [_without_prefixes(own)]
    candidates += [unwrap(content[key], depth + 1) for key in WRAPPERS if key in content]
    for tensors in candidates:
        if FIRST_CONVOLUTION in tensors:
            return tensors
    return max(candidates, key=len)


def _without_prefixes(tensors: dict[str, Any]) -> StateDict:
    """Remove every prefix that all names have, in whatever order the tools have put them."""
    found = True
    while found and tensors:
        found = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in tensors):
                tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
                found = True
    return tensors
