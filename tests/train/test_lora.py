"""LoRA: what is trained, what it computes, and its file."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from glide_core.choices import MAX_RANK
from glide_core.errors import CheckpointError, OptionError
from glide_core.files import checkpoints
from glide_core.models.text2im import Text2Im
from glide_core.train import lora
from glide_core.train.initial import initialise
from glide_core.train.optim import trained
from small_models import BASE

RANK = 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Text2Im(BASE)
    initialise(model)
    return model


def with_additions(model):
    lora.add(model, RANK, scale=2.0)
    for name, p in trained(model).items():
        if name.endswith("up"):
            torch.nn.init.normal_(p, std=0.1)
    return model


def run(model):
    torch.manual_seed(1)
    x, tokens = torch.randn(2, 3, 16, 16), torch.randint(0, 500, (2, BASE.text_ctx))
    with torch.no_grad():
        return model(x, torch.tensor([10.0, 900.0]), tokens, torch.ones_like(tokens, dtype=torch.bool))


def test_additions_are_zero_at_first_and_all_that_is_trained(model):
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1)
    before = run(model)
    lora.add(model, RANK)
    torch.testing.assert_close(run(model), before)
    assert {name.rsplit(".", 1)[1] for name in trained(model)} == {"up", "down"}


@pytest.mark.parametrize("rank", [-1, 0, MAX_RANK + 1, 100_000])
def test_a_rank_that_makes_no_sense_is_refused(model, rank):
    with pytest.raises(OptionError, match=f"--lora {rank}: the rank of a LoRA is from 1 to {MAX_RANK}"):
        lora.add(model, rank)


def test_a_frozen_part_gets_none(model):
    model.text.requires_grad_(False)
    lora.add(model, RANK)
    assert all(not name.startswith("transformer") for name in trained(model))


def test_the_merged_model_computes_the_same(model):
    with_additions(model)
    plain = Text2Im(BASE)
    plain.load_state_dict(lora.merged(model))
    torch.testing.assert_close(run(plain), run(model), atol=1e-5, rtol=1e-4)


def test_the_file_has_the_weights_and_the_names_of_both_parts(model, tmp_path):
    original = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with_additions(model)
    lora.save(model, tmp_path / "lora.safetensors", notes={"step": 7})
    merged = lora.merged(model)
    with safe_open(tmp_path / "lora.safetensors", "pt") as file:
        assert file.metadata() == {"glide_kind": "base", "step": "7"}
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    layers = {name.removesuffix(".lora_up.weight") for name in tensors if name.endswith("lora_up.weight")}
    assert 3 * len(layers) == len(tensors)
    for layer in layers:
        name = f"{layer.removeprefix('diffusion_model.').removeprefix('text_encoders.text.')}.weight"
        up, down = tensors[f"{layer}.lora_up.weight"], tensors[f"{layer}.lora_down.weight"]
        scale = tensors[f"{layer}.alpha"].item() / len(down)
        change = scale * (up.flatten(1) @ down.flatten(1)).view_as(original[name])
        torch.testing.assert_close(merged[name], original[name] + change, atol=2e-3, rtol=1e-2)
    assert any(layer.startswith("text_encoders.text.") for layer in layers)


def test_the_file_applied_to_the_plain_model_gives_the_merged_one(model, tmp_path):
    plain = Text2Im(BASE)
    plain.load_state_dict(model.state_dict())
    with_additions(model)
    lora.save(model, tmp_path / "lora.safetensors")
    before = run(plain)
    lora.apply(plain, tmp_path / "lora.safetensors", 0.0)
    torch.testing.assert_close(run(plain), before)
    lora.apply(plain, tmp_path / "lora.safetensors")
    torch.testing.assert_close(run(plain), run(model), atol=1e-3, rtol=1e-2)
    assert (run(plain) - before).abs().max() > 0.05


def test_the_strength_of_a_named_file():
    assert lora.named("a/b.safetensors:0.5") == (Path("a/b.safetensors"), 0.5)
    assert lora.named("C:/b.safetensors") == (Path("C:/b.safetensors"), 1.0)


def test_a_file_that_does_not_fit_is_refused(model, tmp_path):
    with pytest.raises(CheckpointError, match="there is no such file"):
        lora.apply(model, tmp_path / "none.safetensors")
    checkpoints.save(model.state_dict(), BASE, tmp_path / "base.safetensors")
    with pytest.raises(CheckpointError, match="this is no LoRA"):
        lora.apply(model, tmp_path / "base.safetensors")
    with_additions(model)
    lora.save(model, tmp_path / "lora.safetensors")
    other = Text2Im(dataclasses.replace(BASE, num_channels=16))
    with pytest.raises(CheckpointError, match="does not fit the base model"):
        lora.apply(other, tmp_path / "lora.safetensors")
