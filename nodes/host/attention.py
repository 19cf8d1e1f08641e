"""The host's attention where it is the better one."""

from __future__ import annotations

from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ...glide_core.models.unet import sdpa

OVERRIDE = "optimized_attention_override"  # key in transformer_options of a node's own attention


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, *, transformer_options: dict | None = None, **options):
    """The host's attention, with the signature of ``unet.sdpa``.

    On a CPU the host's default is slower than torch's fused attention, which takes its place unless a node chose
    another one.
    """
    chosen = transformer_options is not None and OVERRIDE in transformer_options
    if q.device.type == "cpu" and not chosen:
        return sdpa(q, k, v, heads, **options)
    return optimized_attention(q, k, v, heads, transformer_options=transformer_options, **options)
