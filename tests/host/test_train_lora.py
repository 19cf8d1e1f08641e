"""A LoRA that ComfyUI's own TrainLoraNode trains on GLIDE moves the picture towards the pictures that it was shown."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_workflows import skip_other_training

from graphs import Graph, latents
from stock import defaults, far

CAPTION = "a purple square on a yellow background"


def lessons():
    """8 pictures that look much alike, as Pillow images."""
    pictures = np.zeros((8, 64, 64, 3), np.uint8)
    for k, picture in enumerate(pictures):
        picture[:] = 230, 200 - 4 * k, 40
        picture[16 + k : 48 + k, 12:52] = 120, 30, 140 + 4 * k
    return [Image.fromarray(picture) for picture in pictures]


def paint(graph, model, clip):
    text = graph.text(clip, CAPTION), graph.text(clip, "")
    graph.save(graph.ksampler(model, *text, graph.empty(batch_size=2), steps=6))


def trained(host, graph, model, vae, caption, steps):
    """A LoRA of the lessons, which is saved, too."""
    first, *others = lessons()
    first.save(host.base / "input" / "lessons.png", save_all=True, append_images=others)  # LoadImage gives all 8
    info, infos = host.object_info("TrainLoraNode"), host.object_info()
    shown = graph.node("LoadImage", 2, image="lessons.png")[0]
    numbers = {"batch_size": 1, "steps": steps, "learning_rate": 5e-3, "rank": 8, "seed": 1, "training_dtype": "fp32"}
    links = {"model": model, "latents": graph.node("VAEEncode", pixels=shown, vae=vae), "positive": caption}
    outputs = graph.node("TrainLoraNode", len(info["output"]), **{**defaults(info), **links, **numbers})
    lora = outputs[info["output"].index("LORA_MODEL")]
    saver = "SaveLoRA" if "SaveLoRA" in infos else "SaveLoRANode"
    graph.node(saver, lora=lora, prefix=f"loras/trained_{steps}")
    return lora


def test_training_takes_captions_of_our_own_node(host):
    graph = Graph()
    model, clip, vae = graph.load()
    trained(host, graph, model, vae, graph.node("GlideTextEncode", clip=clip, text=CAPTION), steps=1)
    host.run(graph)
    assert list((host.base / "output" / "loras").glob("trained_1_*.safetensors"))


@pytest.mark.slow
def test_training_in_comfyui(host):
    infos, loras = host.object_info(), host.base / "models" / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    graph = Graph()
    model, clip, vae = graph.load()
    lora = trained(host, graph, model, vae, graph.text(clip, CAPTION), steps=50)
    loader = infos["LoraModelLoader"]
    paint(graph, model, clip)
    paint(graph, graph.node("LoraModelLoader", **{**defaults(loader), "model": model, "lora": lora}), clip)
    before, after = latents(host, graph)
    goal = torch.tensor(np.stack(lessons())).float().permute(0, 3, 1, 2).mean(dim=0) / 127.5 - 1
    assert (after - goal).abs().mean() < 0.5 * (before - goal).abs().mean()

    (saved,) = (host.base / "output" / "loras").glob("trained_50_*.safetensors")
    (loras / "trained.safetensors").write_bytes(saved.read_bytes())
    logged = len(host.log())
    graph = Graph()
    model, clip, _ = graph.load()
    strengths = {"strength_model": 1.0, "strength_clip": 1.0}
    paint(graph, *graph.node("LoraLoader", 2, model=model, clip=clip, lora_name="trained.safetensors", **strengths))
    assert far(latents(host, graph)[0], after) < 1e-3
    assert "lora key not loaded" not in host.log()[logged:]


@pytest.mark.slow
def test_the_examples_train_and_use_a_lora(host, photos):
    skip_other_training(host, "train_lora")
    few = {"steps": "6"}
    graph = Graph.example("train_lora", Paint_with_it=few, Paint_without_it=few, SaveLoRA={"prefix": "loras/example"})
    for sampler in ("Paint without it", "Paint with it"):
        graph.save([graph.number(sampler), 0])
    before, after = latents(host, graph)
    goal = torch.tensor(np.stack(lessons())).float().permute(0, 3, 1, 2).mean(dim=0) / 127.5 - 1
    assert (after - goal).abs().mean() < 0.5 * (before - goal).abs().mean()

    (saved,) = (host.base / "output" / "loras").glob("example*.safetensors")
    graph = Graph.example("use_lora", LoraLoader={"lora_name": saved.name}, GlideSampler=few)
    graph.save([graph.number("GlideSampler"), 0])
    assert far(latents(host, graph)[0], after) < 1e-2
