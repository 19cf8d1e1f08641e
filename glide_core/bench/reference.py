"""OpenAI's implementation of GLIDE, where there is one to compare with: measurements and live tests use it."""

from __future__ import annotations

import importlib
import os
import sys
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from ..models.config import ModelConfig
from ..models.text2im import Text2Im


def load_reference() -> Any:
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


def reference_model(reference: Any, config: ModelConfig, fp16: bool = False) -> nn.Module:
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


def reference_like(reference: Any, model: Text2Im, fp16: bool = False) -> Any:
    """The reference's model with the weights of ours, in fp32, or in fp16 where it is asked for."""
    with torch.device("meta"):
        theirs = reference_model(reference, model.config, fp16)
    weights = {name: weight.float().contiguous() for name, weight in model.state_dict().items()}
    theirs.load_state_dict(weights, assign=True)
    if fp16:
        theirs.convert_to_fp16()  # type: ignore[operator]
    return theirs
