"""GLIDE's noised CLIP (paper section 2.4): two transformers that map pictures at any noise, and texts, to one space.

Module names follow the published files; ``published_names`` and ``own_names`` say where the two differ.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .clip_config import ClipConfig
from .unet import Attention, Device, Factory, Operations, sdpa

# Of the pixels (0..255) that CLIP was trained on, for red, green and blue.
MEANS = (122.77093945, 116.74601272, 104.09373519)
STDS = (68.50053285, 66.63215831, 70.32316309)
RENAMED = {"w": "weight", "g": "weight", "b": "bias"}  # the published names of layers' parameters, and torch's
LAYERS = ("w_voc", "w_t", "patch_proj")  # published as bare tensors; here each is the weight of a layer


class AttentionResblock(nn.Module):
    """Self-attention that adds to its input; the keys have no bias."""

    def __init__(self, width: int, heads: int, *, attention: Attention, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.heads, self.attention = heads, attention
        self.ln = operations.LayerNorm(width, eps=1e-5, **factory)
        self.f_q = operations.Linear(width, width, **factory)
        self.f_k = operations.Linear(width, width, bias=False, **factory)
        self.f_v = operations.Linear(width, width, **factory)
        self.f_c = operations.Linear(width, width, **factory)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        h = self.ln(x)
        return x + self.f_c(self.attention(self.f_q(h), self.f_k(h), self.f_v(h), self.heads, mask=mask))


class FullyConnectedResblock(nn.Module):
    def __init__(self, width: int, *, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.ln = operations.LayerNorm(width, eps=1e-5, **factory)
        self.f_1 = operations.Linear(width, 4 * width, **factory)
        self.f_2 = operations.Linear(4 * width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f_2(F.gelu(self.f_1(self.ln(x))))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, *, attention: Attention, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.f_attn = AttentionResblock(width, heads, attention=attention, operations=operations, **factory)
        self.f_mlp = FullyConnectedResblock(width, operations=operations, **factory)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.f_mlp(self.f_attn(x, mask))


class TextInput(nn.Module):
    def __init__(self, config: ClipConfig, *, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.w_voc = operations.Embedding(config.vocab_size, config.text_width, **factory)
        self.w_pos = nn.Parameter(torch.empty(config.text_ctx, config.text_width, **factory))

    def forward(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.w_voc(tokens)
        return x + self.w_pos[: tokens.shape[1]].to(x)


class ImageInput(nn.Module):
    """Pictures and their timesteps -> [B, 1 + patches, width]; the timestep's vector comes first."""

    def __init__(self, config: ClipConfig, *, operations: Operations, **factory: Any) -> None:
        super().__init__()
        width, side = config.image_width, config.patch_size
        self.w_t = operations.Embedding(config.timesteps, width, **factory)
        self.patch_proj = operations.Conv2d(3, width, side, stride=side, bias=False, **factory)
        self.w_pos = nn.Parameter(torch.empty(1 + (config.image_size // side) ** 2, width, **factory))
        self.ln = operations.LayerNorm(width, eps=1e-5, **factory)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        patches = self.patch_proj(x).flatten(2).transpose(1, 2)
        time = self.w_t(timesteps)[:, None].to(patches)
        h = torch.cat([time, patches], dim=1)
        return self.ln(h + self.w_pos.to(h))


class Output(nn.Module):
    def __init__(self, width: int, embed_width: int, *, operations: Operations, **factory: Any) -> None:
        super().__init__()
        self.ln = operations.LayerNorm(width, eps=1e-5, **factory)
        self.f = operations.Linear(width, embed_width, bias=False, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.ln(x))


class Encoder(nn.Module):
    """The transformer of one of the two encoders, between what reads its input and what makes the embedding."""

    def __init__(
        self,
        read: nn.Module,
        width: int,
        layers: int,
        heads: int,
        embed_width: int,
        *,
        attention: Attention,
        operations: Operations,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.blocks = nn.ModuleDict({"input": read})
        for i in range(layers):
            self.blocks[f"block_{i}"] = TransformerBlock(
                width, heads, attention=attention, operations=operations, **factory
            )
        self.blocks["output"] = Output(width, embed_width, operations=operations, **factory)
        self.recompute = False  # compute the blocks again in the backward pass instead of keeping what is inside

    def through(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, N, width] -> [B, N, width], through all blocks.

        Args:
            mask: [N, N], what is added to the weights of attention.
        """
        for i in range(self.layers):
            block = self.blocks[f"block_{i}"]
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, mask, use_reentrant=False)
            else:
                x = block(x, mask)
        return x


class NoisedClip(nn.Module):
    """Both encoders of a noised CLIP.

    Args:
        config: sizes.
        operations: namespace that supplies Linear, LayerNorm, Embedding and Conv2d (``torch.nn`` or ``comfy.ops``).
        attention: function with the signature of ``unet.sdpa``.
    """

    def __init__(
        self,
        config: ClipConfig,
        *,
        operations: Operations = nn,
        attention: Attention = sdpa,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype or torch.get_default_dtype()
        factory: Factory = {"operations": operations, "device": device, "dtype": dtype}
        c = config
        self.text = Encoder(
            TextInput(c, **factory),
            c.text_width,
            c.text_layers,
            c.text_heads,
            c.embed_width,
            attention=attention,
            **factory,
        )
        self.image = Encoder(
            ImageInput(c, **factory),
            c.image_width,
            c.image_layers,
            c.image_heads,
            c.embed_width,
            attention=attention,
            **factory,
        )

    def embed_text(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embed texts.

        Args:
            tokens: [B, N] ids, N up to ``text_ctx``: a start, the text, an end, padding. No token sees a later one, so
                that padding does not matter.
            lengths: [B], of each text with its start and its end.
        Returns:
            [B, embed_width] float32 of length 1.
        """
        x = self.text.blocks["input"](tokens)
        x = self.text.through(x, causal_mask(tokens.shape[1], x))
        last = x[torch.arange(len(x), device=x.device), lengths.to(x.device) - 1]
        return _unit(self.text.blocks["output"](last))

    def embed_image(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Embed noised pictures.

        Args:
            x: [B, 3, image_size, image_size]: sqrt(alphas_cumprod) times a picture in -1..1, and noise.
            timesteps: [B] whole numbers, 0 for a picture without noise.
        Returns:
            [B, embed_width] float32 of length 1.
        """
        x = _exact(x)
        means, stds = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEANS, STDS))
        pixels = (((x + 1) * 127.5 - means) / stds).to(self.dtype)
        h = self.image.through(self.image.blocks["input"](pixels, timesteps))
        return _unit(self.image.blocks["output"](h[:, 0]))

    def similarity(self, image: Tensor, text: Tensor) -> Tensor:
        """Of embeddings, pair by pair: [B], the cosine times ``logit_scale``."""
        return self.config.logit_scale * (image * text).sum(dim=-1)

    def forward(self, x: Tensor, timesteps: Tensor, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Both embeddings in one call, as training needs it: those of the pictures, then those of the texts."""
        return self.embed_image(x, timesteps), self.embed_text(tokens, lengths)


def causal_mask(length: int, like: Tensor) -> Tensor:
    """[length, length] of the dtype and on the device of ``like``: minus infinity where a token is later."""
    return torch.full((length, length), -math.inf, dtype=like.dtype, device=like.device).triu(1)


def _exact(x: Tensor) -> Tensor:
    """x in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _unit(x: Tensor) -> Tensor:
    x = _exact(x)
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + 1e-12)


def own_names(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published encoder by the names of this module's."""
    return {_own_name(name): tensor for name, tensor in published.items()}


def published_names(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one of this module's encoders by their published names."""
    return {_published_name(name): tensor for name, tensor in own.items()}


def _own_name(name: str) -> str:
    if name.endswith(LAYERS):
        return f"{name}.weight"
    stem, _, last = name.rpartition(".")
    return f"{stem}.{RENAMED[last]}" if last in RENAMED else name


def _published_name(name: str) -> str:
    stem, _, last = name.rpartition(".")
    if stem.endswith(LAYERS):
        return stem
    if last == "bias":
        return f"{stem}.b"
    if last == "weight":
        return f"{stem}.{'g' if stem.endswith('ln') else 'w'}"
    return name
