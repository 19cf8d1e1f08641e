"""GLIDE's U-Net: the ADM architecture (Dhariwal & Nichol 2021) with text keys and values in every attention.

Module names follow the published checkpoints, so their state dicts load as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import layers
from .config import ModelConfig

Attention = Callable[..., Tensor]
Operations = Any  # a namespace with the layers of torch.nn, such as torch.nn itself or one of comfy.ops
Device = torch.device | str | None
Factory = dict[str, Any]  # arguments that each layer gets
Resample = Literal["up", "down"]


def sdpa(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, skip_reshape: bool = False) -> Tensor:
    """Multi-head attention with the call signature of ComfyUI's ``optimized_attention``.

    Args:
        q, k, v: [B, heads, N, C] with ``skip_reshape``, else [B, N, heads * C].
    Returns:
        [B, N, heads * C].
    """
    if not skip_reshape:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


@lru_cache
def frequencies(count: int, max_period: float, device: torch.device) -> Tensor:
    """[count], falling from 1 to almost 1 / max_period. The CPU's, because exponentials round otherwise on a GPU; kept,
    because a copy from the CPU cannot be recorded (``replay``)."""
    return torch.exp(-math.log(max_period) * torch.arange(count, dtype=torch.float32) / count).to(device)


def timestep_embedding(timesteps: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoids of (possibly fractional) timesteps [B] -> [B, dim] float32."""
    args = timesteps[:, None].float() * frequencies(dim // 2, max_period, timesteps.device)[None]
    return torch.cat([args.cos(), args.sin()], dim=-1)


def scaled_norm(norm: nn.Module, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """norm(h) * (1 + scale) + shift, for h [B, C, H, W] and scale and shift [B, C, 1, 1].

    Of one picture the normalisation takes both as its own weight and bias, and the picture is read once less.
    """
    alone = len(h) == 1 and h.device.type == "cpu" and not torch.is_grad_enabled()
    if not alone or not isinstance(norm, layers.GroupNorm):
        return torch.addcmul(shift, norm(h), 1 + scale)
    factor = 1 + scale.float().view(-1)
    weight, bias = norm.weight.float() * factor, norm.bias.float() * factor + shift.float().view(-1)
    return F.group_norm(h, norm.num_groups, weight, bias, norm.eps)


def plus(h: Tensor, x: Tensor) -> Tensor:
    """x + h, in the memory of h where it is laid out like x: no other layer reads h."""
    return h.add_(x) if h.dtype == x.dtype and h.stride() == x.stride() else x + h


class ResBlock(nn.Module):
    """Residual block; the timestep embedding scales and shifts its second norm. Resamples by 2 when up or down."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        emb_channels: int,
        groups: int,
        *,
        operations: Operations,
        resample: Resample | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        factory: Factory = {"device": device, "dtype": dtype}
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(
            operations.GroupNorm(groups, channels, **factory),
            nn.SiLU(inplace=True),
            operations.Conv2d(channels, out_channels, 3, padding=1, **factory),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), operations.Linear(emb_channels, 2 * out_channels, **factory))
        self.out_layers = nn.Sequential(
            operations.GroupNorm(groups, out_channels, **factory),
            nn.SiLU(inplace=True),
            nn.Identity(),  # the reference's dropout: keeps the convolution at index 3
            operations.Conv2d(out_channels, out_channels, 3, padding=1, **factory),
        )
        if channels == out_channels:
            self.skip_connection = nn.Identity()
        else:
            self.skip_connection = operations.Conv2d(channels, out_channels, 1, **factory)

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    def forward(self, x: Tensor, emb: Tensor, context: Context) -> Tensor:
        norm, act, conv = self.in_layers
        h = conv(self._resampled(act(norm(x))))
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)
        norm, act, _, conv = self.out_layers
        h = conv(act(scaled_norm(norm, h, scale, shift)))
        return plus(h, self.skip_connection(self._resampled(x)))


class AttentionBlock(nn.Module):
    """Self-attention over the pixels, with the text's keys and values in the same softmax (paper section 2.3)."""

    def __init__(
        self,
        channels: int,
        context_channels: int,
        head_channels: int,
        groups: int,
        *,
        attention: Attention,
        operations: Operations,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        factory: Factory = {"device": device, "dtype": dtype}
        super().__init__()
        self.heads = channels // head_channels
        self.attention = attention
        self.norm = operations.GroupNorm(groups, channels, **factory)
        self.qkv = operations.Conv1d(channels, 3 * channels, 1, **factory)
        self.encoder_kv = operations.Conv1d(context_channels, 2 * channels, 1, **factory)
        self.proj_out = operations.Conv1d(channels, channels, 1, **factory)

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[B, heads * parts * C, N] -> parts x [B, heads, N, C]: the published weights interleave by head."""
        return x.unflatten(1, (self.heads, parts, -1)).transpose(3, 4).unbind(2)

    def text_keys(self, context: Tensor) -> tuple[Tensor, ...]:
        """Keys and values of a text [B, xf_width, N], each [B, heads, N, C]: the same in every step."""
        return self._split(self.encoder_kv(context), 2)

    def forward(self, x: Tensor, emb: Tensor, context: Context, attention: Attention | None = None) -> Tensor:
        """attention: another function for this call."""
        q, k, v = self._split(self.qkv(self.norm(x).flatten(2)), 3)
        text_k, text_v = self.text_keys(context) if isinstance(context, Tensor) else context[self]
        k, v = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)
        # Fused attention needs the channels of a head side by side; torch falls back to a slow one where they are not.
        q = q if q.stride(-1) == 1 else q.contiguous()
        h = (attention or self.attention)(q, k, v, self.heads, skip_reshape=True)
        return plus(self.proj_out(h.transpose(1, 2)).view_as(x), x)


TextKeys = dict[AttentionBlock, tuple[Tensor, ...]]
Context = Tensor | TextKeys  # a text [B, xf_width, N], or the keys and values that all blocks make of it


class Deep:
    """What the deep layers made in an earlier step, for steps that compute the outermost ones alone (DeepCache)."""

    def __init__(self) -> None:
        self.features: Tensor | None = None


class Block(nn.Sequential):
    """Layers of one U-Net stage, run with the timestep embedding and the text."""

    def forward(  # type: ignore[override]
        self, x: Tensor, emb: Tensor, context: Context, attention: Attention | None = None
    ) -> Tensor:
        """attention: another function for this call."""
        for layer in self:
            if isinstance(layer, AttentionBlock):
                x = layer(x, emb, context, attention)
            else:
                x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, emb, context)
        return x


class UNet(nn.Module):
    """Predicts the noise and the variance of a noisy picture.

    Args:
        config: sizes; ``config.in_channels`` says what the input is made of.
        operations: namespace that supplies Conv1d, Conv2d, Linear and GroupNorm (``torch.nn`` or ``comfy.ops``).
        attention: function with the signature of ``sdpa``.
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
        self.dtype = dtype or torch.get_default_dtype()
        layer_factory: Factory = {"device": device, "dtype": dtype}
        factory: Factory = {"operations": operations, **layer_factory}
        width, groups = config.num_channels, config.norm_groups
        emb_channels = 4 * width
        attention_ds = {config.image_size // side for side in config.attention_resolutions}

        def res(channels: int, out_channels: int, resample: Resample | None = None) -> ResBlock:
            return ResBlock(channels, out_channels, emb_channels, groups, resample=resample, **factory)

        def attend(channels: int) -> AttentionBlock:
            return AttentionBlock(
                channels, config.xf_width, config.num_head_channels, groups, attention=attention, **factory
            )

        self.time_embed = nn.Sequential(
            operations.Linear(width, emb_channels, **layer_factory),
            nn.SiLU(),
            operations.Linear(emb_channels, emb_channels, **layer_factory),
        )
        channels = width * config.channel_mult[0]
        self.input_blocks = nn.ModuleList(
            [Block(operations.Conv2d(config.in_channels, channels, 3, padding=1, **layer_factory))]
        )
        skips, ds, last = [channels], 1, len(config.channel_mult) - 1
        for level, mult in enumerate(config.channel_mult):
            for _ in range(config.num_res_blocks):
                layers: list[nn.Module] = [res(channels, width * mult)]
                channels = width * mult
                if ds in attention_ds:
                    layers.append(attend(channels))
                self.input_blocks.append(Block(*layers))
                skips.append(channels)
            if level != last:
                self.input_blocks.append(Block(res(channels, channels, "down")))
                skips.append(channels)
                ds *= 2
        self.middle_block = Block(res(channels, channels), attend(channels), res(channels, channels))
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for i in range(config.num_res_blocks + 1):
                layers = [res(channels + skips.pop(), width * mult)]
                channels = width * mult
                if ds in attention_ds:
                    layers.append(attend(channels))
                if level and i == config.num_res_blocks:
                    layers.append(res(channels, channels, "up"))
                    ds //= 2
                self.output_blocks.append(Block(*layers))
        self.out = nn.Sequential(
            operations.GroupNorm(groups, channels, **layer_factory),
            nn.SiLU(inplace=True),
            operations.Conv2d(channels, 6, 3, padding=1, **layer_factory),
        )

    def embed(self, timesteps: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Timesteps [B] and the text's vector y [B, 4 * num_channels] as every block reads them."""
        embedding: Tensor = self.time_embed(timestep_embedding(timesteps, self.config.num_channels).to(dtype))
        return embedding + y

    @torch.no_grad()
    def text_keys(self, context: Tensor) -> TextKeys:
        """What all blocks make of a text [B, N, xf_width]: ``forward`` takes it in the text's place, in every step."""
        context = context.transpose(1, 2)
        blocks = (*self.input_blocks, self.middle_block, *self.output_blocks)
        layers_of_all = [layer for block in blocks for layer in block.children()]
        return {layer: layer.text_keys(context) for layer in layers_of_all if isinstance(layer, AttentionBlock)}

    def forward(self, x: Tensor, timesteps: Tensor, context: Context, y: Tensor, deep: Deep | None = None) -> Tensor:
        """Predict eps and the variance channels.

        Args:
            x: [B, in_channels, H, W], the noisy picture scaled to unit variance, then its conditions.
            timesteps: [B], 0..999, may be fractional.
            context: [B, N, xf_width], the text transformer's output, or its ``text_keys``.
            y: [B, 4 * num_channels], its projected last token, added to the timestep embedding.
            deep: where it has features, these stand for all but the first and the last block; else it gets them.
        Returns:
            [B, 6, H, W]: eps, then the position of the log variance in [-1, 1] (Nichol & Dhariwal 2021, eq. 15).
        """
        emb = self.embed(timesteps, y, x.dtype)
        context = context.transpose(1, 2) if isinstance(context, Tensor) else context
        h, skips = x.contiguous(memory_format=torch.channels_last), list[Tensor]()
        for block in self.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
            if deep is not None and deep.features is not None:
                return self._last(deep.features, skips[0], emb, context)
        h = self.middle_block(h, emb, context)
        for block in list(self.output_blocks)[:-1]:
            h = block(torch.cat([h, skips.pop()], dim=1), emb, context)
        if deep is not None:
            deep.features = h
        return self._last(h, skips[0], emb, context)

    def _last(self, h: Tensor, skip: Tensor, emb: Tensor, context: Context) -> Tensor:
        h = self.output_blocks[-1](torch.cat([h, skip], dim=1), emb, context)
        return self.out(h)
