"""What other nodes put between the blocks of a MODEL's U-Net, and into its attention."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .attention import attention

BETWEEN_BLOCKS = (
    "input_block_patch",
    "input_block_patch_after_skip",
    "middle_block_after_patch",
    "output_block_patch",
)
REPLACED = "attn1"  # the host's name of self-attention, of which a node may replace the function


class Patches:
    """The patches for one forward pass of the U-Net, in the host's ``transformer_options``.

    Raises:
        ValueError: a node patches something that GLIDE's U-Net does not have, so that it would do nothing.
    """

    def __init__(self, transformer_options: dict):
        self.options = transformer_options
        self.between_blocks = transformer_options.get("patches", {})
        replacements = transformer_options.get("patches_replace", {})
        self.replacements = replacements.get(REPLACED, {})
        unknown = [name for name in self.between_blocks if name not in BETWEEN_BLOCKS]
        unknown += [name for name in replacements if name != REPLACED]
        if unknown:
            raise ValueError(
                f"a node that this MODEL went through patches {', '.join(unknown)}, which GLIDE's U-Net does not have: "
                "take the node out (HyperTile, TomePatchModel, HypernetworkLoader, NAGuidance and FluxKVCache do that)"
            )

    def enter(self, place: str, number: int) -> Callable[..., Tensor]:
        """Tell patches that a block begins ("input", "middle" or "output") -> the attention to use in it."""
        self.options["block"] = (place, number)
        for block in ((place, number, 0), (place, number)):
            if block in self.replacements:
                return self._replaced_by(self.replacements[block])
        return self._attention

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, heads: int, skip_reshape: bool = False) -> Tensor:
        return attention(q, k, v, heads, skip_reshape=skip_reshape, transformer_options=self.options)

    def _replaced_by(self, replacement: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, skip_reshape: bool = False) -> Tensor:
            """Pixels look at pixels as the replacement says, and at the text as the model does.

            GLIDE's text and pixels share one softmax, and replacements know of pixels alone.

            Args:
                q: [B, heads, N, C]; k, v: [B, heads, text + N, C], the text first.
            """
            pixels, head_channels = q.shape[2:]
            weights = (q.float() @ k.float().transpose(-1, -2) / head_channels**0.5).softmax(dim=-1)
            on_text = weights[..., :-pixels]
            from_text = on_text @ v[:, :, :-pixels].float()
            options = {**self.options, "n_heads": heads, "dim_head": head_channels, "attn_precision": None}
            q, k, v = (part.transpose(1, 2).flatten(2) for part in (q, k[:, :, -pixels:], v[:, :, -pixels:]))
            from_pixels = replacement(q, k, v, options).unflatten(-1, (heads, -1)).transpose(1, 2)
            mixed = from_text + (1 - on_text.sum(dim=-1, keepdim=True)) * from_pixels
            return mixed.to(v).transpose(1, 2).flatten(2)

        return attend

    def apply(self, kind: str, h: Tensor) -> Tensor:
        for patch in self.between_blocks.get(kind, []):
            h = patch(h, self.options)
        return h

    def after_middle(self, h: Tensor, **inputs: Tensor) -> Tensor:
        """inputs: x, emb, context, y and timesteps of the U-Net, which these patches may read."""
        for patch in self.between_blocks.get("middle_block_after_patch", []):
            h = patch({"h": h, **inputs, "transformer_options": self.options})["h"]
        return h

    def before_output(self, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        for patch in self.between_blocks.get("output_block_patch", []):
            h, skip = patch(h, skip, self.options)
        return h, skip
