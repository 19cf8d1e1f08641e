"""Gradient checkpointing (Chen 2016): a training step needs less memory and takes a third more time."""

from __future__ import annotations

from functools import partial

from torch.utils.checkpoint import checkpoint

from ..models.text import ResidualAttentionBlock
from ..models.text2im import Text2Im
from ..models.unet import Block


def recompute_blocks(model: Text2Im) -> None:
    """Keep only what goes into each block of both networks, and compute its inside again in the backward pass.

    This changes the model that is given, so a copy of it must be made before.
    """
    for part in model.modules():
        if isinstance(part, (Block, ResidualAttentionBlock)):
            again = partial(checkpoint, part.forward, use_reentrant=False, preserve_rng_state=False)
            part.forward = again  # type: ignore[method-assign]
