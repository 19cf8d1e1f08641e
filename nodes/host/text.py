"""GLIDE's tokenizer and text transformer as a ComfyUI CLIP."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.ops
import comfy.sd
import comfy.supported_models_base
import torch
from comfy.sd1_clip import escape_important, token_weights, unescape_important

from ...glide_core.diffusion.composition import predicted_parts
from ...glide_core.models.config import ModelConfig
from ...glide_core.models.text import TextTransformer
from ...glide_core.models.tokenizer import TokenizedPrompt, Tokenizer
from . import conditioning
from .attention import attention

TOKENS = "glide"  # the host's name of a token stream
LARGEST_WEIGHT = 100.0


def _unweighted(text: str) -> tuple[str, list[float]]:
    """A prompt in the host's syntax, "a (red:1.3) circle" -> "a red circle" and the weight of each character.

    Raises:
        ValueError: a weight is not a number, or absurdly large.
    """
    parts = [(unescape_important(part), weight) for part, weight in token_weights(escape_important(text), 1.0)]
    for part, weight in parts:
        if not abs(weight) <= LARGEST_WEIGHT:
            raise ValueError(
                f"the prompt gives {part[:40]!r} the weight {weight:g}: weights must be numbers from "
                f"-{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}, and useful ones are between 0 and 2"
            )
    return "".join(part for part, _ in parts), [weight for part, weight in parts for _ in part.lower()]


class HostTokenizer:
    """The interface of ComfyUI's tokenizers."""

    def __init__(self, embedding_directory=None, tokenizer_data={}):
        self.tokenizer: Tokenizer = tokenizer_data[TOKENS]

    def encode(self, text: str) -> tuple[TokenizedPrompt, list[float]]:
        """A prompt with weights -> its tokens, and the weight of each. Weights do not change the tokens."""
        plain, weights = _unweighted(text)
        encoded = self.tokenizer(plain)
        padding = [1.0] * (len(encoded.ids) - len(encoded.ends))
        return encoded, [weights[min(end, len(weights)) - 1] for end in encoded.ends] + padding

    def tokenize_with_weights(self, text: str, return_word_ids=False, **kwargs):
        """One row of (id, weight), or of (id, weight, word number) if return_word_ids is set."""
        encoded, weights = self.encode(text)
        columns = [encoded.ids, weights]
        if return_word_ids:
            columns.append([n if known else 0 for n, known in enumerate(encoded.mask, start=1)])
        return {TOKENS: [list(zip(*columns))]}

    def untokenize(self, pairs):
        return [(pair, self.tokenizer.decode([pair[0]])) for pair in pairs]

    def state_dict(self):
        return {}


class HostTextModel(torch.nn.Module):
    """The interface of ComfyUI's text encoders."""

    def __init__(self, config: ModelConfig, encoder: str, device=None, dtype=None, model_options={}):
        super().__init__()
        self.text = TextTransformer(
            config, operations=comfy.ops.manual_cast, attention=attention, device=device, dtype=dtype
        )
        self.encoder, self.vocab_size = encoder, config.vocab_size
        self.dtypes = {dtype}
        self.execution_device = device

    def set_clip_options(self, options):
        if options.get("layer") not in (None, -1):
            raise ValueError("the text transformer of GLIDE can only be used as a whole: take CLIPSetLastLayer out")
        self.execution_device = options.get("execution_device", self.execution_device)

    def reset_clip_options(self):
        self.execution_device = None

    def encode_token_weights(self, tokens):
        """Tokens -> xf_out [B, N, W], xf_proj [B, C], and the options that ``conditioning`` reads.

        A token's weight moves its part of xf_out away from that of the empty prompt, as the host does for its own
        models.
        """
        padding = self.vocab_size - 1
        ids, weights = (torch.tensor([[pair[n] for pair in row] for row in tokens[TOKENS]]) for n in (0, 1))
        ids = torch.cat([ids, torch.full_like(ids[:1], padding)]).to(self.execution_device)
        cond, pooled = (part.float() for part in self.text(ids, ids != padding))
        cond, pooled, uncond, uncond_pooled = cond[:-1], pooled[:-1], cond[-1:], pooled[-1:]
        cond = cond + (weights.to(cond)[..., None] - 1) * (cond - uncond)
        extra = {
            conditioning.ENCODER: self.encoder,
            conditioning.ENCODED: cond,
            conditioning.TOKENS: tokens,
            conditioning.VOCABULARY: self.vocab_size,
            conditioning.UNCOND: uncond,
            conditioning.UNCOND_POOLED: uncond_pooled,
        }
        return cond, pooled, extra

    def load_sd(self, sd):
        return self.text.load_state_dict(sd, strict=False, assign=getattr(self, "can_assign_sd", False))


def load_clip(
    state_dict: dict,
    config: ModelConfig,
    tokenizer: Tokenizer,
    encoder: str,
    dtype: torch.dtype | None,
    disable_dynamic: bool = False,
):
    """Make a CLIP.

    Args:
        dtype: of the weights. None means fp32, because the transformer is small, runs once for each prompt, and was
            published in fp32. It also stays in fp32 where 8 bits are asked for, which are meant for the U-Net.
        disable_dynamic: see ``load_model``.
    """
    target = comfy.supported_models_base.ClipTarget(HostTokenizer, HostTextModel)
    target.params = {"config": config, "encoder": encoder}
    parameters = sum(tensor.numel() for tensor in state_dict.values())
    options = {"dtype": dtype if dtype and dtype.itemsize > 1 else torch.float32}
    without = {"disable_dynamic": True} if disable_dynamic else {}  # older hosts have no such argument
    clip = comfy.sd.CLIP(
        target, tokenizer_data={TOKENS: tokenizer}, parameters=parameters, model_options=options, **without
    )
    clip.load_sd(state_dict)
    return clip


def tokenizer_of(clip) -> HostTokenizer:
    """Raises ValueError where the CLIP is not GLIDE's."""
    if not isinstance(clip.tokenizer, HostTokenizer):
        raise ValueError("clip is not GLIDE's: connect the CLIP of a GlideLoader")
    return clip.tokenizer


def encode(clip, prompt: str) -> list:
    """A prompt, of one part or of several that AND and NOT join -> CONDITIONING with an entry for each text to predict.

    The host adds up what the model predicts for the entries, each multiplied by its strength, and divides by the sum of
    all strengths. That sum is 1 here.

    Raises:
        ValueError: a weight in the prompt is not a number, or absurdly large.
    """
    parts = predicted_parts(prompt)
    # The host runs the last entry first, and the sampler ddpm takes the variance of the one that runs first.
    entries = []
    for part in reversed(parts):
        strength = {} if len(parts) == 1 else {"strength": part.weight}
        told = {conditioning.TEXTS: {0: prompt}, **strength}
        entries += clip.encode_from_tokens_scheduled(clip.tokenize(part.text), add_dict=told)
    return entries


def encode_batch(clip, prompts: Sequence[str]) -> list:
    """Prompts -> one CONDITIONING that holds all, for a batch of as many pictures.

    Raises:
        ValueError: the CLIP is not GLIDE's, a prompt has several parts that AND and NOT join, or a weight is wrong.
    """
    tokenizer_of(clip)
    composed = next((prompt for prompt in prompts if len(predicted_parts(prompt)) > 1), None)
    if composed is not None:
        raise ValueError(
            f"{composed[:40]!r} joins several prompts by AND or NOT, which a batch cannot hold: connect prompts to "
            "GlideTextEncode instead of clip"
        )
    rows = [clip.tokenize(prompt)[TOKENS][0] for prompt in prompts]
    return clip.encode_from_tokens_scheduled({TOKENS: rows}, add_dict={conditioning.TEXTS: dict(enumerate(prompts))})
