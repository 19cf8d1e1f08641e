"""GLIDE's U-Net as ComfyUI calls it, with the places where other nodes reach into it."""

from __future__ import annotations

import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor

from ...glide_core.diffusion.tiles import tiled
from ...glide_core.models.config import ModelConfig
from ...glide_core.models.run_packing import packing
from ...glide_core.models.unet import UNet
from .attention import attention
from .patches import Patches

VARIANCE = "glide_variance"  # key in transformer_options of the samplers.Variance that wants to be filled


class HostUNet(UNet):
    """Returns eps alone, as ComfyUI needs it, and leaves the variance in a side channel.

    An upsampler looks at pictures larger than those it was trained on in overlapping windows.

    Args:
        model_channels, in_channels: the host hands on what ``GlideConfig`` says for other nodes to read; both are known
            from ``config`` already.
    """

    def __init__(
        self, config: ModelConfig, *, model_channels: int, in_channels: int, operations, device=None, dtype=None
    ):
        super().__init__(config, attention=attention, operations=packing(operations), device=device, dtype=dtype)
        self.tile = config.image_size if config.low_res else None
        self.size_multiple = config.size_multiple
        self.in_channels = in_channels

    @property
    def q_token_length(self) -> int:
        """Only a 3D model has it, and only TripoSplatSamplingPreview asks."""
        raise ValueError("TripoSplatSamplingPreview previews 3D models: take the node out")

    def forward(  # type: ignore[override]  # the host calls it in its own way
        self, x, timesteps, context, y, control=None, transformer_options={}, **kwargs
    ):
        """The host's signature; nodes such as EasyCache wrap what is inside.

        Args:
            x: [B, in_channels, H, W]; timesteps: [B]; context: [B, N, xf_width]; y: [B, 4 * num_channels].
        Returns:
            eps [B, 3, H, W].
        """
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        executor = WrapperExecutor.new_class_executor(self._predict, self, wrappers)
        return executor.execute(x, timesteps, context, y, control, transformer_options, **kwargs)

    def _predict(self, x, timesteps, context, y, control=None, transformer_options={}, **kwargs):
        self._require_size(x)
        patches = Patches(transformer_options)
        out = tiled(lambda part: self._run_blocks(part, timesteps, context, y, patches), x, self.tile)
        eps, variance = out.chunk(2, dim=1)
        self._leave_variance(variance, transformer_options)
        return eps

    def _require_size(self, x: Tensor) -> None:
        """Raise ValueError where a node has cut the picture, whose own size ``GlideModel`` checks, into odd parts."""
        height, width = x.shape[-2:]
        if height % self.size_multiple or width % self.size_multiple:
            raise ValueError(
                f"a node such as ContextWindowsManual cuts the picture into parts of {width}x{height} pixels, but this "
                f"GLIDE model paints sides that are multiples of {self.size_multiple}: give it such a length"
            )

    def _leave_variance(self, variance: Tensor, transformer_options: dict) -> None:
        """Give the sampler the variance of the positive prompt, which the host numbers 0.

        It is that of the first call in a step: SelfAttentionGuidance and similar nodes call the U-Net again afterwards,
        with whatever prompt and picture.
        """
        wanted = transformer_options.get(VARIANCE)
        prompts = transformer_options.get("cond_or_uncond", [0])
        if wanted is not None and wanted.value is None and 0 in prompts:
            wanted.put(variance.chunk(len(prompts))[prompts.index(0)])

    def _run_blocks(self, x: Tensor, timesteps: Tensor, context: Tensor, y: Tensor, patches: Patches) -> Tensor:
        """``UNet.forward`` with the patches between the blocks -> [B, 6, H, W]."""
        emb = self.embed(timesteps, y, x.dtype)
        context = context.transpose(1, 2)
        h, skips = x.contiguous(memory_format=torch.channels_last), []
        for number, block in enumerate(self.input_blocks):
            h = block(h, emb, context, patches.enter("input", number))
            h = patches.apply("input_block_patch", h)
            skips.append(h)
            h = patches.apply("input_block_patch_after_skip", h)
        h = self.middle_block(h, emb, context, patches.enter("middle", 0))
        h = patches.after_middle(h, x=x, emb=emb, context=context, y=y, timesteps=timesteps)
        for number, block in enumerate(self.output_blocks):
            attention_here = patches.enter("output", number)
            h, skip = patches.before_output(h, skips.pop())
            h = block(torch.cat([h, skip], dim=1), emb, context, attention_here)
        return self.out(h)
