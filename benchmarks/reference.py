"""OpenAI's implementation of GLIDE, where there is one to compare with: benchmarks and live tests use it."""

from __future__ import annotations

import importlib
import os
import sys
from types import SimpleNamespace

from torch import nn

from glide_core.models.config import ModelConfig


def load_reference():
    """Import ``glide_text2im.model_creation``, from the checkout in GLIDE_REFERENCE if set; None: there is none."""
    checkout = os.environ.get("GLIDE_REFERENCE")
    if checkout and checkout not in sys.path:
        sys.path.insert(0, checkout)
    try:
        return importlib.import_module("glide_text2im.model_creation")
    except ModuleNotFoundError as error:
        if error.name != "glide_text2im" or checkout:
            raise
        return None


def reference_model(reference, config: ModelConfig, fp16: bool = False) -> nn.Module:
    """The reference's model of this config, in eval mode; its GroupNorms always have 32 groups."""
    options = reference.model_and_diffusion_defaults()
    del options["diffusion_steps"], options["noise_schedule"], options["timestep_respacing"]
    options |= {name: getattr(config, name) for name in options if hasattr(config, name)}
    options |= {
        "channel_mult": ",".join(map(str, config.channel_mult)),
        "attention_resolutions": ",".join(map(str, config.attention_resolutions)),
        "super_res": config.low_res,
        "use_fp16": fp16,
    }
    # The model only asks its tokenizer for the number of ids, and the vocabulary may be missing from a checkout.
    reference.get_encoder = lambda: SimpleNamespace(n_vocab=config.vocab_size)
    return reference.create_model(**options).eval()
