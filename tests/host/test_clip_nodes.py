"""The noised CLIP in real ComfyUI: guidance with every way to sample, scores, and the best of a batch."""

import time

import numpy as np
import pytest
import torch
from PIL import Image

from glide_core.diffusion.clip_guidance import ClipGuide
from glide_core.models.config import TINY_BASE
from glide_core.pipeline import Sampling, Stage, generate
from glide_core.scoring import load_clip
from graphs import INPAINT, PROMPT, UPSAMPLE, Graph, failure, finished_latents, latents
from hosts import HostError

SCALE = 30.0
STEPS = "6"
POOLED = 4 * TINY_BASE.num_channels  # numbers that the text encoder of the embedded base gives for a prompt


class Guided(Graph):
    """A base model and its noised CLIP; ``guide`` gives a guided MODEL, ``paint`` a LATENT and an IMAGE."""

    def __init__(self, checkpoint="tiny-base (embedded)"):
        super().__init__()
        self.model, self.clip, self.vae = self.load(checkpoint)
        self.glide_clip = self.node(
            "GlideCLIPLoader",
            image_encoder="tiny-clip (embedded)",
            text_encoder="in the same file, or beside it",
            dtype="fp32",
        )
        self.positive, self.negative = self.text(self.clip), self.text(self.clip, "")

    def guide(self, model=None, **changes):
        options = {"scale": SCALE, "guide_from": 0.0, "guide_until": 1.0, "every": 1, "save_memory": False}
        links = {"model": model or self.model, "glide_clip": self.glide_clip}
        return self.node("GlideCLIPGuidance", **{**links, "text": PROMPT, **options, **changes})

    def paint(self, model, latent, **changes):
        options = {"seed": 5, "steps": STEPS, "sampler": "ddpm", "guidance_scale": 3.0, "eta": 0.0}
        rest = {"threshold": 0.0, "denoise": 1.0}
        links = {"model": model, "positive": self.positive, "latent": latent}
        return self.node("GlideSampler", 2, **links, **{**options, **rest, **changes})


@pytest.fixture(scope="module")
def clip():
    return load_clip("tiny-clip")


def test_guidance_with_every_way_to_sample(host, clip):
    """GlideSampler and SamplerCustomAdvanced paint what the library does; KSampler is guided, too."""
    graph = Guided()
    guided, latent = graph.guide(), graph.empty()
    graph.save(graph.paint(graph.model, latent)[0])
    graph.save(graph.paint(guided, latent)[0])
    graph.save(graph.paint(guided, latent, guidance_scale=1.0, threshold=0.9)[0])
    guider = graph.node("CFGGuider", model=guided, positive=graph.positive, negative=graph.negative, cfg=3.0)
    graph.save(
        graph.node(
            "SamplerCustomAdvanced",
            2,
            noise=graph.node("GlideNoise", seed=5, temperature=1.0),
            guider=guider,
            sampler=graph.node("GlideSamplerSelect", sampler="ddpm", eta=0.0),
            sigmas=graph.node("GlideScheduler", model=guided, steps=STEPS, denoise=1.0),
            latent_image=latent,
        )[0]
    )
    for model in (graph.model, guided, graph.guide(guide_from=1.0), graph.guide(save_memory=True)):
        graph.save(graph.ksampler(model, graph.positive, graph.negative, latent, steps=6))
    plain, ours, alone, custom, k_plain, k_guided, k_never, k_saving = latents(host, graph)

    stage, guide = Stage.load("tiny-base"), ClipGuide(clip, scale=SCALE)
    expected = generate(stage, [PROMPT], Sampling(STEPS), seed=5, clip=guide)
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-2)
    assert (plain - expected).abs().mean() > 10 * (ours - expected).abs().mean()
    expected = generate(stage, [PROMPT], Sampling(STEPS, guidance_scale=1.0, threshold=0.9), seed=5, clip=guide)
    torch.testing.assert_close(alone, expected, rtol=0, atol=2e-2)
    torch.testing.assert_close(custom, ours, rtol=0, atol=1e-4)
    torch.testing.assert_close(k_never, k_plain, rtol=0, atol=0)
    torch.testing.assert_close(k_saving, k_guided, rtol=0, atol=1e-4)
    assert (k_guided - k_plain).abs().mean() > 1e-3


def test_the_upsampler_is_guided(host):
    graph = Guided()
    model, upsampler_clip, _ = graph.load(UPSAMPLE)
    small, _ = graph.paint(graph.model, graph.empty(32, 32), steps="2")
    for each in (model, graph.guide(model)):
        options = {"seed": 5, "steps": "2", "sampler": "ddim", "guidance_scale": 1.0, "eta": 0.0, "temperature": 1.0}
        links = {"model": each, "clip": upsampler_clip, "positive": graph.positive, "latent": small}
        graph.save(graph.node("GlideUpsampler", 2, **links, **options)[0])
    plain, guided = latents(host, graph)
    assert 1e-4 < (plain - guided).abs().mean() < 0.5


def test_inpainting_keeps_what_is_known(host):
    graph = Guided(INPAINT)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    picture[..., 3] = 255
    picture[16:48, 20:52, 3] = 0
    name = host.upload_image(Image.fromarray(picture), "clip-hole.png")
    image, mask = graph.node("LoadImage", 2, image=name)
    masked = graph.node("SetLatentNoiseMask", samples=graph.node("VAEEncode", pixels=image, vae=graph.vae), mask=mask)
    graph.save(graph.node("VAEEncode", pixels=image, vae=graph.vae))
    for model in (graph.model, graph.guide()):
        graph.save(graph.ksampler(model, graph.positive, graph.negative, masked))
    given, plain, guided = latents(host, graph)
    kept = torch.from_numpy(picture[..., 3] > 0)
    torch.testing.assert_close(guided[..., kept], given[..., kept], rtol=0, atol=1e-6)
    assert (guided - plain)[..., ~kept].abs().mean() > 1e-3


def test_scores_and_the_best(host, clip):
    graph = Guided()
    _, images = graph.paint(graph.model, graph.empty(batch_size=3))
    latent, _ = graph.paint(graph.model, graph.empty(batch_size=3))
    graph.save(latent)
    best, scores, places = graph.node(
        "GlideBest",
        3,
        image=images,
        text=PROMPT,
        keep=2,
        glide_clip=graph.glide_clip,
        seed=graph.node("PrimitiveInt", value=5),
    )
    graph.node("SaveImage", images=best, filename_prefix="best")
    graph.node("PreviewAny", source=scores)
    graph.node("PreviewAny", source=places)
    all_scores = graph.node("GlideCLIPScore", image=images, glide_clip=graph.glide_clip, text=PROMPT)
    graph.node("PreviewAny", source=all_scores)
    outputs = host.run(graph)
    (batch,) = finished_latents(host, graph, outputs)
    expected = clip.scores(batch, [PROMPT] * 3)
    shown = [outputs[number]["text"] for number in graph if graph[number]["class_type"] == "PreviewAny"]
    order = expected.argsort(descending=True)[:2].tolist()
    assert [int(text) for text in shown[1]] == order
    np.testing.assert_allclose([float(text) for text in shown[0]], expected[order], atol=1e-3)
    np.testing.assert_allclose([float(text) for text in shown[2]], expected, atol=1e-3)
    saved = [host.image(entry) for entry in outputs[graph.number("SaveImage")]["images"]]
    assert len(saved) == 2
    np.testing.assert_allclose(saved[0], (batch[order[0]].movedim(0, -1).numpy() + 1) * 127.5, atol=2)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"text": "  "}, "GlideCLIPGuidance: the text for CLIP is empty"),
        ({"scale": float("nan")}, "scale"),
        ({"guide_from": 0.9, "guide_until": 0.1}, "guide_from"),
        ({"text": "word " * 5000}, None),
    ],
)
def test_bad_guidance(host, changes, told):
    graph = Guided()
    graph.save(graph.paint(graph.guide(**changes), graph.empty(32, 32), steps="1")[0])
    if told:
        assert told in failure(host, graph)
    else:
        host.run(graph)


def test_best_without_a_judge(host):
    graph = Guided()
    _, images = graph.paint(graph.model, graph.empty(32, 32), steps="1")
    graph.node("PreviewImage", images=graph.node("GlideBest", 3, image=images, text=PROMPT, keep=1)[0])
    assert "connect either glide_clip, or clip_vision and clip" in failure(host, graph)


def test_a_standard_clip_chooses_too_if_its_halves_fit(host):
    graph = Guided()
    _, images = graph.paint(graph.model, graph.empty(32, 32, batch_size=3), steps="1")
    links = {"image": images, "text": "a star AND a heart :0.5 NOT a cross", "keep": 2}
    right, scores, _ = graph.node("GlideBest", 3, **links, **standard(graph, POOLED))
    graph.node("PreviewImage", images=right)
    graph.node("PreviewAny", source=scores)
    best, second = map(float, host.run(graph)[graph.number("PreviewAny")]["text"])
    assert 1 >= best > second >= -1

    graph = Guided()
    _, images = graph.paint(graph.model, graph.empty(32, 32), steps="1")
    wrong = graph.node("GlideBest", 3, **{**links, "image": images}, **standard(graph, 16))[0]
    graph.node("PreviewImage", images=wrong)
    told = failure(host, graph)
    assert f"clip_vision gives 16 numbers and clip {POOLED}: they are of different models" in told


def standard(graph, width):
    """The inputs of a standard judge whose image encoder gives so many numbers. GLIDE's text encoder is a CLIP of the
    host's, too, which is all that a random image encoder needs."""
    return {"clip_vision": graph.node("SmallClipVision", width=width), "clip": graph.clip}


def test_memory_returns_after_unloading(host):
    graph = Guided()
    _, image = graph.paint(graph.guide(), graph.empty(), steps="1")
    assert in_memory(host, "NoisedClip", graph, image=image) > 0
    host.open("/free", {"unload_models": True, "free_memory": True})
    deadline = time.monotonic() + 30
    while in_memory(host, "NoisedClip", Graph(), time=time.monotonic_ns() % 2**31) > 0:
        assert time.monotonic() < deadline  # the queue frees when it has nothing else to do
        time.sleep(0.5)


def in_memory(host, name, graph, **inputs):
    """How many objects of a class the host has when it has run a graph."""
    graph.node("PreviewAny", source=graph.node("ObjectsInMemory", **{"name": name, "time": 0, **inputs}))
    return int(host.run(graph)[graph.number("PreviewAny")]["text"][0])


def test_cancel_inside_a_guided_run(host):
    graph = Guided()
    graph.save(graph.paint(graph.guide(), graph.empty(), steps="900")[0])
    steps = []

    def on_event(kind, data):
        if kind == "progress":
            steps.append(data["value"])
            host.interrupt()

    with pytest.raises(HostError, match="interrupted"):
        host.watch(graph, on_event)
    assert max(steps) < 100
