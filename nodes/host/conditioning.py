"""What GLIDE adds to ComfyUI's CONDITIONING, a list of [xf_out, options].

Beside the host's "pooled_output" (xf_proj) the options hold the token ids, so that the upsampler can encode the same
prompt with its own text transformer, the unconditional of the same encoder, and a tag that says which encoder it was.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

ENCODER, TOKENS, VOCABULARY, UNCOND, LOW_RES = (
    "glide_encoder", "glide_tokens", "glide_vocab_size", "glide_uncond", "glide_low_res"
)  # fmt: skip


def tag(text_state_dict: dict[str, Tensor]) -> str:
    """A name for a text transformer: base and upsampler have different ones of equal shape."""
    digest = hashlib.sha256()
    for name in ("final_ln.weight", "transformer_proj.bias", "positional_embedding"):
        digest.update(text_state_dict[name].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def check(options: dict, encoder: str, kind: str) -> None:
    """Raise ValueError unless the conditioning was made by the text transformer of this model."""
    if options.get(ENCODER) is None:
        raise ValueError(
            f"the GLIDE {kind} model got a CONDITIONING of another model family: "
            "encode the prompt with the CLIP of the same GlideLoader"
        )
    if options[ENCODER] != encoder:
        raise ValueError(
            f"the GLIDE {kind} model got a CONDITIONING made by another GLIDE model's text transformer: "
            "encode the prompt with the CLIP of the same GlideLoader (GlideUpsampler does that by itself)"
        )


def low_res(options: dict) -> Tensor:
    """The picture [B, 3, h, w] in -1..1 that an upsampler enlarges."""
    if options.get(LOW_RES) is None:
        raise ValueError("a GLIDE upsampler needs the picture to enlarge: sample it with GlideUpsampler")
    return options[LOW_RES]


def with_low_res(conditioning: list, picture: Tensor) -> list:
    return [[cond, {**options, LOW_RES: picture}] for cond, options in conditioning]


def with_surroundings(conditioning: list, image: Tensor, mask: Tensor, visible_from: float) -> list:
    """The picture around a hole, in the keys of the stock InpaintModelConditioning.

    Args:
        image: [B, 3, H, W] in -1..1; mask: [B, 1, H, W], 1 = repaint.
        visible_from: part of the process, 0..1, until which the model is shown nothing.
    """
    hole = (mask > 0).to(mask)
    parts = []
    for shown, start, end in ((torch.ones_like(mask), 0.0, visible_from), (hole, visible_from, 1.0)):
        for cond, options in conditioning:
            start_percent = max(start, options.get("start_percent", 0.0))
            end_percent = min(end, options.get("end_percent", 1.0))
            if start_percent < end_percent:
                times = {"start_percent": start_percent, "end_percent": end_percent}
                parts.append([cond, {**options, "concat_latent_image": image, "concat_mask": shown, **times}])
    return parts


def unconditional(conditioning: list) -> list:
    """The empty prompt, encoded by the same text transformer as this conditioning."""
    _, options = conditioning[0]
    cond, pooled = options[UNCOND]
    return [[cond, {**options, "pooled_output": pooled}]]


def encode_again(clip, conditioning: list) -> list:
    """Encode the same prompts with another GLIDE model's CLIP; areas, strengths and time ranges are kept.

    Raises:
        ValueError: the conditioning or the CLIP is not GLIDE's, or their vocabularies differ.
    """
    vocab_size = getattr(clip.cond_stage_model, "vocab_size", None)
    if vocab_size is None:
        raise ValueError("clip is not GLIDE's: connect the CLIP of the GlideLoader that loaded the upsampler")
    encoded = []
    for _, options in conditioning:
        if TOKENS not in options:
            raise ValueError("positive or negative is a CONDITIONING of another model family: use GlideTextEncode")
        if options[VOCABULARY] != vocab_size:
            raise ValueError(
                f"the prompt was encoded with a vocabulary of {options[VOCABULARY]} tokens, but the upsampler's CLIP "
                f"has {vocab_size}: encode it again with the upsampler's CLIP and GlideTextEncode"
            )
        added = {"pooled_output", ENCODER, TOKENS, VOCABULARY, UNCOND}
        kept = {key: value for key, value in options.items() if key not in added}
        encoded += clip.encode_from_tokens_scheduled(options[TOKENS], add_dict=kept)
    return encoded


def check_all(name: str, conditioning: list, model, batch: int) -> None:
    """``check`` a whole CONDITIONING, and that it holds one prompt, or one for each picture of the batch."""
    for cond, options in conditioning:
        check(options, model.encoder, model.config.kind)
        if cond.shape[0] not in (1, batch):
            raise ValueError(f"{name} holds {cond.shape[0]} prompts for {batch} pictures: give 1, or one per picture")
