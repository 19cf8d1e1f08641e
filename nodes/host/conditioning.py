"""What GLIDE adds to ComfyUI's CONDITIONING, a list of [xf_out, options].

The options hold the host's "pooled_output" (xf_proj) and these of GLIDE: the token ids, so that the upsampler can
encode the same prompt with its own text transformer; the empty prompt, encoded by the same transformer; a tag that says
which transformer that was; and xf_out as it was encoded, which shows whether a node changed it later.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from ...glide_core.editing import regions
from ...glide_core.errors import counted
from ...glide_core.models.config import UPSCALE, ModelConfig

ENCODER, TOKENS, VOCABULARY, UNCOND, UNCOND_POOLED, ENCODED, LOW_RES = (
    "glide_encoder",
    "glide_tokens",
    "glide_vocab_size",
    "glide_uncond",
    "glide_uncond_pooled",
    "glide_encoded",
    "glide_low_res",
)
# The prompts as they were written, for captions alone: {place: text}, because TrainLoraNode walks through lists, and
# through the letters of a text in one without end.
TEXTS = "glide_texts"
WHERE_AND_WHEN = {"area", "mask", "strength", "mask_strength", "set_area_to_bounds", "start_percent", "end_percent"}


def encoder_tag(text_state_dict: dict[str, Tensor]) -> str:
    """A name for a text transformer, because base model and upsampler have different ones of equal shape."""
    digest = hashlib.sha256()
    for name in ("final_ln.weight", "transformer_proj.bias", "positional_embedding"):
        digest.update(text_state_dict[name].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def require_encoder(options: dict, encoder: str, kind: str, name: str = "positive or negative") -> None:
    """Raise ValueError unless the conditioning was made by the text transformer of this model.

    Args:
        kind: of the model, for errors; name: of the input, for errors.
    """
    own = f"encode the prompt with GlideTextEncode and the CLIP of the GlideLoader that loaded the {kind} model"
    if options.get(ENCODER) is None:
        raise ValueError(f"{name} is a CONDITIONING of another model family: {own}")
    if options[ENCODER] != encoder:
        raise ValueError(
            f"{name} is a CONDITIONING of another GLIDE model's text transformer: {own} (GlideUpsampler does that by "
            "itself)"
        )
    if options.get("control") is not None or options.get("gligen") is not None:
        raise ValueError(f"a GLIDE {kind} model can use neither ControlNets nor GLIGEN: take those nodes out")


def text_of(options: dict) -> tuple[Tensor, Tensor]:
    """xf_out and xf_proj. What ConditioningZeroOut made is read as the empty prompt, as for other models."""
    xf_out = options["cross_attn"]
    return (xf_out, options["pooled_output"]) if xf_out.any() else (options[UNCOND], options[UNCOND_POOLED])


def check_area(area: tuple[int, ...] | None, config: ModelConfig) -> None:
    """Raise ValueError if the model cannot paint this (height, width, y, x) alone."""
    if area is None:
        return
    (height, width), smallest = area[:2], config.image_size // 4
    if min(height, width) < smallest or height % config.size_multiple or width % config.size_multiple:
        raise ValueError(
            f"the area of a CONDITIONING is {width}x{height} pixels, but this GLIDE model needs sides of at least "
            f"{smallest} that are multiples of {config.size_multiple}. ConditioningSetArea divides its numbers by 8: "
            "give 8 times as many, or use ConditioningSetAreaPercentage. ConditioningSetMask with set_cond_area "
            "'default' takes any shape"
        )


def low_res_of(options: dict) -> Tensor:
    """The picture [B, 3, h, w] in -1..1 that an upsampler enlarges."""
    if options.get(LOW_RES) is None:
        raise ValueError(
            "a GLIDE upsampler needs the picture to enlarge: use GlideUpsampler, or GlideUpsampleConditioning before "
            "another sampler"
        )
    return options[LOW_RES]


def for_upsampler(clip, conditioning: list, picture: Tensor) -> list:
    """The same prompts for an upsampler: encoded with its CLIP, and with the picture [B, 3, h, w] in -1..1 to enlarge.

    The prompts must have passed ``require_repeatable``.
    """
    return [
        [cond, {**_with_larger_area(options), LOW_RES: picture}] for cond, options in encode_again(clip, conditioning)
    ]


def _with_larger_area(options: dict) -> dict:
    """An area in pixels grows with the picture."""
    area = options.get("area")
    if area is None or area[0] == "percentage":
        return options
    return {**options, "area": tuple(UPSCALE * number for number in area)}


def with_surroundings(conditioning: list, picture: Tensor, mask: Tensor) -> list:
    """Add what the stock InpaintModelConditioning adds.

    Args:
        picture: [B, 3, H, W] in -1..1.
        mask: [B, 1, H, W], 1 = repaint.
    """
    keys = {"concat_latent_image": picture, "concat_mask": mask}
    return [[cond, {**options, **keys}] for cond, options in conditioning]


def cut_masks(conditioning: list, image: Tensor, squares: list[regions.Region], size: int) -> list:
    """The prompts for squares of an image: the masks of ConditioningSetMask are cut as the image is.

    Args:
        image: [B, H, W, C], which these masks are stretched to.
        squares: one for each picture; size: their sides in the cut pictures, in pixels.
    """
    cut = []
    for cond, options in conditioning:
        if "mask" in options:
            mask = regions.fit(image, options["mask"])
            options = {**options, "mask": regions.cut(image, mask, squares, size)[1]}
        cut.append([cond, options])
    return cut


def shown_from(conditioning: list, percent: float) -> list:
    """Split a CONDITIONING in time: the surroundings are hidden before this share of the process (0..1), then shown."""
    parts = []
    for start, end, hidden in ((0.0, percent, True), (percent, 1.0, False)):
        for cond, options in conditioning:
            start_percent = max(start, options.get("start_percent", 0.0))
            end_percent = min(end, options.get("end_percent", 1.0))
            mask = torch.ones_like(options["concat_mask"]) if hidden else options["concat_mask"]
            times = {"start_percent": start_percent, "end_percent": end_percent}
            if start_percent < end_percent:
                parts.append([cond, {**options, **times, "concat_mask": mask}])
    return parts


def unconditional(conditioning: list) -> list:
    """The empty prompt, encoded by the same text transformer as this conditioning."""
    options = {key: value for key, value in conditioning[0][1].items() if key not in WHERE_AND_WHEN}
    return [[options[UNCOND], {**options, "pooled_output": options[UNCOND_POOLED]}]]


def require_repeatable(clip, name: str, conditioning: list) -> None:
    """Raise ValueError unless these prompts can be encoded again with the CLIP of another GLIDE model.

    That is so unless the conditioning or the CLIP is not GLIDE's, their vocabularies differ, or a node changed the
    encoded prompt, so that its tokens alone do not give it again.

    Args:
        name: of the input, for errors.
    """
    vocab_size = getattr(clip.cond_stage_model, "vocab_size", None)
    if vocab_size is None:
        raise ValueError("clip is not GLIDE's: connect the CLIP of the GlideLoader that loaded the upsampler")
    for cond, options in conditioning:
        if TOKENS not in options:
            raise ValueError(f"{name} is a CONDITIONING of another model family: use GlideTextEncode")
        if options[VOCABULARY] != vocab_size:
            raise ValueError(
                f"{name} was encoded with a vocabulary of {options[VOCABULARY]} tokens, but the upsampler's clip has "
                f"{vocab_size}: encode it again with the upsampler's CLIP and GlideTextEncode"
            )
        encoded = options[ENCODED]
        if cond.any() and (cond.shape != encoded.shape or not torch.equal(cond, encoded.to(cond))):
            raise ValueError(
                f"{name} was changed after it was encoded (by ConditioningAverage, ConditioningConcat or the like), so "
                "its prompt cannot be encoded again for the upsampler: connect the CONDITIONING from before that node"
            )


def encode_again(clip, conditioning: list) -> list:
    """Encode the same prompts with another GLIDE model's CLIP; areas, strengths and time ranges are kept.

    What ConditioningZeroOut zeroed is zeroed again. See ``require_repeatable`` for what else must not be changed.
    """
    encoded = list[list[Any]]()
    for cond, options in conditioning:
        added = {"pooled_output", ENCODER, TOKENS, VOCABULARY, UNCOND, UNCOND_POOLED, ENCODED}
        kept = {key: value for key, value in options.items() if key not in added}
        again = clip.encode_from_tokens_scheduled(options[TOKENS], add_dict=kept)
        encoded += again if cond.any() else [[torch.zeros_like(new), others] for new, others in again]
    return encoded


def require_prompt_each(name: str, conditioning: list, pictures: int) -> None:
    """Raise ValueError unless each part of the CONDITIONING holds one prompt, or one for each picture."""
    for cond, _ in conditioning:
        if cond.shape[0] not in (1, pictures):
            raise ValueError(
                f"{name} holds {cond.shape[0]} prompts for {counted(pictures, 'picture')}: give one prompt, or one for "
                "each picture"
            )


def texts_of(conditioning: list, pictures: int) -> list[str]:
    """The prompt of each picture as it was written, or "" where another node than GLIDE's encoded it."""
    texts = conditioning[0][1].get(TEXTS, {0: ""}) if conditioning else {0: ""}
    return [texts[min(k, len(texts) - 1)] for k in range(pictures)]
