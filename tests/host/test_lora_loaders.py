"""A LoRA trained by `glide train` in ComfyUI's stock LoRA loaders: the picture of the model with it merged in."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from drawings import write_houses
from glide_core import cli
from glide_core.files import checkpoints
from graphs import Graph, pictures

LORA = {"lora_name": "lora.safetensors", "strength_model": 1.0}
PREFIXES = {"diffusion_model.": True, "text_encoders.text.": False}  # of a MODEL's weights, of a CLIP's


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """lora.safetensors after 3 steps, at so high a rate that it shows."""
    folder = tmp_path_factory.mktemp("lora")
    houses, out = write_houses(folder / "houses", 4), folder / "out"
    cli.main(
        [
            "train",
            str(houses),
            "--init",
            "tiny",
            "--lora",
            "4",
            "--out",
            str(out),
            "--steps",
            "3",
            "--batch",
            "2",
            "--lr",
            "0.02",
            "--warmup",
            "0",
            "--schedule",
            "constant",
            "--ema",
            "0",
            "--precision",
            "fp32",
            "--device",
            "cpu",
        ]
    )
    return out / "lora.safetensors"


def merged(lora, *, text):
    """tiny-base with the additions of a file: the formula of the paper, on the U-Net alone or on the text as well."""
    weights, config = checkpoints.read_model(checkpoints.find("tiny-base"))
    weights, additions = {name: tensor.float() for name, tensor in weights.items()}, load_file(lora)
    for name in additions:
        for prefix, unet in PREFIXES.items():
            if name.startswith(prefix) and name.endswith(".lora_up.weight") and (unet or text):
                layer = name.removesuffix(".lora_up.weight")
                up, down = (additions[f"{layer}.lora_{half}.weight"].float() for half in ("up", "down"))
                alpha = additions[f"{layer}.alpha"].float()
                weight = weights[f"{layer.removeprefix(prefix)}.weight"]
                weight += alpha / len(down) * (up.flatten(1) @ down.flatten(1)).view_as(weight)
    return weights, config


def picture(host, checkpoint="tiny-base (embedded)", lora=None):
    """What four steps of KSampler paint; lora: the class of the loader that adds the file to the model."""
    graph = Graph()
    model, clip, vae = graph.load(checkpoint)
    if lora == "LoraLoader":
        model, clip = graph.node(lora, 2, model=model, clip=clip, **LORA, strength_clip=1.0)
    elif lora:
        model = graph.node(lora, model=model, **LORA)
    latent = graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), seed=6)
    graph.node("SaveImage", images=graph.node("VAEDecode", samples=latent, vae=vae), filename_prefix="lora")
    return pictures(host, graph)[0]


@pytest.mark.parametrize("text", [False, True], ids=["LoraLoaderModelOnly", "LoraLoader"])
def test_the_loader_paints_what_the_merged_model_paints(host, trained, text):
    loras, models = host.base / "models" / "loras", host.base / "models" / "glide"
    for folder in (loras, models):
        folder.mkdir(parents=True, exist_ok=True)
    (loras / LORA["lora_name"]).write_bytes(trained.read_bytes())
    checkpoints.save(*merged(trained, text=text), models / f"merged-{text}.safetensors")
    (models / f"merged-{text}.tokenizer.json").write_bytes((checkpoints.TINY_FOLDER / "tokenizer.json").read_bytes())
    logged = len(host.log())
    loaded = picture(host, lora="LoraLoader" if text else "LoraLoaderModelOnly")
    log = host.log()[logged:]
    expected = picture(host, f"merged-{text}.safetensors")
    plain = picture(host)
    assert np.abs(loaded - expected).max() <= 2
    assert np.abs(loaded - plain).mean() > 5
    # Without a CLIP the loader tells that it leaves the text's additions; nothing else may be left.
    left = [line for line in log.splitlines() if "lora key not loaded" in line]
    assert all("text_encoders." in line for line in left) and bool(left) != text


def test_every_addition_is_of_both_networks(trained):
    assert {any(name.startswith(prefix) for name in load_file(trained)) for prefix in PREFIXES} == {True}
    assert all(torch.isfinite(tensor).all() for tensor in load_file(trained).values())
