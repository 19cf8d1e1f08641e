"""Noised CLIPs for tests: the golden set's small one, and one that a test can train."""

import dataclasses

import torch
import yaml

from glide_core.files.checkpoints import TINY_FOLDER
from glide_core.files.clip_checkpoints import of_words
from glide_core.models.clip import NoisedClip, own_names, published_names
from glide_core.models.clip_config import TINY_CLIP, ClipConfig
from glide_core.models.clip_tokenizer import ClipTokenizer
from glide_core.models.tokenizer import Tokenizer
from glide_core.train.clip_initial import initialise

SMALL = dataclasses.replace(
    TINY_CLIP, image_size=16, text_width=16, text_layers=1, text_heads=2, image_width=16, image_layers=1, image_heads=2
)


def small_clip():
    """A very small one with random weights, and the embedded models' words."""
    torch.manual_seed(0)
    model = NoisedClip(SMALL)
    initialise(model)
    words = Tokenizer.from_file(TINY_FOLDER / "tokenizer.json", SMALL.text_ctx)
    return model.requires_grad_(False), of_words(words, SMALL.text_ctx)


def golden_config(golden):
    """The sizes in clip_small.yaml, by our names."""
    y = yaml.safe_load((golden.dir / "clip_small.yaml").read_text())
    return ClipConfig(
        image_size=y["image_size"],
        patch_size=y["patch_size"],
        embed_width=y["n_embd"],
        text_ctx=y["max_text_len"],
        vocab_size=y["n_vocab"],
        text_width=y["n_head_text"] * y["n_head_state_text"],
        text_layers=y["n_xf_blocks_text"],
        text_heads=y["n_head_text"],
        image_width=y["n_head_image"] * y["n_head_state_image"],
        image_layers=y["n_xf_blocks_image"],
        image_heads=y["n_head_image"],
        timesteps=y["n_timesteps"],
        logit_scale=y["logit_scale"],
    )


def golden_clip(golden, dtype=torch.float32, device="cpu"):
    """The small noised CLIP of the golden set and its tokenizer."""
    config = golden_config(golden)
    model = NoisedClip(config, dtype=dtype)
    for encoder in (model.text, model.image):
        names = published_names(encoder.state_dict())
        encoder.load_state_dict(own_names({name: golden.weight(name, t.shape).to(dtype) for name, t in names.items()}))
    return model.eval().requires_grad_(False).to(device), ClipTokenizer.openai(config.text_ctx)
