"""AND and NOT in GlideTextEncode: ComfyUI's own mixing of several prompts paints what the library paints."""

import pytest

from glide_core.pipeline import Sampling, Stage, generate, upsample
from graphs import PROMPT, UPSAMPLE, Graph, failure, latents

ROUNDING = 2e-2  # the host asks in other batches, and few steps from a large sigma magnify what that rounds
PROMPTS = ["a red circle AND a blue background", f"{PROMPT} NOT a red circle :0.5", "a star :0.7 AND a heart :0.3"]


class Prompts(Graph):
    def __init__(self):
        super().__init__()
        self.model, self.clip, _ = self.load()
        self.canvas = self.empty(32, 32)

    def encode(self, text):
        return self.node("GlideTextEncode", clip=self.clip, text=text)

    def paint(self, positive, guidance_scale=3.0, sampler="ddpm", **links):
        options = {"seed": 3, "steps": "3", "sampler": sampler, "guidance_scale": guidance_scale, "eta": 0.0}
        links |= {"model": self.model, "positive": positive, "latent": self.canvas}
        return self.node("GlideSampler", 2, **links, **options, threshold=0.0, denoise=1.0)[0]


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_the_nodes_paint_what_the_library_paints(host, guidance_scale):
    graph = Prompts()
    for prompt in PROMPTS:
        graph.save(graph.paint(graph.encode(prompt), guidance_scale))
    base, options = Stage.load("tiny-base"), Sampling("3", "ddpm", guidance_scale)
    pictures = latents(host, graph)
    for prompt, picture in zip(PROMPTS, pictures):
        expected = generate(base, prompt, options, size=32, seed=3)
        assert (picture - expected).abs().max() < ROUNDING, prompt
    assert min((pictures[0] - other).abs().max() for other in pictures[1:]) > 0.1


def test_one_part_is_the_plain_prompt(host):
    graph = Prompts()
    for prompt in (PROMPT, f"{PROMPT} :1 AND", f"{PROMPT} AND a heart :0"):
        graph.save(graph.paint(graph.encode(prompt)))
    graph.save(graph.paint(graph.text(graph.clip)))
    plain, *others = latents(host, graph)
    assert all(picture.equal(plain) for picture in others)


def test_a_negative_prompt_and_stock_nodes(host):
    """The negative prompt may have parts, and KSampler mixes as GlideSampler does."""
    graph = Prompts()
    positive, negative = graph.encode(PROMPTS[0]), graph.encode("a heart :0.5 AND a star :0.5")
    graph.save(graph.paint(positive, sampler="euler", negative=negative))
    graph.save(graph.paint(positive, sampler="euler", negative=graph.encode("")))
    sigmas = graph.node("GlideScheduler", model=graph.model, steps="3", denoise=1.0)
    links = {"model": graph.model, "positive": positive, "negative": negative, "latent_image": graph.canvas}
    sampler = graph.node("KSamplerSelect", sampler_name="euler")
    stock = graph.node(
        "SamplerCustom", 2, add_noise=True, noise_seed=3, cfg=3.0, sampler=sampler, sigmas=sigmas, **links
    )[0]
    again = {**graph[stock[0]]["inputs"], "positive": graph.encode(f"{PROMPTS[0]} AND a heart :0")}
    graph.save(stock)
    graph.save(graph.node("SamplerCustom", 2, **again)[0])
    ours, without, stock, same = latents(host, graph)
    expected = generate(
        Stage.load("tiny-base"),
        PROMPTS[0],
        Sampling("3", "euler", 3.0),
        size=32,
        seed=3,
        negative="a heart :0.5 AND a star :0.5",
    )
    assert (ours - expected).abs().max() < ROUNDING
    assert (ours - without).abs().max() > 0.02
    assert stock.equal(same)


def test_the_upsampler_encodes_every_part_again(host):
    graph = Prompts()
    model, clip, _ = graph.load(UPSAMPLE)
    options = {"seed": 3, "steps": "1", "sampler": "ddim", "guidance_scale": 1.0, "eta": 0.0, "temperature": 1.0}
    links = {"model": model, "clip": clip, "latent": graph.canvas}
    for prompt in PROMPTS[:2]:
        graph.save(graph.node("GlideUpsampler", 2, positive=graph.encode(prompt), **links, **options)[0])
    stage, small = Stage.load("tiny-upsample"), 0 * generate(Stage.load("tiny-base"), "", Sampling("1"), size=32)
    for prompt, picture in zip(PROMPTS, latents(host, graph)):
        expected = upsample(stage, prompt, small, Sampling("1", "ddim", 1.0), seed=3)
        assert (picture - expected).abs().max() < ROUNDING


def test_what_the_node_says(host):
    graph = Prompts()
    graph.node("PreviewAny", source=graph.encode(f"a (red:1.3) circle AND {'blue ' * 40}NOT a heart :0.5"))
    outputs = host.run(graph)
    (report,) = [outputs[n]["text"][0] for n in graph if graph[n]["class_type"] == "GlideTextEncode"]
    first, second, third = report.splitlines()
    assert first.startswith("1 x 'a (red:1.3) circle': ") and first.endswith("of 32 tokens")
    assert "too long and was cut before" in second and third.startswith("-0.5 x 'a heart': ")


def test_an_absurd_weight(host):
    graph = Prompts()
    graph.save(graph.paint(graph.encode("a red circle AND a heart :1000")))
    assert "GlideTextEncode: the prompt gives 'a heart' the weight 1000" in failure(host, graph)
