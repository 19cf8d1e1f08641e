"""GLIDE's text transformer (paper section 4): tokens attend to all others; pads have an embedding of their own."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .unet import Attention, Device, Factory, Operations, sdpa


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, *, attention: Attention, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.heads = heads
        self.attention = attention
        self.c_qkv = operations.Linear(width, 3 * width, **factory)
        self.c_proj = operations.Linear(width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        # [B, N, heads * 3 * C] -> 3 x [B, heads, N, C]: the published weights interleave by head.
        q, k, v = self.c_qkv(x).unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        return self.c_proj(self.attention(q, k, v, self.heads, skip_reshape=True))


class MLP(nn.Module):
    def __init__(self, width: int, *, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.c_fc = operations.Linear(width, 4 * width, **factory)
        self.gelu = nn.GELU()
        self.c_proj = operations.Linear(4 * width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.gelu(self.c_fc(x)))


class ResidualAttentionBlock(nn.Module):
    def __init__(self, width: int, heads: int, *, attention: Attention, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads, attention=attention, operations=operations, **factory)
        self.ln_1 = operations.LayerNorm(width, **factory)
        self.mlp = MLP(width, operations=operations, **factory)
        self.ln_2 = operations.LayerNorm(width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TextTransformer(nn.Module):
    """Token ids -> the sequence the U-Net attends to, and one vector for its timestep embedding.

    Args:
        config: sizes.
        operations: namespace that supplies Linear, LayerNorm and Embedding (``torch.nn`` or ``comfy.ops``).
        attention: function with the signature of ``unet.sdpa``.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        operations: Operations = nn,
        attention: Attention = sdpa,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        width = config.xf_width
        factory: Factory = {"device": device, "dtype": dtype}
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            ResidualAttentionBlock(width, config.xf_heads, attention=attention, operations=operations, **factory)
            for _ in range(config.xf_layers)
        )
        self.final_ln = operations.LayerNorm(width, **factory)
        self.token_embedding = operations.Embedding(config.vocab_size, width, **factory)
        self.positional_embedding = nn.Parameter(torch.empty(config.text_ctx, width, **factory))
        self.padding_embedding = nn.Parameter(torch.empty(config.text_ctx, width, **factory))
        self.transformer_proj = operations.Linear(width, 4 * config.num_channels, **factory)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode prompts.

        Args:
            tokens: [B, text_ctx] ids.
            mask: [B, text_ctx] bool, True where the token is text and not padding.
        Returns:
            ``xf_out`` [B, text_ctx, xf_width] and ``xf_proj`` [B, 4 * num_channels].
        """
        x = self.token_embedding(tokens)
        x = torch.where(mask[..., None], x + self.positional_embedding.to(x), self.padding_embedding.to(x))
        for block in cast(nn.ModuleList, self.transformer.resblocks):
            x = block(x)
        x = self.final_ln(x)
        return x, self.transformer_proj(x[:, -1])
