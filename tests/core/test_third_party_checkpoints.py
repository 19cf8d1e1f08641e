"""Files as the public fine-tunes of GLIDE and their tools write them: each is loaded, or refused with the reason.

They have the names, wrappers, dtypes and shapes of the real ones, with fewer and narrower blocks: laionide v2 and v3
and pyglide's models are plain state dicts of the published architecture with GPT-2's vocabulary, in fp32 or fp16.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from glide_core.errors import CheckpointError
from glide_core.files import checkpoints, detect
from glide_core.models.config import BASE, UPSAMPLE, ModelConfig

NARROW = {"num_channels": 64, "num_res_blocks": 1, "xf_width": 32, "xf_layers": 1, "xf_heads": 1}
CONFIGS = {
    "base": dataclasses.replace(BASE, channel_mult=(1, 1, 1, 1), **NARROW),
    "upsample": dataclasses.replace(UPSAMPLE, channel_mult=(1, 1, 1, 1, 1, 1), **NARROW),
}
CONFIGS |= {f"{kind}-inpaint": dataclasses.replace(config, inpaint=True) for kind, config in CONFIGS.items()}
PARTS_IN_HALF = ("input_blocks.", "middle_block.", "output_blocks.", "transformer.")  # of the reference's fp16 mode

Weights = detect.StateDict


@pytest.fixture(scope="module")
def of_kind():
    """Random weights of each kind, made once. They do not matter, but no two tensors are equal."""
    made: dict[str, Weights] = {}

    def weights(kind: str) -> Weights:
        if kind not in made:
            generator = torch.Generator().manual_seed(len(made))
            shapes = detect.shapes(CONFIGS[kind])
            made[kind] = {name: torch.randn(shape, generator=generator).half() for name, shape in shapes.items()}
        return made[kind]

    return weights


def prefixed(weights: Weights, prefix: str) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


def as_fp32(weights: Weights) -> Weights:
    return {name: tensor.float() for name, tensor in weights.items()}


def partly_fp16(weights: Weights) -> Weights:
    return {name: tensor if name.startswith(PARTS_IN_HALF) else tensor.float() for name, tensor in weights.items()}


def deepspeed(weights: Weights) -> dict[str, object]:
    shapes = OrderedDict((name, tensor.shape) for name, tensor in weights.items())
    state = {"module": prefixed(weights, "module."), "param_shapes": [shapes], "buffer_names": [], "optimizer": None}
    return {**state, "ds_version": "0.5.8", "global_steps": 6569, "mp_world_size": 1, "csr_tensor_module_names": set()}


def lightning(weights: Weights) -> dict[str, object]:
    callbacks = {"ModelCheckpoint": {"best_model_score": torch.tensor(0.03), "best_model_path": "last.ckpt"}}
    state = {"state_dict": prefixed(weights, "glide_model."), "callbacks": callbacks, "lr_schedulers": []}
    return {**state, "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}], "hparams": {"lr": 1e-5}}


def accelerate(weights: Weights) -> dict[str, object]:
    return {"model_state_dict": prefixed(weights, "module._orig_mod."), "step": 400, "loss": torch.tensor(0.1)}


def with_averages(weights: Weights) -> dict[str, object]:
    return {"model": {name: -tensor for name, tensor in weights.items()}, "ema": weights, "ema_decay": 0.9999}


# Of each file: what wraps the weights, and which model it is. Names that end in .safetensors are written as such.
LOADED = {
    "laionide-v2-base.pt": ("base", as_fp32),
    "laionide-v2-sr.pt": ("upsample", as_fp32),
    "laionide-v3-base.pt": ("base", dict),
    "pyglide-coco-base.pt": ("base", partly_fp16),
    "pyglide-coco-upsample.pt": ("upsample", partly_fp16),
    "glide-ft-3x1200.pt": ("base", OrderedDict),
    "glide-ft-inpaint-0x400.pt": ("base-inpaint", as_fp32),
    "upsample-inpaint-ft.pt": ("upsample-inpaint", dict),
    "mp_rank_00_model_states.pt": ("base", deepspeed),
    "last.ckpt": ("base", lightning),
    "accelerate-compiled.pt": ("upsample", accelerate),
    "averaged.pth": ("base", with_averages),
    "several-gpus.pt": ("upsample", lambda w: prefixed(w, "module.")),
    "exported.safetensors": ("base-inpaint", lambda w: prefixed(w, "glide_model.")),
    "ema-alone.pt": ("base", lambda w: {"ema": w, "step": 8000}),
    "compiled.safetensors": ("base", lambda w: prefixed(w, "_orig_mod.")),
    "kohya-style.safetensors": ("base", lambda w: {name: tensor.bfloat16() for name, tensor in w.items()}),
    "quantized-storage.safetensors": ("base", lambda w: {n: t.to(torch.float8_e4m3fn) for n, t in w.items()}),
}


def peft_adapter(weights: Weights) -> Weights:
    name = "base_model.model.transformer.resblocks.0.attn.c_qkv"
    return {f"{name}.lora_A.weight": torch.zeros(4, 64), f"{name}.lora_B.weight": torch.zeros(192, 4)}


def optimizer_alone(weights: Weights) -> dict[str, object]:
    return {"optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}}, "torch_rng_state": torch.zeros(8)}


def with_clip_adapter(weights: Weights) -> Weights:
    return {**weights, "clip_adapter.mlp.0.weight": torch.zeros(8, 8).half()}


def of_unet_alone(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if "transformer" not in name}


def with_labels(weights: Weights) -> Weights:
    """As guided-diffusion's class-conditional models, from which GLIDE's U-Net comes."""
    unet = {
        name: tensor for name, tensor in weights.items() if name.startswith(("input_", "middle_", "output_", "out."))
    }
    return {**unet, "label_emb.weight": torch.zeros(1000, 256)}


REFUSED = {
    "adapter_model.safetensors": ("base", peft_adapter, "this is a LoRA, not a whole model"),
    "interrupted_optimizer.pt": ("base", optimizer_alone, "not a GLIDE model"),
    "with-clip-adapter.pt": ("base", with_clip_adapter, "'clip_adapter.mlp.0.weight' of shape .* is unexpected"),
    "unet-only.pt": ("base", of_unet_alone, "not a GLIDE model: it has no tensor 'transformer_proj.weight'"),
    "imagenet-classes.pt": ("base", with_labels, "not a GLIDE model: it has no tensor 'positional_embedding'"),
}


def write(path, content) -> None:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)


def as_written(config: ModelConfig) -> ModelConfig:
    """What the tensors of a config say: the rest is taken from the published model of its kind."""
    published = UPSAMPLE if config.low_res else BASE
    return dataclasses.replace(config, num_head_channels=published.num_head_channels)


@pytest.mark.parametrize("name", LOADED)
def test_it_loads(name, of_kind, tmp_path):
    kind, wrapped = LOADED[name]
    weights = of_kind(kind)
    write(tmp_path / name, wrapped(weights))
    state_dict, config = checkpoints.read_model(tmp_path / name)
    assert config == as_written(CONFIGS[kind])
    assert state_dict.keys() == weights.keys()
    for tensor_name, tensor in weights.items():
        exact = state_dict[tensor_name].dtype in (torch.float16, torch.float32)
        torch.testing.assert_close(
            state_dict[tensor_name].float(), tensor.float(), rtol=0 if exact else 0.1, atol=0 if exact else 0.01
        )
    assert checkpoints.tokenizer_for(config, tmp_path / name).vocab_size == 50257  # GPT-2's, which is embedded


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name, of_kind, tmp_path):
    kind, wrapped, reason = REFUSED[name]
    write(tmp_path / name, wrapped(of_kind(kind)))
    with pytest.raises(CheckpointError, match=f"{name}: .*{reason}"):
        checkpoints.read_model(tmp_path / name)


def test_there_are_twenty_of_them():
    assert len(LOADED) + len(REFUSED) >= 20
